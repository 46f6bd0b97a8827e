"""`python -m lab.deployments [VERSION…]`: deploy good and bad versions on a lab, kill deployments, and write the table.

docs/deployment-table.md is written from what was seen; every end is looked at by a run of the checks of its own.
Exit code 0: each ended as expected, on a verified version · 1: one did not.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.history import DeploymentRow, Store

from lab import Lab, home
from lab.rounds import HURRY, OURS, ROOT, run_checks

COMMAND = [sys.executable, "-c", "from pytest_runbook.cli import main; main()"]
BEFORE = "1.4.2"
VERSIONS = {
    "1.4.3": ("a good version", "deployed", ()),
    "1.5.0-slow": ("every answer takes 0.3 s more, within the limits", "rolled-back", ()),
    "1.5.0-failing": ("a quarter of the pages end in an error", "rolled-back", ()),
    "1.5.0-failing-after-60s": ("the same, a minute after its start", "rolled-back", ("--soak", "70")),
    "1.5.0-no-start": ("its processes end at once", "rolled-back", ()),
    "1.5.0-broken-migration": ("its migration fails half-way, web does not start", "rolled-back", ()),
}
"""Version to what it is like, how its deployment ends, and how it is deployed."""
CANARIES = {
    "1.5.0-slow": ("refused", ()),
    "1.5.0-failing": ("refused", ()),
    "1.5.0-failing-after-60s": ("refused", ("--soak", "70")),
    "1.5.0-no-start": ("refused", ()),
    "1.4.3": ("deployed", ()),
}
"""The same of those that run as canaries first; after the bad ones nothing has to be taken back."""
KILLS = (
    ("backup", "--resume"),
    ("canary", "--abort"),
    ("canary", "--resume"),
    ("switch", "--resume"),
    ("healthy", "--abort"),
    ("verify", "--abort"),
    ("switch-back", "--abort"),
)
"""Phase in which a deployment is killed, and how it is finished; the last one is of a version that fails."""
GOOD, FAILING = "1.4.3", "1.5.0-failing"


@dataclass(frozen=True)
class Ending:
    """What came of one deployment."""

    row: DeploymentRow
    what: str
    expected: str
    serves: str
    """The version that web says it is, asked for itself."""
    green: bool
    """Whether a run of the checks of its own was green."""
    canaries: Sequence[str] = ()
    """Those that were left running, by what supervisord says."""

    @property
    def version(self) -> str:
        """The version that should run now."""
        return self.row.version if self.row.outcome == "deployed" else self.row.before["web"]

    @property
    def as_expected(self) -> bool:
        """Whether it ended as it should, where it should."""
        ended = self.row.outcome == self.expected and self.serves == self.version
        return ended and self.green and not self.canaries

    @property
    def found(self) -> str:
        """The phase in which it was found out, and by what."""
        failed = next((phase for phase in self.row.phases if phase.outcome == "failed"), None)
        return f"{failed.phase}: {_short(failed.said or '')}" if failed else "-"

    @property
    def back(self) -> str:
        """How long users had the new version, until the one before was verified."""
        forth = next((phase.started for phase in self.row.phases if phase.phase == "switch"), None)
        back = any(phase.phase == "switch-back" for phase in self.row.phases)
        return _seconds((self.row.ended - forth).total_seconds()) if back and forth and self.row.ended else "-"


class Round:
    """One lab on which versions are deployed, one after the other."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab, self._folder = lab, folder
        url = f"sqlite:///{folder}/history.db"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(OURS)},
            **HURRY,
            **lab.environment(),
            "RUNBOOK__HISTORY__URL": url,
            "RUNBOOK__REPORT__DIRECTORY": str(folder / "runs"),
            "RUNBOOK__REPORT__FORMATS": "[]",
        }
        self._store = Store.open(url, "NightScan", "production")

    def command(self, *words: str) -> int:
        """The exit code of `runbook WORDS`, whose output is shown."""
        print(f"$ runbook {' '.join(words)}", flush=True)
        return subprocess.run([*COMMAND, *words], cwd=ROOT, env=self.environment, check=False).returncode

    def deploy(self, version: str) -> Ending:
        """Deploy VERSION, and see what came of it."""
        what, expected, options = VERSIONS[version]
        self.command("deploy", version, *options)
        return self._ending(what, expected)

    def try_first(self, version: str) -> Ending:
        """Deploy VERSION with canaries, and see what came of it."""
        expected, options = CANARIES[version]
        self.command("deploy", version, "--canary", *options)
        return self._ending(VERSIONS[version][0], expected)

    def killed(self, version: str, phase: str, way: str) -> Ending:
        """Kill a deployment of VERSION in PHASE, finish it by WAY, and see what came of it."""
        print(f"$ runbook deploy {version}, and kill -9 in {phase}", flush=True)
        last = max((row.id for row in self._store.deployments(1)), default=0)
        beside = ["--canary"] if phase == "canary" else []
        process = subprocess.Popen([*COMMAND, "deploy", version, *beside], cwd=ROOT, env=self.environment)
        while process.poll() is None and not self._reached(last, phase):
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.command("deploy", "--status")
        self.command("deploy", way)
        given_up = "aborted" if phase == "canary" else "rolled-back"
        return self._ending(f"killed in {phase}, then {way}", "deployed" if way == "--resume" else given_up)

    def _reached(self, last: int, phase: str) -> bool:
        rows = self._store.deployments(1)
        begun = bool(rows) and rows[0].id > last and any(one.phase == phase for one in rows[0].phases)
        return begun and (phase != "canary" or bool(self._canaries()))

    def _ending(self, what: str, expected: str) -> Ending:
        row = self._store.deployments(1)[0]
        told = home.read_env(self._lab.site)["VERSION"]
        told_run = {**self._lab.environment(), "VERSION": told, "RUNBOOK__FACTS__LOGS__ERROR_WINDOW": "5"}
        record = run_checks(self._folder / f"look-{row.id}", told_run, expression="postdeploy")
        return Ending(row, what, expected, self._serves(), record.exit_code == 0, self._canaries())

    def _canaries(self) -> list[str]:
        """The canaries that run."""
        found = self._lab.supervisor.processes()
        beside = [name for name, server in self._lab.servers.items() if server.on_demand]
        return [name for name in beside if found[name]["statename"] in ("RUNNING", "STARTING", "BACKOFF")]

    def _serves(self) -> str:
        import httpx

        url = self._lab.environment()["RUNBOOK__PROBES__WEB__URL"]
        return str(httpx.get(f"{url}/health", timeout=10).json()["version"])

    def back_to(self, version: str) -> None:
        """Have VERSION run, whatever ran before."""
        if self._serves() != version:
            self.command("rollback", "--to", version)


def _plain(round_: Round, versions: Sequence[str]) -> Iterator[Ending]:
    for version in versions or VERSIONS:
        round_.back_to(BEFORE)
        yield round_.deploy(version)


def _canaries(round_: Round, versions: Sequence[str]) -> Iterator[Ending]:
    for version in (version for version in versions or CANARIES if version in CANARIES):
        round_.back_to(BEFORE)
        yield round_.try_first(version)


def _killed(round_: Round, versions: Sequence[str]) -> Iterator[Ending]:
    for phase, way in KILLS if not versions else ():
        round_.back_to(BEFORE)
        yield round_.killed(FAILING if phase.endswith("back") else GOOD, phase, way)


PARTS = {"plain": _plain, "canaries": _canaries, "killed": _killed}
"""The tables of the page; what is killed needs no versions."""


def page(made: Mapping[str, Sequence[Ending]]) -> Iterator[str]:
    """The page for people."""
    yield "# The deployment table"
    yield ""
    yield (
        "Versions of the lab's services, good and bad, deployed by `runbook deploy` one after the other, and deployments that"
        " were killed by `kill -9`. After each, a run of the checks of its own looked at what was left. Written by"
        f" `python -m lab.deployments` on {platform.system()} with Python {platform.python_version()}; seconds depend on the"
        " machine."
    )
    yield ""
    everything = [one for endings in made.values() for one in endings]
    good = sum(one.as_expected for one in everything)
    yield f"- {good} of {len(everything)} ended as they should, on a version that those checks found green."
    yield ""
    yield from _table(made["plain"])
    yield ""
    yield "## With canaries first"
    yield ""
    yield (
        "`runbook deploy VERSION --canary`: the versions run beside the services first. A row is as it should be when, beside"
        " that, supervisord says that no canary is left running."
    )
    yield ""
    yield from _table(made["canaries"])
    yield ""
    yield "## Killed"
    yield ""
    yield from _table(made["killed"])


def _table(endings: Sequence[Ending]) -> Iterator[str]:
    yield "| version | what | found out in | ended | serves then | its checks | new version until verified back | whole |"
    yield "|---|---|---|---|---|---|---:|---:|"
    for one in endings:
        whole = _seconds((one.row.ended - one.row.started).total_seconds()) if one.row.ended else "-"
        cells = (
            one.row.version,
            one.what,
            one.found,
            one.row.outcome or "held",
            one.serves,
            "green" if one.green else "not green",
        )
        yield f"| {' | '.join([*cells, one.back, whole])} |"


def _short(text: str, most: int = 110) -> str:
    line = " ".join(text.partition("\n")[0].split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _seconds(value: float) -> str:
    return clock.duration(value)


def main(arguments: Sequence[str]) -> int:
    """Deploy what ARGUMENTS name, all without."""
    parser = argparse.ArgumentParser(prog="python -m lab.deployments", description=__doc__.partition("\n")[0])
    parser.add_argument("versions", nargs="*", metavar="VERSION", choices=[*VERSIONS, []], help="only these; no page")
    parser.add_argument("--part", choices=PARTS, help="only this table, which is printed; no page")
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="folder of the page (default: docs)")
    option = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    made: dict[str, list[Ending]] = {name: [] for name in PARTS}
    with tempfile.TemporaryDirectory(prefix="deploy-") as folder:
        lab = Lab(Path(folder) / "lab")
        try:
            lab.up(lambda line: print(f"lab: {line}", flush=True))
            round_ = Round(lab, Path(folder))
            for name in [option.part] if option.part else PARTS:
                for one in PARTS[name](round_, option.versions):
                    said = "as expected" if one.as_expected else "NOT AS EXPECTED"
                    print(f"{one.row.version:26} {one.what:50} {one.row.outcome} {said}", flush=True)
                    made[name].append(one)
        finally:
            lab.down(purge=True)
    if option.versions or option.part:
        print("\n".join(line for endings in made.values() if endings for line in _table(endings)))
    else:
        path = option.into / "deployment-table.md"
        path.write_text("\n".join(page(made)) + "\n")
        print(f"written: {path}")
    return int(not all(one.as_expected for endings in made.values() for one in endings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
