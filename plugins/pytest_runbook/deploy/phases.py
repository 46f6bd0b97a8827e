"""The phases of a deployment, their order, and what is still to do of one that is taken up where it was left."""

from __future__ import annotations

from enum import StrEnum

from pytest_runbook.history.rows import DeploymentRow


class Phase(StrEnum):
    """What is done, in the words of the history."""

    GATE = "gate"
    """The checks that must be green before anything is changed."""
    BACKUP = "backup"
    """A backup, read back and verified."""
    BASELINE = "baseline"
    """What is measured before the change."""
    CANARY = "canary"
    """The new version runs beside the services, is well, and its checks are as good as before the change."""
    CANARY_STOP = "canary-stop"
    """Nothing of that runs any more."""
    SWITCH = "switch"
    """The services start in the new version, one after the other."""
    HEALTHY = "healthy"
    """They are well, k of n times."""
    VERIFY = "verify"
    """The checks are green, and nothing is worse than before."""
    SOAK = "soak"
    """That stays so for a time."""
    SWITCH_BACK = "switch-back"
    """The services start in the version before."""
    HEALTHY_BACK = "healthy-back"
    VERIFY_BACK = "verify-back"


BEFORE = (Phase.GATE, Phase.BACKUP, Phase.BASELINE)
"""They change nothing."""
BESIDE = (Phase.CANARY, Phase.CANARY_STOP)
"""They leave the services as they are."""
FORTH = (Phase.SWITCH, Phase.HEALTHY, Phase.VERIFY, Phase.SOAK)
BACK = (Phase.SWITCH_BACK, Phase.HEALTHY_BACK, Phase.VERIFY_BACK)


def planned(*, backup: bool, canary: bool, soak: bool) -> list[Phase]:
    """The phases of a deployment to a new version, when all goes well."""
    left_out = {
        *(() if backup else (Phase.BACKUP,)),
        *(() if canary else BESIDE),
        *(() if soak else (Phase.SOAK,)),
    }
    return [phase for phase in (*BEFORE, *BESIDE, *FORTH) if phase not in left_out]


def rolling_back(*, soak: bool) -> list[Phase]:
    """Those of a rollback that somebody asks for: what is there now is no measure of anything, and there is no time."""
    return [phase for phase in FORTH if soak or phase != Phase.SOAK]


def remaining(row: DeploymentRow) -> list[Phase]:
    """What is still to do of the deployment ROW, as its phases stand; what may have been cut short is done again.

    Before the change that is everything but a backup that was made: what was true an hour ago need not be true now; first
    of all a canary that may still run is stopped. After it, all from the switch on, or from the looks that follow it.
    """
    plan = [Phase(name) for name in row.options["phases"]]
    begun = [Phase(phase.phase) for phase in row.phases]
    if begun and begun[-1] in BACK:
        return list(BACK)
    turned = max((number for number, phase in enumerate(begun, 1) if phase in BACK), default=0)
    done = {Phase(phase.phase) for phase in row.phases[turned:] if phase.outcome == "done"}
    if not set(begun) & set(FORTH):
        again = [phase for phase in plan if phase != Phase.BACKUP or phase not in done]
        return [Phase.CANARY_STOP, *again] if canary_left(row) else again
    return [phase for phase in plan if phase in FORTH and (phase != Phase.SWITCH or phase not in done)]


def finishing(row: DeploymentRow) -> list[Phase]:
    """What is to do to end the deployment ROW on the version that it is to, also when it was on the way back."""
    if not tried_back(row):
        return remaining(row)
    return [phase for name in row.options["phases"] if (phase := Phase(name)) in FORTH]


def undoing(row: DeploymentRow) -> list[Phase]:
    """What is to do to end the deployment ROW on the version before; nothing when nothing can have been changed."""
    if any(Phase(phase.phase) not in (*BEFORE, *BESIDE) for phase in row.phases):
        return list(BACK)
    return [Phase.CANARY_STOP] if canary_left(row) else []


def tried_back(row: DeploymentRow) -> bool:
    """Whether the deployment ROW went back, or began to."""
    return any(phase.phase in BACK for phase in row.phases)


def canary_left(row: DeploymentRow) -> bool:
    """Whether a canary of the deployment ROW may still run."""
    last = [phase for phase in row.phases if phase.phase in BESIDE][-1:]
    return any(phase.phase != Phase.CANARY_STOP or phase.outcome != "done" for phase in last)
