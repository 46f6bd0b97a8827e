"""The settings as typed data: what may be said, with its defaults, and what each part means."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    SerializeAsAny,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pytest_runbook import clock, managers, probes
from pytest_runbook.errors import UsageError, unknown
from pytest_runbook.managers.base import ManagerSettings
from pytest_runbook.model import Risk
from pytest_runbook.probes.base import ProbeSettings
from pytest_runbook.settings.tables import Table

LAST = date.max - timedelta(days=2)
"""The last day that is told apart: what lasts "for ever" in any time zone."""


def _words(value: Any) -> Any:
    """Environment variables hold one text: `a@example.org, b@example.org` is a list of two."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _moment(value: Any, *, day_ends: bool) -> datetime:
    """VALUE as a moment: a naive one is UTC, a date is its start or its end."""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(min(value, LAST) + timedelta(days=day_ends), time(), UTC)
    raise ValueError("should be a date or a date with time, for example 2026-12-31 or 2026-12-31T22:00:00Z")


def _parsed(text: str) -> date | None:
    for kind in (date, datetime):
        try:
            return kind.fromisoformat(text)
        except ValueError:
            continue
    return None


def _start(value: Any) -> datetime:
    return _moment(value, day_ends=False)


def _end(value: Any) -> datetime:
    return _moment(value, day_ends=True)


def of_kind(kinds: Any, value: Any) -> Any:
    """The settings of one probe or manager, in the class of its kind; KINDS is the package that finds it."""
    if not isinstance(value, dict):
        return value
    kind = value.get("kind")
    if not isinstance(kind, str):
        raise _fault("kind", kind, f"should be one of: {', '.join(kinds.names())}")
    try:
        return kinds.find(kind).Settings.model_validate(value)
    except UsageError as error:
        raise _fault("kind", kind, str(error)) from None


def _formats(names: tuple[str, ...]) -> tuple[str, ...]:
    """NAMES, when each is a report that can be written."""
    import runbook_reports  # late: most settings name no formats

    known = runbook_reports.formats()
    if wrong := [name for name in names if name not in known]:
        raise ValueError(unknown("report", wrong[0], known))
    return names


def _fault(key: str, value: Any, problem: str) -> ValidationError:
    """PROBLEM of KEY inside the table that is being validated."""
    # The message is given as a value, so that braces in it stay what they are.
    kind = PydanticCustomError("runbook", "{problem}", {"problem": problem})
    return ValidationError.from_exception_data("settings", [{"type": kind, "loc": (key,), "input": value}])


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
"""What becomes a fixture, a mark or a folder."""
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Formats = Annotated[tuple[str, ...], AfterValidator(_formats), BeforeValidator(_words)]
Start = Annotated[datetime, BeforeValidator(_start)]
End = Annotated[datetime, BeforeValidator(_end)]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Unit = Annotated[str, StringConstraints(pattern=r"^[^\s-]\S*$")]
"""What cannot be taken for an option."""
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """A table of the settings: no key that is not declared here."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class System(Section):
    """The system that is verified, and how its own configuration becomes settings."""

    name: str = "system"
    environment: Literal["development", "staging", "production"] = "production"
    environment_variable: str | None = None
    """Variable that names the environment."""
    config_file_variable: str | None = None
    """Variable that names the system's own JSON file."""
    env_file: Path = Path(".env")
    env_file_variable: str | None = None
    """Variable that names another `.env` file; that one has to exist."""
    environment_map: dict[str, Words] = {}
    """Variable, or text with `{VARIABLE}` in it, to the settings keys it gives."""
    config_map: dict[str, Words] = {}
    """Dotted key of the system's JSON, or text with `{dotted.key}` in it, to the settings keys it gives."""


class Service(Section):
    """A part of the system that can be up or down."""

    description: str = ""
    depends: Words = ()
    """Services that have to be up for this one to be up."""
    manager: Name | None = None
    """What starts and stops it: one of [managers.*]; none: nothing here does."""
    unit: Unit | None = None
    """What the manager calls it; none: as it is called here."""


class Confirm(Section):
    """A check failed when FAILURES of OF attempts failed, INTERVAL seconds apart."""

    failures: PositiveInt = 2
    of: PositiveInt = 3
    interval: NonNegativeFloat = 0.5

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.failures > self.of:
            raise ValueError(f"failures should be at most of ({self.failures} > {self.of})")
        return self


class Concurrency(Section):
    """How much happens at once; each probe has its own bound as well."""

    total: PositiveInt = 100
    """Checks at once, at most."""


class Waiver(Section):
    """A failure that somebody answers for, until it expires; the check still runs."""

    check: Text
    """Id of the check, or a pattern: `web/*`."""
    owner: Text
    reason: Text
    expires: End
    """A date means the end of that day, UTC."""


class MaintenanceWindow(Section):
    """A planned maintenance: checks of its services still run, and do not gate."""

    services: Annotated[Words, Field(min_length=1)]
    """Names of services; `*` means all."""
    start: Start
    end: End
    owner: Text
    reason: Text

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"end should be later than start ({clock.iso(self.end)} <= {clock.iso(self.start)})")
        return self


class Report(Section):
    """Where the reports of a run go, and which ones are written."""

    directory: Path = Path("var/runs")
    """Folder of runs; each run makes its own inside. Relative to the root folder."""
    formats: Formats | None = None
    """Reports that a run writes beside its journal, its record (run.json) and the summary in the terminal; default: all.

    What `--html`, `--junitxml` and `--alluredir` ask for is written whatever this says.
    """


def _history(url: SecretStr) -> SecretStr:
    """URL, when it is of a kind that the history can be in; what else is wrong with it is seen when it is opened."""
    if not url.get_secret_value().startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        raise ValueError("should be sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE")
    return url


class History(Section):
    """What runbooks did, and what they may do: attempts, locks, watches."""

    url: Annotated[SecretStr, AfterValidator(_history)] = SecretStr("sqlite:///var/history.db")
    """A file, relative to the root folder, for one machine; PostgreSQL where several machines act on one system."""

    def begun(self, root: Path) -> bool:
        """Whether there is one already: the file exists, or it is on a server."""
        return not self._is_file or (root / self._file).exists()

    @property
    def place(self) -> str:
        """Where it is, without the password."""
        return f'"{self._file}"' if self._is_file else "on a server"

    @property
    def _is_file(self) -> bool:
        return self.url.get_secret_value().startswith("sqlite")

    @property
    def _file(self) -> str:
        return self.url.get_secret_value().partition("://")[2].removeprefix("/")


class Ceilings(Section):
    """The riskiest kind of step that may run in each environment, whatever a run asks for."""

    development: Risk = Risk.ISOLATE
    staging: Risk = Risk.DESTRUCTIVE
    production: Risk = Risk.DESTRUCTIVE
    """From `destructive` on a step runs there only after a person's yes, whatever stands here."""


class Remediation(Section):
    """The guards of what runs when checks fail; times are seconds."""

    enabled: bool = True
    """False: nothing acts, whatever a run asks for."""
    stop_file: Path = Path("var/remediation.stop")
    """While this file exists nothing acts: the switch for whoever has a shell. Relative to the root folder."""
    ceilings: Ceilings = Ceilings()
    passes: PositiveInt = 3
    """How often in a row the checks must pass for a fix to be verified."""
    interval: NonNegativeFloat = 1.0
    """Between two looks."""
    attempts: PositiveInt = 3
    """Tries of one runbook on one service, at most, within `window` and since the last verified fix."""
    window: PositiveFloat = 86_400.0
    cooldown: NonNegativeFloat = 300.0
    """After a try that did not help, before the next one."""
    fixes: PositiveInt = 5
    """Verified fixes of one runbook on one service within `window`, after which a person has to look for the cause."""
    breaker: PositiveInt = 10
    """Tries without a verified fix on the whole system within an hour, after which nothing acts."""
    cut_off: PositiveInt = 3
    """Independent services that cannot be reached at once, from which on the checker itself is taken to be cut off."""
    watch: NonNegativeFloat = 86_400.0
    """How long a fix is watched: a failure in that time counts one severity higher."""
    lease: Annotated[float, Field(gt=0, le=300)] = 60.0
    """Without a sign of life for this long, a run loses its locks to another one, and the step that it runs is ended."""


class Mail(Section):
    """How the summary of a run is sent; no host, no mail."""

    host: str | None = None
    port: Port = 587
    user: str | None = None
    password: SecretStr | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: Path | None = None
    sender: str | None = None
    recipients: Words = ()
    timeout: PositiveFloat = 30.0


Probes = dict[Name, Annotated[SerializeAsAny[ProbeSettings], BeforeValidator(partial(of_kind, probes))]]
Managers = dict[Name, Annotated[SerializeAsAny[ManagerSettings], BeforeValidator(partial(of_kind, managers))]]
Limits = Annotated[Table, BeforeValidator(lambda value: _table("limits", value))]
Facts = Annotated[Table, BeforeValidator(lambda value: _table("facts", value))]


def _table(name: str, value: Any) -> Any:
    return Table(name, value) if isinstance(value, dict) else value


def _acyclic(services: dict[str, Service]) -> dict[str, Service]:
    """SERVICES, when each dependency is declared and none depends on itself by any way."""
    for name, service in services.items():
        for other in service.depends:
            if other not in services:
                raise ValueError(f'"{name}" depends on {unknown("service", other, services)}')
    try:
        TopologicalSorter({name: service.depends for name, service in services.items()}).prepare()
    except CycleError as error:
        raise ValueError(f"dependencies go round in a circle: {' -> '.join(reversed(error.args[1]))}") from None
    return services


Services = Annotated[dict[Name, Service], AfterValidator(_acyclic)]
