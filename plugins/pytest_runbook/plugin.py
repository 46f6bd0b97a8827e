"""The pytest plugin: options, marks and registration; what happens in a run is in `session` and `reporting`.

Inactive, and without cost, until a settings file is named: `runbook_settings` in the ini file, or `--settings`.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_runbook.errors import UsageError
from pytest_runbook.marks import MARKS
from pytest_runbook.model import SCHEDULES, Risk, Severity

if TYPE_CHECKING:
    from pytest_runbook.session import RunbookSession
    from pytest_runbook.settings import Loaded

SESSION: pytest.StashKey[RunbookSession] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of a run."""
    group = parser.getgroup("runbook", "checks of production (pytest-runbook)")
    add = group.addoption
    add(
        "--settings",
        dest="runbook_settings",
        metavar="FILE",
        help="settings of the system (default: ini runbook_settings)",
    )
    add(
        "--set",
        dest="runbook_set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting; repeatable",
    )
    add(
        "--gate",
        dest="runbook_gate",
        choices=[severity.value for severity in Severity],
        help="least severity whose failure fails the run (default: P2)",
    )
    add("--report", dest="runbook_report", metavar="DIR", help="folder for journal and reports (default: var/runs/RUN)")
    add("--mail", dest="runbook_mail", action="store_true", help="mail the summary to the recipients in the settings")
    add(
        "--remediate",
        dest="runbook_remediate",
        choices=["off", "plan", "ask", "apply"],
        default="off",
        help="when checks fail: off (default), plan (say what their runbooks would do), ask before each step, or apply them",
    )
    add(
        "--max-risk",
        dest="runbook_max_risk",
        choices=[risk.value for risk in Risk],
        default=Risk.ROUTINE,
        help="the riskiest kind of step that may run (default: routine); the settings have a ceiling for each environment",
    )
    add(
        "--runbook",
        dest="runbook_only",
        metavar="ID",
        help="only the checks that name this runbook",
    )
    add(
        "--runbook-step",
        dest="runbook_step",
        metavar="STEP",
        help="of the runbook only this step, by its name or number; a step that only looks runs also when nothing fails",
    )
    parser.addini("runbook_settings", "settings of the system, relative to the root folder", default="")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Offer our own hooks."""
    from pytest_runbook import hookspecs

    pluginmanager.add_hookspecs(hookspecs)
    # pytest would rewrite the assertions of all our modules. What is imported late may be imported by several threads at
    # once, and CPython before 3.11.8 parses no two modules at a time (gh-106905).
    getattr(pluginmanager.rewrite_hook, "_must_rewrite", set()).discard("pytest_runbook")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the marks; with settings, take part in the run."""
    for name, text in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {text}")
    file = settings_file(config)
    if file is None:
        _refuse_options(config)
        _register_names(config, SCHEDULES, {})
        return
    with _uncollected():
        _take_part(config, file)


def _take_part(config: pytest.Config, file: Path) -> None:
    """Load the settings of FILE and register what a run of checks is made of."""
    # Late: a project without settings does not pay for clients, settings and reports.
    import runbook_reports

    from pytest_runbook.backup.drill import fixture as drill
    from pytest_runbook.reporting import Reporting
    from pytest_runbook.runbooks.loading import faults
    from pytest_runbook.runbooks.mode import Mode
    from pytest_runbook.runbooks.only import Only
    from pytest_runbook.runbooks.remediation import Remediation
    from pytest_runbook.session import RunbookSession

    if config.getoption("capture") == "tee-sys":
        raise pytest.UsageError(
            '"--capture=tee-sys" shows what checks print before secrets are taken out\n  hint: use -s, or none of both'
        )
    loaded = load_settings(config, file)
    # On workers too, which read the command line again: the reports are the controller's, made from the record.
    adopted = runbook_reports.adopt(config)
    services = {name: service.description for name, service in loaded.settings.services.items()}
    _register_names(config, {**SCHEDULES, **loaded.settings.schedules}, services)
    session = RunbookSession(config, loaded)
    config.stash[SESSION] = session
    config.pluginmanager.register(session, "runbook-session")
    config.pluginmanager.register(session.fixtures, "runbook-fixtures")
    config.pluginmanager.register(drill, "runbook-drill")
    config.pluginmanager.register(session.completeness, "runbook-completeness")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporting(config, session, adopted), "runbook-reporting")
        option = config.option
        if option.runbook_remediate != Mode.OFF and (wrong := faults(config.rootpath / "remediation")):
            raise pytest.UsageError("\n".join(wrong))
        remediation = Remediation(config, session, Mode(option.runbook_remediate), Risk(option.runbook_max_risk))
        config.pluginmanager.register(remediation, "runbook-remediation")
    if config.option.runbook_only:
        only = Only(
            config.rootpath / "remediation", config.option.runbook_only, config.option.runbook_step, session.services
        )
        config.pluginmanager.register(only, "runbook-only")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector off what gets loaded here: modules stay until the process ends.

    To look for garbage among them, in the midst of the imports, at each full collection, and when the process ends, costs
    more than the imports do.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if before:
            gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing registered."""
    for name in (
        "runbook-remediation",
        "runbook-reporting",
        "runbook-completeness",
        "runbook-drill",
        "runbook-fixtures",
        "runbook-session",
    ):
        if config.pluginmanager.has_plugin(name):
            config.pluginmanager.unregister(name=name)


def _refuse_options(config: pytest.Config) -> None:
    """Stop a run that asks for something of the engine and would silently get plain pytest."""
    used = [name for name in ("report", "gate", "mail", "set") if config.getoption(f"runbook_{name}")]
    if config.getoption("runbook_remediate") != "off":
        used.append("remediate")
    if used:
        raise pytest.UsageError(
            f'"--{used[0]}" needs settings, and the ini file "{config.inipath or "none"}" names none\n'
            f"  hint: set runbook_settings there, or use --settings=FILE; write --{used[0]}=VALUE with an equals sign:"
            " after a space, pytest takes a folder that exists for one to find its ini file in"
        )


def settings_file(config: pytest.Config) -> Path | None:
    """The settings file that this run names; None when it names none."""
    named = config.getoption("runbook_settings")
    if named:
        return Path(named).absolute()
    ini = config.getini("runbook_settings")
    return config.rootpath / ini if ini else None


def load_settings(config: pytest.Config, file: Path) -> Loaded:
    """The settings of FILE and the layers above it; raises pytest.UsageError with every fault."""
    from pytest_runbook.settings import load

    overrides: Sequence[str] = config.getoption("runbook_set")
    gate = config.getoption("runbook_gate")
    try:
        return load(
            config.rootpath, file=file, environ=os.environ, overrides=[*overrides, *([f"gate={gate}"] if gate else [])]
        )
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _register_names(config: pytest.Config, schedules: Any, services: Any) -> None:
    for name, text in schedules.items():
        config.addinivalue_line("markers", f"{name}: schedule: {text}")
    for name, text in services.items():
        config.addinivalue_line("markers", f"{name}: service: {text or name}")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist that items are dealt out in shares."""
    node.workerinput["runbook_shares"] = _deals(node.config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal checks out in shares instead of one by one, when the run would use xdist's default."""
    if not _deals(config):
        return None
    from pytest_runbook.concurrency.dealing import ShareScheduling

    return ShareScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker saw at collection; what it found wrong ends the run."""
    told = getattr(node, "workeroutput", {})
    if SESSION not in node.config.stash:
        return
    session = node.config.stash[SESSION]
    session.faults = told.get("runbook_faults") or session.faults
    session.askable.update(told.get("runbook_askable", ()))
    session.completeness.left_out.update(told.get("runbook_left_out", {}))


def _deals(config: pytest.Config) -> bool:
    plain = config.getoption("dist", "no") == "load" and config.getoption("maxschedchunk", None) is None
    return SESSION in config.stash and plain and bool(config.getoption("numprocesses", None))
