"""What a step can do, as plain values: a plan shows them, a process of its own performs them.

Each action says in one line exactly what it does; `perform` is called in the process of the step and nowhere else.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_runbook import managers
from pytest_runbook.errors import UsageError

if TYPE_CHECKING:
    from pytest_runbook.runbooks.steps import Situation
    from pytest_runbook.runbooks.tools import Tools

OPERATIONS = ("status", "start", "stop", "restart", "logs", "version")
"""What `manage` can ask of a service manager."""
CHANGING = ("start", "stop", "restart")
"""Those of them that users may feel."""


class Action:
    """One thing to do."""

    def at(self, situation: Situation) -> Action:
        """What this is in SITUATION, where that is not said yet."""
        return self

    def describe(self) -> str:
        """Exactly what is done, in one line, for the person who has to agree to it."""
        raise NotImplementedError

    def perform(self, tools: Tools) -> Any:
        """Do it; the answer is shown, and as a condition its truth counts. Raises when it did not work."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Command(Action):
    """A program with its arguments, on the host that the probe ON looks at, or on this machine."""

    argv: tuple[str, ...]
    on: str | None = None

    def describe(self) -> str:
        """As one would type it."""
        return _at(shlex.join(self.argv), self.on)

    def perform(self, tools: Tools) -> str:
        """Its output; raises StepFailed on any exit status but 0."""
        return tools.run(*self.argv, on=self.on)


@dataclass(frozen=True, slots=True)
class Script(Action):
    """An executable file that lies beside the runbook; `RUNBOOK_*` variables tell it the situation."""

    file: str
    arguments: tuple[str, ...] = ()
    on: str | None = None

    def describe(self) -> str:
        """Its path below the root folder and its arguments."""
        return _at(shlex.join((f"remediation/{self.file}", *self.arguments)), self.on)

    def perform(self, tools: Tools) -> str:
        """Its output; raises StepFailed on any exit status but 0."""
        return tools.script(self.file, *self.arguments, on=self.on)


@dataclass(frozen=True, slots=True)
class Manage(Action):
    """An operation of the service manager on one service."""

    operation: str
    service: str | None = None
    """None: the service whose check failed."""
    on: str | None = None
    """The host probe on whose machine its manager runs its commands; None: here, or not known yet."""

    def at(self, situation: Situation) -> Manage:
        """With the service, and the machine where that is another one."""
        service, on = self.service or situation.service, None
        with suppress(UsageError):  # the guards say so
            on = managers.machine_of(situation.settings, service)
        return Manage(self.operation, service, on)

    def describe(self) -> str:
        """The operation, the service and the machine."""
        return _at(f"service manager: {self.operation} {self.service or 'the service'}", self.on)

    def perform(self, tools: Tools) -> str:
        """What the manager says; raises ManagerError."""
        return tools.manage(self.operation, self.service)


@dataclass(frozen=True, slots=True)
class Sql(Action):
    """One statement, outside of a transaction, as the account of the probe PROBE."""

    probe: str
    statement: str
    parameters: tuple[Any, ...] = ()

    def describe(self) -> str:
        """The statement in one line, and its parameters."""
        given = f"  with {', '.join(map(repr, self.parameters))}" if self.parameters else ""
        return f"{self.probe}: {' '.join(self.statement.split())}{given}"

    def perform(self, tools: Tools) -> Any:
        """Rows as text; as a condition, the first value of the first row."""
        return tools.sql(self.probe, self.statement, self.parameters)


@dataclass(frozen=True, slots=True)
class Call(Action):
    """A function of the runbook's own file: `function(tools, **arguments)`."""

    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        """The function with its arguments, and what it says of itself."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        first = (self.function.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        return f"{self.function.__name__}({given}): {first}"

    def perform(self, tools: Tools) -> Any:
        """What the function returns."""
        return self.function(tools, **self.arguments)


def command(*argv: str, on: str | None = None) -> Command:
    """Run the program ARGV, an argument list that no shell reads, on the host of the probe ON (None: this machine)."""
    if not argv:
        raise UsageError("command() needs a program\n  hint: command('systemctl', 'restart', 'web')")
    return Command(argv, on)


def script(file: str, *arguments: str, on: str | None = None) -> Script:
    """Run FILE, an executable script beside the runbook, with ARGUMENTS."""
    return Script(file, arguments, on)


def manage(operation: str, service: str | None = None) -> Manage:
    """Have the manager of SERVICE (None: of the service whose check failed) do OPERATION."""
    if operation not in OPERATIONS:
        raise UsageError(f'unknown operation "{operation}" of a service manager (known: {", ".join(OPERATIONS)})')
    return Manage(operation, service)


def sql(probe: str, statement: str, *parameters: Any) -> Sql:
    """Send STATEMENT with PARAMETERS (`%s` in it) to the PostgreSQL server of PROBE."""
    return Sql(probe, statement, parameters)


def call(function: Callable[..., Any], **arguments: Any) -> Call:
    """Call FUNCTION, a function of the same file, with `tools` and ARGUMENTS."""
    return Call(function, arguments)


def touched(actions: Iterable[Action], own: str) -> set[str]:
    """The services that ACTIONS start or stop; OWN is the one that is meant where none is named."""
    return {one.service or own for one in actions if isinstance(one, Manage) and one.operation in CHANGING}


def _at(text: str, host: str | None) -> str:
    return f"{text}  (on {host})" if host else text
