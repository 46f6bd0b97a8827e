"""One pytest session as a run of checks: the hooks that are active when the settings are there."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_runbook import clock, interrupts, results
from pytest_runbook.changes import Changes
from pytest_runbook.collection import is_check, read_items, unknown_marks
from pytest_runbook.completeness import Completeness
from pytest_runbook.concurrency.attempts import Confirmation, Execution
from pytest_runbook.concurrency.runner import CHECK, Runner
from pytest_runbook.concurrency.shares import own_share
from pytest_runbook.errors import UsageError
from pytest_runbook.evidence.output import Output
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.fixtures import fixtures
from pytest_runbook.listing import guide
from pytest_runbook.marks import Known
from pytest_runbook.measure import measure
from pytest_runbook.model import AVAILABILITY, SCHEDULES, Outcome, Result, RunRecord
from pytest_runbook.naming import new_id
from pytest_runbook.policy import Policy
from pytest_runbook.probes import find
from pytest_runbook.probes.base import Probe, ProbeSettings
from pytest_runbook.recorder import Recorder, head, reasons, verdict
from pytest_runbook.runbooks.loading import texts
from pytest_runbook.settings import Loaded

EXECUTION = pytest.StashKey[Execution]()


class RunbookSession:
    """Holds what the hooks share; one per process, workers of xdist included."""

    def __init__(self, config: pytest.Config, loaded: Loaded) -> None:
        self.config = config
        self.loaded = loaded
        self.settings = loaded.settings
        self.redactor = Redactor(loaded.secrets)
        self.output = Output(self.redactor, captured=config.option.capture in ("fd", "sys"))
        self.recorder: Recorder | None = None
        self.reports: list[Path] = []
        self.faults: list[str] = []
        self._overlooked: list[str] = []
        """What a worker of xdist found wrong at collection."""
        self.askable: set[str] = set()
        """Services of which a check of the project, selected or not, says whether they are up."""
        self.other_failures = 0
        self._failed_parts: set[str] = set()
        self._worker = hasattr(config, "workerinput")
        self.doubts = [fault for fault in (loaded.system.config_error, loaded.system.env_error) if fault]
        """What of the system's own configuration could not be read: the run goes on without it, and says so."""
        self.completeness = Completeness()
        self.policy = Policy(self.settings.waivers, self.settings.maintenance)
        self._runbooks = texts(config.rootpath / "remediation")
        values = {
            "limits": self.settings.limits,
            "facts": self.settings.facts,
            "settings": self.settings,
            "system": loaded.system,
            "measure": measure,
            "changes": Changes(self.settings, config.rootpath),
        }
        makers = {name: partial(_make, name, probe) for name, probe in self.settings.probes.items()}
        confirm = self.settings.confirm
        self.confirmation = Confirmation(confirm.failures, confirm.of, confirm.interval)
        self.runner = Runner(
            values,
            makers,
            confirm=self.confirmation,
            timeout=self.settings.timeout,
            total=self.settings.concurrency.total,
        )
        self.known = Known({**SCHEDULES, **self.settings.schedules}, tuple(self.settings.services), self._runbooks)
        self.fixtures = fixtures(self.runner.values, makers, self.runner.probe)

    @property
    def services(self) -> dict[str, list[str]]:
        """Each service of the system with those that it depends on."""
        return {name: list(service.depends) for name, service in self.settings.services.items()}

    @property
    def known_recorder(self) -> Recorder:
        """The recorder of a run that has begun, in the controller."""
        assert self.recorder is not None
        return self.recorder

    # -- before the checks run ---------------------------------------------------------------------------------------

    def pytest_report_header(self) -> str:
        """The system, its environment and where the settings come from."""
        return f"runbook: {self.settings.system.name} {self.settings.system.environment} · gate {self.settings.gate}"

    @pytest.hookimpl(wrapper=True)
    def pytest_pycollect_makeitem(
        self, collector: pytest.Collector, name: str, obj: object
    ) -> Generator[None, Any, Any]:
        """See a check that pytest passes over, for its name."""
        made = yield
        if not made and is_check(obj, collector):
            hint = 'begin its name with "test", or what python_functions says'
            self._overlooked.append(f"{collector.nodeid}::{name}: a check that pytest does not collect\n  hint: {hint}")
        return made

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Turn items into checks before pytest selects by marks."""
        faults = unknown_marks(config.option.markexpr or "", config.getini("markers"))
        faults += read_items(items, self.known, self.redactor) + self._overlooked
        self.askable = {item.stash[CHECK].service for item in items if _tells_availability(item)}
        if self._worker:
            told = {"runbook_askable": sorted(self.askable), "runbook_left_out": self.completeness.left_out}
            config.workeroutput.update(told)  # type: ignore[attr-defined]
        if not faults:
            return
        if self._worker:
            # A worker that raises is reported as crashed: the controller tells what is wrong instead.
            config.workeroutput["runbook_faults"] = faults  # type: ignore[attr-defined]
            items[:] = []
            return
        raise pytest.UsageError("\n".join(faults))

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_finish(self, session: pytest.Session) -> Generator[None, None, None]:
        """With --collect-only, show the guide in place of pytest's tree."""
        if not session.config.option.collectonly or session.config.option.verbose:
            return (yield)
        items, session.items = session.items, []
        try:
            yield
        finally:
            session.items = items
        for line in guide(item.stash[CHECK] for item in items if CHECK in item.stash):
            session.config.get_terminal_writer().line(line)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Ctrl-C, SIGTERM and SIGHUP break off the loop, once; the end of the session, with its reports, none of them."""
        if session.config.option.collectonly:
            return (yield)
        held = ExitStack()
        self.config.add_cleanup(held.close)
        ends = held.enter_context(interrupts.once(partial(setattr, session, "shouldstop", "asked to end")))
        try:
            self._begin(session)
            return (yield)
        finally:
            ends()

    def _begin(self, session: pytest.Session) -> None:
        """Open the record, then start every check that can run ahead of pytest's loop."""
        if not self._worker:
            self._open()
            self.completeness.select(item.nodeid for item in session.items)
        self.output.install()
        if not session.shouldfail and not session.testsfailed:
            self.runner.ahead(own_share(session.config, session.items))

    def _open(self) -> None:
        run = new_id()
        option = self.config.option
        record = head(
            id=run,
            system=self.settings.system.name,
            environment=self.settings.system.environment,
            selection=self.redactor.text(_selection(option)),
            gate=self.settings.gate,
            services=self.services,
            remediation=_remediation(option),
        )
        folder = Path(option.runbook_report) if option.runbook_report else self._runs() / run
        try:
            self.recorder = Recorder(record, folder, self.redactor, self._runbooks)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        except OSError as error:
            raise pytest.UsageError(
                f'cannot write the run to "{folder}": {error.strerror or error}\n  hint: name a writable folder with --report'
            ) from error
        for doubt in self.doubts:
            self.recorder.problem(f"the run went on without a part of its settings: {doubt}")
        self.config.hook.pytest_runbook_started(config=self.config, record=record)

    def _runs(self) -> Path:
        return self.config.rootpath / str(self.settings.report.directory)

    # -- a check -----------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Wait for the check, or run it now, and raise what it raised."""
        if CHECK not in pyfuncitem.stash:
            return None
        execution = self.runner.execute(pyfuncitem)
        pyfuncitem.stash[EXECUTION] = execution
        if execution.error is not None and execution.outcome != Outcome.PASSED:
            self.redactor.exception(execution.error)
            raise execution.error
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give the report its result, which travels with it from a worker to the controller."""
        if call.excinfo is not None:
            self.redactor.exception(call.excinfo.value)
        report = yield
        results.clean(report, self.redactor)
        result = self._result(item, call, report)
        if result is not None:
            self._accept(report, result)
            results.dress(report, result)
            report.runbook = result  # type: ignore[attr-defined]
        return report

    def _result(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> Result | None:
        if CHECK not in item.stash:
            return None
        if call.when == "call":
            # A report without an execution is of a part of the check, as of a subtest: the check's own follows.
            known = EXECUTION in item.stash
            return results.judged(item.stash[EXECUTION], report, self.redactor) if known else None
        if report.passed:
            return None
        started = clock.iso(clock.moment(call.start))
        return results.not_run(item.stash[CHECK], report, self.redactor, started)

    def _accept(self, report: pytest.TestReport, result: Result) -> None:
        if not result.bad:
            return
        waiver = self.policy.accepted(result.check, results.seen_at(result))
        if waiver is not None:
            results.waive(report, result, waiver)

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
        """A result leaves this process as JSON text: what carries it knows plain types only."""
        data = yield
        if data is not None and isinstance(data.get("runbook"), Result):
            data["runbook"] = json.dumps(data["runbook"].to_json())
        return data

    @pytest.hookimpl(wrapper=True)
    def pytest_report_from_serializable(
        self, data: dict[str, Any]
    ) -> Generator[
        None, pytest.CollectReport | pytest.TestReport | None, pytest.CollectReport | pytest.TestReport | None
    ]:
        """And comes back as a result."""
        report = yield
        if report is not None and isinstance(data.get("runbook"), str):
            report.runbook = Result.from_json(json.loads(data["runbook"]))  # type: ignore[union-attr]
        return report

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, Any] | None:
        """The word and the letter that the terminal shows for a check."""
        result: Result | None = getattr(report, "runbook", None)
        if result is None or result.outcome not in results.WORDS:
            return None
        category, letter = results.WORDS[Outcome(result.outcome)]
        colour = {"yellow": True} if result.outcome == Outcome.WAIVED else {"red": True}
        return category, letter, (f"{category.upper()} {result.severity}", colour)

    # -- the controller ----------------------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the result, in the order in which results come."""
        result: Result | None = getattr(report, "runbook", None)
        if self.recorder is None:
            return
        if result is None:
            if report.failed:
                self.other_failures += 1
                self._failed_parts.add(report.nodeid)
                self.recorder.problem(f"{report.nodeid} failed outside of its check, during {report.when}")
            return
        if result.outcome == Outcome.PASSED and report.nodeid in self._failed_parts:
            result.outcome, result.message = Outcome.FAILED, "a part of the check failed, as a subtest"
        self.recorder.add(result)
        if result.bad and (expired := self.policy.expired(result.check, results.seen_at(result))):
            self.recorder.problem(expired)
        self.config.hook.pytest_runbook_result(config=self.config, result=result)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """End what runs, then diagnose, decide the exit code and write the reports."""
        self.runner.close()
        self.output.remove()
        if self.faults:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            return
        if self.recorder is None:
            return
        self.recorder.diagnose()
        record = self.recorder.record
        record.reasons += self._reasons(record)
        status = session.exitstatus = verdict(record, int(exitstatus))
        self.recorder.finish(status, exitstatus == pytest.ExitCode.INTERRUPTED)
        self.config.hook.pytest_runbook_finished(config=self.config, record=record)
        session.exitstatus = record.exit_code or status  # the disk may have been full

    def _reasons(self, record: RunRecord) -> Iterator[str]:
        """Why the run is not green, beside what gates."""
        yield from reasons(record, self.other_failures, strict=bool(self.config.option.strict))
        holes = list(self.completeness.holes())
        for hole in holes:
            self.known_recorder.problem(hole)
        if holes:
            yield "not all that was selected was judged"
        if self.doubts:  # who knows where the checks would have looked
            yield "a part of the settings could not be read"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Under xdist, say what is wrong with the checks as pytest says it without."""
        for fault in self.faults:
            terminalreporter.write_line(f"ERROR: {fault}", red=True)


def _make(name: str, settings: ProbeSettings) -> Probe[Any]:
    return find(settings.kind)(name, settings)


def _remediation(option: Any) -> str:
    """How far the run may go."""
    mode: str = option.runbook_remediate
    return f"{mode}, up to {option.runbook_max_risk}" if mode in ("ask", "apply") else mode


def _selection(option: Any) -> str:
    """What was asked for and what was left out, as one would type it; it may stand in an environment that nobody sees."""
    asked: Iterable[str] = (
        f'-m "{option.markexpr}"' if option.markexpr else "",
        f'-k "{option.keyword}"' if option.keyword else "",
        *option.file_or_dir,
        *(f"--ignore={path}" for path in option.ignore or ()),
        *(f"--ignore-glob={pattern}" for pattern in option.ignore_glob or ()),
        *(f"--deselect={prefix}" for prefix in option.deselect or ()),
        "--last-failed" if getattr(option, "lf", False) else "",
    )
    return " ".join(part for part in asked if part)


def _tells_availability(item: pytest.Item) -> bool:
    return CHECK in item.stash and item.stash[CHECK].subject == AVAILABILITY
