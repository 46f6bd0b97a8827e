"""Faults: what can be broken in the lab on purpose, one file for each service.

A fault is a function that breaks something with the methods of `lab.breakable.Breakable`, each of which notes first how
it is undone: that is why a fault heals even when it was injected by half, or by a process that is gone. What those
methods cannot undo goes into a second function, decorated with `@NAME.heal`.

    @fault("database-stopped", service="database", fails=["database/availability::accepts_connections"])
    def stopped(lab: Lab) -> None:
        \"\"\"PostgreSQL does not run.\"\"\"
        lab.stop_process("database")
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from lab.site import LabError

if TYPE_CHECKING:
    from lab.lab import Lab

Action = Callable[["Lab"], None]
Expected = Literal["remediated", "still-failing", "person", "not-needed", "unmeasured"]
"""What must become of the checks that a fault makes fail, when their runbooks may act up to the risk `restart`.

`remediated`: a step mends it, and they pass again. `still-failing`: steps run and do not help. `person`: the runbook has no
step for it, none that applies or only riskier ones, and the refusal says so. `not-needed`: it is over before a step runs.
`unmeasured`: they cannot see, and what was not seen broken is not mended.
"""


@dataclass
class Fault:
    """One thing that can be broken, and which checks must see it."""

    id: str
    title: str
    service: str
    inject: Action
    fails: tuple[str, ...] = ()
    """Ids of the checks that must fail."""
    blocks: tuple[str, ...] = ()
    """Ids, or patterns of ids, of the checks that must be blocked by the root."""
    may_block: tuple[str, ...] = ()
    """The same of checks that are blocked or pass, by the luck of timing."""
    root: str | None = None
    """Id of the check, or name of the service, that is the root cause; None when each failing check is its own."""
    behind: tuple[str, ...] = ()
    """Ids, or patterns of ids, of the checks that fail for a reason of their own once a runbook has mended the root."""
    schedule: str = "daily"
    """The schedule whose run must see it."""
    outcome: Expected = "remediated"
    """What must become of the checks that fail for a reason of their own."""
    healing: Action | None = None

    def heal(self, action: Action) -> Action:
        """Decorate what heals beyond undoing; it runs first, also after a half injection."""
        self.healing = action
        return action


def fault(
    name: str,
    *,
    service: str,
    fails: Sequence[str] = (),
    blocks: Sequence[str] = (),
    may_block: Sequence[str] = (),
    root: str | None = None,
    behind: Sequence[str] = (),
    schedule: str = "daily",
    outcome: Expected = "remediated",
) -> Callable[[Action], Fault]:
    """Make a function the fault NAME; the first line of its docstring is the title."""

    def decorate(inject: Action) -> Fault:
        title = (inject.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        if not title:
            raise LabError(f'the fault "{name}" has no docstring that says what is wrong')
        return Fault(
            name,
            title,
            service,
            inject,
            fails=tuple(fails),
            blocks=tuple(blocks),
            may_block=tuple(may_block),
            root=root,
            behind=tuple(behind),
            schedule=schedule,
            outcome=outcome,
        )

    return decorate


@cache
def load() -> dict[str, Fault]:
    """Every fault of this folder's files, by id."""
    found: dict[str, Fault] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for member in vars(importlib.import_module(module.name)).values():
            if not isinstance(member, Fault):
                continue
            if found.setdefault(member.id, member) is not member:
                raise LabError(f'two faults are named "{member.id}"')
    return dict(sorted(found.items()))


def find(name: str) -> Fault:
    """The fault NAME."""
    known = load()
    if name not in known:
        raise LabError(f'unknown fault "{name}" (known: {", ".join(known)})')
    return known[name]
