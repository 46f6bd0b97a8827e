"""The part of a pytest session that comes after the checks: what failed is treated by its runbook, and looked at again."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from pytest_runbook import clock
from pytest_runbook.errors import HistoryError
from pytest_runbook.files import memory
from pytest_runbook.model import Outcome, Risk
from pytest_runbook.recorder import verdict
from pytest_runbook.runbooks.mode import Mode

if TYPE_CHECKING:
    from pytest_runbook.history.store import Store
    from pytest_runbook.runbooks.only import Only
    from pytest_runbook.session import RunbookSession


@dataclass
class Remediation:
    """Treats cases in the controller, one after the other, until none is left that was not tried."""

    config: pytest.Config
    run: RunbookSession
    mode: Mode
    max_risk: Risk

    @property
    def named(self) -> str | None:
        """The one runbook that a person named."""
        only = self._only
        return only.name if only else None

    @property
    def only(self) -> str | None:
        """The one step that a person named."""
        only = self._only
        return only.step if only else None

    @property
    def _only(self) -> Only | None:
        found: Only | None = self.config.pluginmanager.getplugin("runbook-only")
        return found

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """After the checks: what was fixed lately and fails again counts more, and what failed is treated."""
        answer = yield
        recorder = self.run.recorder
        if recorder is None:
            return answer
        recorder.diagnose()
        begun = self.run.settings.history.begun(self.config.rootpath)
        if not self._asked(begun):
            return answer
        try:
            if self.mode == Mode.PLAN and not begun:
                with TemporaryDirectory(dir=memory()) as folder:  # a plan leaves nothing behind, a history neither
                    self._after(session, f"sqlite:///{folder}/history.db")
            else:
                self._after(session, self.run.settings.history.url.get_secret_value())
        except (HistoryError, OSError) as error:  # both are what a full disk says
            acted = any(step.started for result in recorder.record.results for step in result.steps)
            ended = "nothing more was" if acted else "nothing was"
            history = isinstance(error, HistoryError)
            why = "without a history there are no guards" if history else "this machine did not let it"
            recorder.problem(f"{ended} mended, for {why}: {error}")
        return answer

    def _asked(self, begun: bool) -> bool:
        """Whether there is something to do after the checks; the history, if it was BEGUN, may tell of a run that died."""
        if self.only or any(result.bad for result in self.run.known_recorder.record.results):
            return begun or self.mode != Mode.OFF
        return begun and self.mode in (Mode.ASK, Mode.APPLY)

    def _after(self, session: pytest.Session, url: str) -> None:
        # Late: a run that may not act, or has nothing to tell, pays for neither.
        from pytest_runbook.history.store import Store
        from pytest_runbook.runbooks.snapshot import snapshot
        from pytest_runbook.runbooks.ward import Ward

        recorder, system = self.run.known_recorder, self.run.settings.system
        store = Store.open(url, system.name, system.environment, root=self.config.rootpath)
        self._promote(store)
        if self.mode == Mode.OFF:
            return
        kept = recorder.folder / f"remediation-{recorder.record.id}"  # runs that share the folder keep one each
        with snapshot(self.config.rootpath / "remediation", kept, recorder.problem) as folder:
            if self.mode == Mode.PLAN:
                return Ward(self, session, store, folder).treat_all()
            self.tell_unknown(store)
            store.begin_run(recorder.record.id)
            Ward(self, session, store, folder).treat_all()
            store.end_run(recorder.record.id, verdict(recorder.record, 0))

    def tell_unknown(self, store: Store) -> None:
        """Close what runs that died left open, and say which steps nobody knows the end of."""
        for step in store.close_unknown():
            if step.started:
                self.run.known_recorder.problem(
                    f'the run {step.run} was killed while "{step.step}" of {step.runbook} ran on {step.service}:'
                    " nobody knows whether it took effect"
                )

    def _promote(self, store: Store) -> None:
        """A check that fails again soon after its fix counts one severity higher."""
        recorder = self.run.known_recorder
        for result in recorder.record.results:
            if result.outcome not in (
                Outcome.FAILED,
                Outcome.TIMED_OUT,
            ):  # blocked, or not seen, says nothing of the fix
                continue
            if watched := store.watched(result.check.id):
                store.recurred(result.check.id)
                ago = clock.duration((clock.now() - watched.since).total_seconds())
                result.recurred = f"{watched.runbook} fixed it {ago} ago, and it fails again"
                recorder.amend(result)
