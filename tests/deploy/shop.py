"""A small shop that can be deployed: two real services under a real supervisord, whose versions are good and bad."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pytest_runbook.history import DeploymentRow, Store

from tests.lean import LEAN
from tests.managers.here import local
from tests.managers.supervisord import CONTROL, HEAD, PASSWORD
from tests.probes.databases import free_port

GOOD = "1.4.2"
SERVICES = ("web", "ml")
CANARIES = ("web-canary", "ml-canary")
HISTORY = "sqlite:///var/history.db"
SECRET = "correct-horse-of-the-shop"
COMMAND = [sys.executable, "-c", "from pytest_runbook.cli import main; main()"]
SETTINGS = """
[system]
name = "Shop"
environment = "production"
env_file = "env"

[system.environment_map]
VERSION = "facts.deploy.version"
DB_PASSWORD = "facts.shop.password"

[confirm]
failures = 1
of = 1

[report]
formats = []

[managers.shop]
kind = "supervisor"
command = {control}
config = "{folder}/supervisord.conf"
env_file = "{folder}/env"
steady = 0.3
grace = 2.0

[managers.beside]
kind = "supervisor"
command = {control}
prefix = ["{folder}/allowed"]
config = "{folder}/supervisord.conf"
env_file = "{folder}/canary-env"
steady = 0.3
grace = 2.0

[services.web]
manager = "shop"
[services.ml]
manager = "shop"
[services.stock]
manager = "shop"
unit = "ml"

[probes.web]
kind = "http"
url = "http://127.0.0.1:{web}"
timeout = 10
[probes.ml]
kind = "http"
url = "http://127.0.0.1:{ml}"
timeout = 10

[backup.destinations.local]
kind = "folder"
path = "{folder}/backups"
[backup.files.roots]
variables = "{folder}/env"

[facts.deploy]
version = ""
[facts.shop]
password = ""
error_window = 300

[deploy]
services = ["web", "ml"]
backup = false
restart = 20
deadline = 6
since = ["facts.shop.error_window"]
every = 0.1

[deploy.healthy]
passes = 2
of = 3
interval = 0.1

[deploy.confirm]
passes = 2
of = 3
interval = 0.1

[deploy.health.web]
probe = "web"
version = "version"
[deploy.health.ml]
probe = "ml"
version = "version"

[deploy.canary.web]
manager = "beside"
unit = "web-canary"
probes = {{ web = "http://127.0.0.1:{web-canary}" }}
[deploy.canary.ml]
manager = "beside"
unit = "ml-canary"
probes = {{ ml = "http://127.0.0.1:{ml-canary}" }}

[deploy.compare]
"page.time" = {{ ratio = 2.0, floor = 3.0 }}
"""
CHECKS = '''
import time
from pathlib import Path
from pytest_runbook import Unmeasured, check

ROOT = Path(__file__).parents[2]


@check("predeploy", severity="P1")
async def test_gate_is_open(web, facts):
    """Nobody has closed the gate for this version."""
    closed = ROOT / "closed"
    assert not closed.exists() or closed.read_text() != facts.deploy.version, "the gate is closed"


@check("postdeploy", severity="P1")
async def test_page_opens(web):
    """The page opens."""
    answer = await web.get("/")
    assert answer.status_code == 200, f"/ answered {answer.status_code}"


@check("postdeploy", severity="P1")
async def test_version_is_the_one_deployed(web, facts):
    """What runs is what was deployed."""
    assert (await web.get("/health")).json()["version"] == facts.deploy.version


@check("postdeploy", severity="P1")
async def test_each_version_is_the_one_deployed(ml, settings, facts):
    """So it is of the other service; of one that a deployment leaves out nothing is told."""
    asked = "ml" in settings.deploy.services
    deployed = settings.deploy.versions.get("ml", facts.deploy.version) if asked else ""
    assert not deployed or await ml.values("/health", "version") == {deployed}


@check("postdeploy", severity="P1")
def test_nothing_is_half_done(changes):
    """Nothing was killed, or is held; a deployment, which may go back while a restore is held, is not judged by that."""
    left = changes.half_done()
    assert not left, left


@check("postdeploy", severity="P2")
async def test_page_is_quick(web, measure):
    """The page is quick."""
    begun = time.perf_counter()
    await web.get("/")
    assert measure("page.time", time.perf_counter() - begun, "s") < 9


@check("postdeploy", severity="P2")
async def test_figures_are_told(web):
    """The service tells its figures."""
    answer = await web.get("/figures")
    if answer.status_code == 404:
        raise Unmeasured("the service tells no figures")
    assert answer.status_code == 200


@check("postdeploy", severity="P2")
async def test_no_errors_in_the_log(facts):
    """Nobody wrote an error lately."""
    log = ROOT / "errors"
    young = log.exists() and time.time() - log.stat().st_mtime < facts.shop.error_window
    assert not young, f"there are errors in the log ({facts.shop.password})"
'''
SERVER = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

version = os.environ["VERSION"]
kind = version.partition("-")[2]
if kind == "no-start":
    sys.exit("no module named stations")


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200
        if kind == "mute" and self.path == "/health":
            status = 503
        if kind == "blind" and self.path == "/figures":
            status = 404
        if kind == "slow" and self.path == "/":
            time.sleep(4.0)
        late = kind == "failing-late" and Path("late").exists()
        if (kind == "failing" or late) and self.path == "/":
            Path("errors").write_text("it fails")
            status = 500
        body = json.dumps({"version": version, "status": "healthy"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""
PROGRAM = """
[program:{name}]
command={folder}/start {env} {port}
directory={folder}
autostart=false
autorestart=false
startsecs=0
startretries=0
killasgroup=true
"""
ALLOWED = """#!/bin/sh
# What an operator may do, as sudo would say it.
case "$*" in *" stop "*|*KILL*) [ -e "{folder}/stuck" ] && echo "not allowed" >&2 && exit 1;; esac
exec "$@"
"""


@dataclass
class Shop:
    """The project, its services and their history."""

    folder: Path
    ports: Mapping[str, int]
    environment: dict[str, str] = field(default_factory=dict)
    history: str = HISTORY

    @property
    def store(self) -> Store:
        return Store.open(self.history, "Shop", "production", root=self.folder)

    @property
    def row(self) -> DeploymentRow:
        """The newest deployment."""
        return self.store.deployments(1)[0]

    @property
    def phases(self) -> list[tuple[str, str | None]]:
        return [(phase.phase, phase.outcome) for phase in self.row.phases]

    def serves(self, service: str = "web") -> str:
        """The version that users meet."""
        return str(httpx.get(f"http://127.0.0.1:{self.ports[service]}/health", timeout=3).json()["version"])

    def served(self) -> set[str]:
        return {self.serves(service) for service in SERVICES}

    def processes(self, *services: str) -> dict[str, str]:
        """Service to how supervisord says it is, its process included."""
        lines = [line.split() for line in self.control("status").splitlines()]
        return {words[0]: " ".join(words[1:4]).rstrip(",") for words in lines if words[0] in services}

    def begin(
        self,
        *arguments: str,
        stdin: int = subprocess.DEVNULL,
        powerless: bool = False,
        inside: Sequence[str] = (),
    ) -> subprocess.Popen[str]:
        """`runbook ARGUMENTS`, as it runs, INSIDE of what starts it. POWERLESS takes from root the right to read everything."""
        plainly = [*inside, *(["setpriv", "--bounding-set=-all"] if powerless and os.geteuid() == 0 else [])]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
        return subprocess.Popen(
            [*plainly, *COMMAND, *arguments],
            cwd=self.folder,
            env={**inherited, **self.environment},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def runbook(self, *arguments: str, powerless: bool = False) -> tuple[int, str]:
        """Exit code and output of `runbook ARGUMENTS`."""
        process = self.begin(*arguments, powerless=powerless)
        output, _ = process.communicate(timeout=180)
        return process.returncode, output

    def told(self, *arguments: str) -> Any:
        """What `runbook ARGUMENTS --json` says."""
        return json.loads(self.runbook(*arguments, "--json")[1])

    def control(self, *words: str) -> str:
        return local([*CONTROL, "-c", str(self.folder / "supervisord.conf"), *words], 30).said

    def reset(self) -> None:
        """Good versions, and no history."""
        self.history = HISTORY
        for name in ("errors", "closed", "late", "stuck"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "var", ignore_errors=True)
        (self.folder / "env").write_text(f"DB_PASSWORD={SECRET}\nVERSION={GOOD}\n")
        (self.folder / "canary-env").write_text(f"VERSION={GOOD}\n")
        if not self.well:
            self.control("stop", "all")
            self.control("start", *SERVICES)

    @property
    def well(self) -> bool:
        """Whether the good versions are served, and no canary."""
        states = self.processes(*SERVICES, *CANARIES).items()
        with suppress(httpx.HTTPError):
            return {name for name, said in states if "RUNNING" in said} == {*SERVICES} and self.served() == {GOOD}
        return False


@contextmanager
def shop(folder: Path) -> Iterator[Shop]:
    """A shop in FOLDER, whose path is short enough for a socket; its services run."""
    made = Shop(folder, {name: free_port() for name in (*SERVICES, *CANARIES)})
    (folder / "pytest.ini").write_text(
        "[pytest]\nrunbook_settings = shop.toml\npython_files = checks/*/*.py\n"
        f"addopts = {LEAN} --import-mode=importlib\n"
    )
    control = json.dumps(CONTROL)
    (folder / "shop.toml").write_text(SETTINGS.format(folder=folder, control=control, **made.ports))
    (folder / "checks" / "web").mkdir(parents=True)
    (folder / "checks" / "web" / "availability.py").write_text(CHECKS)
    (folder / "serve.py").write_text(SERVER)
    start = folder / "start"
    start.write_text(f'#!/bin/sh\nset -a\n. "{folder}/$1"\nexec {sys.executable} -I -S serve.py "$2"\n')
    start.chmod(0o755)
    allowed = folder / "allowed"
    allowed.write_text(ALLOWED.format(folder=folder))
    allowed.chmod(0o755)
    head = HEAD if os.geteuid() == 0 else HEAD.replace("user=root\n", "")
    programs = "".join(
        PROGRAM.format(name=name, folder=folder, port=port, env="canary-env" if name in CANARIES else "env")
        for name, port in made.ports.items()
    )
    config = folder / "supervisord.conf"
    config.write_text(head.format(folder=folder, password=PASSWORD) + textwrap.dedent(programs))
    for name in ("env", "canary-env"):
        (folder / name).write_text("")
    started = local([sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(config)], 30)
    assert started.status == 0, started.said
    try:
        yield made
    finally:
        made.control("stop", "all")
        made.control("shutdown")


@contextmanager
def keyboard() -> Iterator[tuple[int, int]]:
    """Where somebody types, and the terminal that a command reads it from."""
    keys, terminal = os.openpty()
    try:
        yield keys, terminal
    finally:
        os.close(keys)
        os.close(terminal)
