"""Blocking calls in threads that can be left behind.

The standard executor joins its threads when the interpreter ends: one call that hangs would hang the run.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Result of CALL(*ARGS, **KWARGS), run in a daemon thread with the caller's context variables.

    Cancelling the await abandons the thread: its result is dropped and it cannot keep the process alive.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, error = None, None
        try:
            result = context.run(call, *args, **kwargs)
        except BaseException as caught:  # whatever it was, it belongs to the waiting coroutine
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, daemon=True, name=f"runbook-{getattr(call, '__name__', 'call')}").start()
    return await done
