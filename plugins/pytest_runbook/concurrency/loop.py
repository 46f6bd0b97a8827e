"""The event loop of the run, in a thread of its own, so that pytest's own loop goes on walking the checks in order."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from pytest_runbook import clock
from pytest_runbook.concurrency.threads import in_thread
from pytest_runbook.errors import Stalled, TimedOut

T = TypeVar("T")
BEAT = 0.5
"""Seconds between two signs of life of the loop."""
STUCK = 10.0
"""Seconds without a sign of life after which the loop is taken to be blocked."""
PATIENCE = 5.0
"""Seconds that closing may take before what is left is abandoned with its thread."""


class Loop(asyncio.SelectorEventLoop):
    """Resolves names in threads that can be left behind: asyncio's own are joined at exit, however long a server is silent."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """What `socket.getaddrinfo` answers."""
        return await in_thread(partial(socket.getaddrinfo, host, port, **options))


class LoopThread:
    """An event loop in a daemon thread: a check that blocks it can stop the run no longer than `STUCK` seconds."""

    def __init__(self) -> None:
        self._loop = Loop()
        self._thread = threading.Thread(target=self._run, daemon=True, name="runbook-loop")
        self._beat = clock.monotonic()

    def start(self) -> None:
        """Start the thread."""
        self._beat = clock.monotonic()
        self._thread.start()

    def is_current(self) -> bool:
        """Whether the caller runs on this loop."""
        return threading.current_thread() is self._thread

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start WORK on the loop; its result is waited for with `wait`."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def wait(self, future: concurrent.futures.Future[T], overdue: Callable[[], bool] = lambda: False) -> T:
        """Result of FUTURE; raises Stalled when the loop does not move (a check blocks it), TimedOut when OVERDUE() says so."""
        while True:
            try:
                return future.result(timeout=BEAT)
            except TimeoutError:
                if future.done():
                    raise
                self._must_move()
                if overdue():
                    raise TimedOut("the check goes on although it was cancelled") from None

    def stop(self, last: Callable[[], Awaitable[None]]) -> None:
        """Cancel what still runs, await LAST() on the loop and end the thread; never takes longer than `PATIENCE`."""
        if not self._thread.is_alive():
            return
        try:
            self.submit(self._finish(last)).result(timeout=PATIENCE)
        except (TimeoutError, concurrent.futures.CancelledError):
            return  # the thread is a daemon: what hangs in it dies with the process
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        if not self._thread.is_alive():
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda _loop, _context: None)  # every result is awaited by its check
        self._pulse()
        self._loop.run_forever()

    def _pulse(self) -> None:
        self._beat = clock.monotonic()
        self._loop.call_later(BEAT, self._pulse)

    def _must_move(self) -> None:
        if not self._thread.is_alive():
            raise Stalled("the event loop has ended: a check ended its thread")
        silence = clock.monotonic() - self._beat
        if silence < STUCK:
            return
        frame = sys._current_frames().get(self._thread.ident or 0)
        place = traceback.extract_stack(frame)[-1] if frame else None
        where = f' at "{place.filename}:{place.lineno}"' if place else ""
        raise Stalled(
            f"the event loop has been blocked for {silence:.0f} s{where}\n"
            "  hint: await in a coroutine check, or make the blocking check a plain function"
        )

    async def _finish(self, last: Callable[[], Awaitable[None]]) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await last()
        await self._loop.shutdown_asyncgens()
