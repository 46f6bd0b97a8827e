"""Clock skew: the host's clock is wrong.

Symptom
    The clock differs from its time source or from the database's clock by more than the limit. Tokens are refused, logs do not
    fit together, replication and backups carry wrong times.

Diagnosis
    1. Is the clock synchronised, by whom, how far off? (steps synchronised, tracking)
           timedatectl; chronyc tracking || timedatectl timesync-status
    2. Can the time source be reached (UDP 123)? chronyc sources
    3. A virtual machine that was paused or moved? Its log says so.
    4. The host is right, and database or cache on another machine are not: do the same there, by hand.

Correction, mildest first
    1. Start the time service anew where it corrects slowly, so that time never goes back. Where it would set the clock when it
       starts, that is 2: systemd-timesyncd always does, chrony with "makestep" or "initstepslew" in its configuration, as
       distributions ship it (step restart_service):
           chronyd -p | grep -iE 'makestep|initstepslew'      (facts.host.clock_configuration)
           systemctl restart chrony                           (facts.host.clock_restart)
    2. Set the clock at once, with approval. Time may jump, also backwards, for everything on the machine: sessions may end,
       jobs may run twice (step step_clock):
           chronyc makestep                                   (facts.host.clock_step)
    3. A person: another time source, when the configured one is not reachable.

Last resort
    A person: stop what depends on time going forward (the database last), set the clock, start again.

Verify
    pytest checks/host/consistency.py
"""

import re

from pytest_runbook import RunbookError, call, command, correct, diagnose

HOST = "host/consistency::clock_is_right"
AT_ONCE = re.compile(r"^\s*(makestep|initstepslew)\b.*", re.IGNORECASE | re.MULTILINE)
"""Lines of chrony's configuration with which it may set the clock when it starts."""


@diagnose
def synchronised(at):
    """Look whether the clock is synchronised"""
    return command("timedatectl", on="host")


@diagnose
def tracking(at):
    """Look how far off it is"""
    return command("chronyc", "-n", "tracking", on="host")


@correct(
    risk="routine",
    only_if=lambda at: call(corrects_slowly, shown=at.facts.host.clock_configuration),
    settle=5,
    within=60,
)
def restart_service(at):
    """Start the time service anew, which corrects slowly"""
    return _named(at.facts.host.clock_restart, "clock_restart")


@correct(risk="destructive", only_if=lambda at: call(host_is_wrong), settle=2, within=20)
def step_clock(at):
    """Set the clock at once: time may jump"""
    return _named(at.facts.host.clock_step, "clock_step")


def host_is_wrong(tools):
    """Whether it is the host's own clock that is wrong: no command here reaches another machine's."""
    return HOST in tools.situation.checks


def corrects_slowly(tools, *, shown):
    """Whether the host's clock is wrong, and its time service would correct it slowly; raises RunbookError when it would not."""
    if not host_is_wrong(tools):
        return False
    if not shown:
        nobody_says_how(tools, fact="facts.host.clock_configuration")
    if found := AT_ONCE.search(tools.run(*shown, on="host")):
        raise RunbookError(
            f'the time service would set the clock at once: its configuration has "{found[0].strip()}"\n'
            "  hint: time would jump for everything on the machine: a person decides, then the step step_clock does it"
        )
    return True


def nobody_says_how(tools, *, fact):
    """Refuse: the settings name no command for it."""
    raise RunbookError(f"no command is known for it\n  hint: {fact}, a list of words")


def _named(words, fact):
    return command(*words, on="host") if words else call(nobody_says_how, fact=f"facts.host.{fact}")
