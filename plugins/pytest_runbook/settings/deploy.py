"""Settings of deployments: which services, what is looked at before and after, and what a new version may be worse by."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from pytest_runbook.probes._address import checked
from pytest_runbook.settings.schema import Name, Section, Text, Unit, Words


def _address(url: str) -> str:
    """URL, when a command line may show it."""
    if "@" in urlsplit(checked(url)).netloc:
        raise ValueError("should hold no user and no password: checks are told it on a command line")
    return url


Address = Annotated[str, AfterValidator(_address)]


class Health(Section):
    """The page that says that one service serves."""

    probe: Name
    """The probe of kind http that asks for it."""
    path: Text = "/health"
    """It answers 200."""
    version: str = ""
    """Key of its JSON that holds the version that serves; empty: it does not tell."""


class Canary(Section):
    """A unit beside one service, which runs a new version before the service does."""

    manager: Name
    """What starts and stops it: one of [managers.*]."""
    unit: Unit
    """What the manager calls it; its version is written elsewhere than the service's."""
    probes: Annotated[dict[Name, Address], Field(min_length=1)]
    """Probe to the address of the canary, where it looks meanwhile instead of at its own `url`."""


class Relative(Section):
    """How much worse a figure may be than before the deployment."""

    ratio: PositiveFloat
    """Above 1 the figure may rise to so many times what it was; below 1 it may fall to that share of it."""
    floor: NonNegativeFloat = 0.0
    """A figure that rose and is not above this is good, whatever it was: of almost nothing, twice is nothing."""


class KofN(Section):
    """When looks decide: so many of so many, INTERVAL seconds apart."""

    passes: PositiveInt = 3
    of: PositiveInt = 4
    interval: NonNegativeFloat = 1.0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.passes > self.of:
            raise ValueError(f"passes should be at most of ({self.passes} > {self.of})")
        return self


class Deploy(Section):
    """What `runbook deploy` and `runbook rollback` do; times are seconds."""

    services: Words = ()
    """Those that are switched when none are named; the first one's version is the system's."""
    gate: Text = "predeploy"
    """Checks, as `pytest -m` takes them, that must be green before anything is changed."""
    verify: Text = "postdeploy"
    """Checks that say whether a version is good; measured before the change and compared after it."""
    backup: bool = True
    """Whether a verified backup is made before the change."""
    insist: Words = ("production",)
    """Environments in which `--no-backup` needs a reason."""
    restart: PositiveFloat = 120.0
    """For the restart of one service, its image's download included."""
    healthy: KofN = KofN()
    """A service is well when so many of its last looks were good."""
    deadline: PositiveFloat = 120.0
    """For all services to be well after the switch."""
    health: dict[Name, Health] = Field(default={})
    """Service to the page that tells; one without is well when its manager says that it runs."""
    versions: dict[Name, str] = Field(default={})
    """Service to the version that it should run, where that is another than the system's; empty: nobody asks. A deployment
    tells its checks what it switches, and that nobody asks of the others.
    """
    canary: dict[Name, Canary] = Field(default={})
    """Service to its canary, which `--canary` tries first."""
    canary_first: bool = False
    """Whether that is done without being asked for; `--no-canary` leaves it out once."""
    confirm: KofN = KofN(passes=2, of=3, interval=2.0)
    """A first bad verdict is confirmed: so many of so many runs of the checks decide."""
    checks: PositiveFloat = 900.0
    """For one run of checks."""
    back_over_migrations: bool = False
    """Whether one goes back by itself from a version that serves and has migrated the database."""
    soak: NonNegativeFloat = 0.0
    """How long the new version is watched after it was verified; 0: not at all."""
    every: PositiveFloat = 30.0
    """Between two looks meanwhile."""
    since: Words = ()
    """Settings keys that say how far back checks look: after a switch, or a restore, they look no further back than that."""
    compare: dict[Annotated[str, Field(min_length=1)], Relative] = Field(default={})
    """Measurement to how much worse it may be."""
    lease: PositiveFloat = 60.0
    """Without a sign of life for this long, another process may go on with a deployment."""
