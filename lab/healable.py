"""Breaking a lab on purpose, and making it whole again: each fault's undoing is on disk before anything is broken."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from lab import environment, faults
from lab.servers import Server, load
from lab.site import Broken, LabError, Site
from lab.supervise import Supervisor
from lab.waiting import until

if TYPE_CHECKING:
    from lab.lab import Lab


class Healable:
    """A lab that faults are put into and taken out of."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.supervisor = Supervisor(site)
        self._injecting: str | None = None
        self._children: list[subprocess.Popen[bytes]] = []

    def break_fault(self, name: str) -> None:
        """Inject the fault NAME; nothing happens when it is in place already."""
        fault = faults.find(name)
        with self._changing():
            if name in self.site.state.broken:
                return
            self.site.state.broken[name] = Broken(datetime.now(UTC).isoformat(timespec="seconds"))
            self.site.save()
            self._injecting = name
            try:
                fault.inject(cast("Lab", self))
            finally:
                self._injecting = None

    def heal_fault(self, name: str) -> None:
        """Undo the fault NAME, and wait until every server does its work again when nothing else is broken."""
        faults.find(name)
        with self._changing():
            self._heal(name)
            if not self.site.state.broken:
                self.wait_ready()

    def heal_all(self) -> None:
        """Undo every fault, the latest first."""
        with self._changing():
            for name in reversed(list(self.site.state.broken)):
                self._heal(name)
            self.wait_ready()

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """The fault NAME for the length of a `with` block."""
        try:
            self.break_fault(name)
            yield
        finally:
            self.heal_fault(name)

    @property
    def broken(self) -> dict[str, str]:
        """The faults in place, and since when."""
        self.site.refresh()
        return {name: broken.since for name, broken in self.site.state.broken.items()}

    def wait_ready(self) -> None:
        """Wait until every server does its work."""
        for server in self.standing.values():
            until(server.ready, f'"{server.name}" is ready', deadline=server.deadline)

    @property
    def servers(self) -> dict[str, Server]:
        """Every server by name, those first that others need."""
        return load(self.site)

    @property
    def standing(self) -> dict[str, Server]:
        """Those of them that run as long as the lab does."""
        return {name: server for name, server in self.servers.items() if not server.on_demand}

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self.site.lock():
            self.site.refresh()
            if not self.supervisor.alive():
                raise LabError(
                    f'the lab in "{self.site.folder}" does not run\n  hint: python -m lab --dir {self.site.folder} up'
                )
            yield

    def undo(self, name: str) -> None:
        """Undo what the fault NAME did, and keep it in the books: what is left when somebody else has mended it."""
        with self._changing():
            self._undo_all(name)

    def _heal(self, name: str) -> None:
        if name not in self.site.state.broken:
            return
        self._undo_all(name)
        del self.site.state.broken[name]
        self._save()

    def _undo_all(self, name: str) -> None:
        broken = self.site.state.broken[name]
        # A fault that this version does not know any more is undone all the same.
        known = faults.load().get(name)
        steps = [partial(known.healing, cast("Lab", self))] if known and known.healing else []
        steps += [partial(self._undo, method, arguments) for method, arguments in reversed(broken.undo)]
        problems = []
        for step in steps:
            try:
                step()
            except Exception as error:  # one undo that fails must not keep the others from being done
                problems.append(" ".join(map(str, [*step.args, error])))
        if problems:
            raise LabError(
                f'"{name}" is not healed:\n  ' + "\n  ".join(problems) + "\n  hint: python -m lab down, then up"
            )

    def _undo(self, method: str, arguments: dict[str, Any]) -> None:
        getattr(self, f"_undo_{method}")(**arguments)

    def _note(self, undo: str, **arguments: Any) -> None:
        """Keep how the fault being injected is undone, before anything is done."""
        if self._injecting is not None:
            self.site.state.broken[self._injecting].undo.append((undo, arguments))
            self.site.save()

    def _save(self) -> None:
        self.site.save()
        environment.write(self.site)
