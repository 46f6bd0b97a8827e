"""One project under each service manager that is no supervisord: a real Docker engine, compose, a real systemd."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_runbook import managers
from pytest_runbook.managers import Manager
from pytest_runbook.settings.load import load

from tests.deploy.shop import Shop
from tests.lean import LEAN
from tests.managers import engine as engines
from tests.managers.engine import IMAGE, PROJECT, Engine
from tests.managers.here import local
from tests.managers.systemd import booted
from tests.probes.databases import free_port

GOOD, BETTER, BAD, BROKEN, UNMADE = "1.4.2", "1.4.3", "2.0-wrong", "2.0-no-start", "9.9.9"
UNITS = ("base", "web", "web-canary")
SETTINGS = """
[system]
name = "Shop"
environment = "production"
env_file = "{folder}/.env"

[system.environment_map]
VERSION = "facts.deploy.version"

[confirm]
failures = 1
of = 1

[report]
formats = []

[services.web]
manager = "yard"
[services.base]
manager = "yard"

[probes.web]
kind = "http"
url = "http://127.0.0.1:{web}"

[facts.deploy]
version = ""

[deploy]
services = ["web"]
backup = false
restart = 60
deadline = 10

[deploy.healthy]
passes = 2
of = 3
interval = 0.2

[deploy.confirm]
passes = 2
of = 2
interval = 0.1

[deploy.canary.web]
manager = "{beside}"
unit = "web-canary"
probes = {{ web = "http://127.0.0.1:{canary}" }}
"""
CHECKS = """
from pathlib import Path
from pytest_runbook import check

OUT = Path(__file__).parents[2] / "out"


@check("predeploy", severity="P1", service="base")
def test_base_runs():
    '''What web needs has begun.'''
    assert (OUT / "base").exists()


@check("postdeploy", severity="P1", service="web")
async def test_web_says_its_version(web, facts):
    '''Web says what it is.'''
    assert (await web.get("/version")).text.strip() == facts.deploy.version
"""
SAYS = """
case "$VERSION" in *no-start) echo "no module named stations" >&2; exit 3;; *wrong) said=wrong;; *) said=$VERSION$FAULT;; esac
"""
CONTAINED = f"""{SAYS}
busybox mkdir /www; echo "$said" >/www/version; echo up >/out/{{name}}
busybox httpd -p 127.0.0.1:{{port}} -h /www
trap 'kill $!; exit 0' TERM; while :; do sleep 1000 & wait $!; done
"""
UNCONTAINED = f"""{SAYS}
mkdir -p {{folder}}/www/{{name}}; echo "$said" >{{folder}}/www/{{name}}/version; echo up >{{folder}}/out/{{name}}
exec {sys.executable} -m http.server --bind=127.0.0.1 --directory={{folder}}/www/{{name}} {{port}}
"""
SERVICE = """
[Unit]
DefaultDependencies=no
[Service]
EnvironmentFile={folder}/{env}
ExecStart=/bin/sh {folder}/{name}.sh
Restart=on-failure
"""


@dataclass
class Yard:
    """The project, and what runs its units."""

    shop: Shop
    manager: Manager
    beside: Manager
    """What runs the canary: the same, where one manager can give it another version than web."""
    variables: Path
    """The file of variables that the canary is started with."""
    images: bool
    """Whether a version is an image, which may be missing."""

    @property
    def runs(self) -> str | None:
        """The version of web."""
        return self.manager.version("web")

    def process(self, service: str) -> int:
        """Which one runs SERVICE."""
        (pid,) = self.manager.status(service).pids
        return pid

    @property
    def canary(self) -> tuple[str, tuple[int, ...]]:
        """How the canary is, and its processes."""
        status = self.beside.status("web-canary")
        return status.state, status.pids


@contextmanager
def compose(folder: Path, client: tuple[str, ...]) -> Iterator[Yard]:
    """Services of a compose file, by one form of compose; skips where it is not."""
    if local([*client, "version"], 30).status:
        pytest.skip(f'no "{" ".join(client)}" on this machine')
    ports = _ports()
    services: dict[str, dict[str, object]] = {
        name: {
            "image": f"{IMAGE}:${{VERSION:?the tag to run}}",
            "network_mode": "host",
            "env_file": ".env",
            "volumes": [f"{folder}/out:/out"],
            "command": ["sh", "-c", CONTAINED.replace("$", "$$").format(name=name, port=port)],
        }
        for name, port in ports.items()
    }
    services["web-canary"] |= {
        "image": f"{IMAGE}:${{CANARY_VERSION:-none}}",
        "environment": {"VERSION": "${CANARY_VERSION:-none}"},
        "profiles": ["canary"],
    }
    head = {"version": "3.9"} if client[-1] != "compose" else {}
    (folder / "compose.yml").write_text(json.dumps({**head, "services": services}))
    told = {"file": f"{folder}/compose.yml", "project": PROJECT, "command": client, "profiles": ["canary"]}
    with _engine() as there:
        yield _opened(folder, ports, "compose", {"yard": {"engine": there.address, **told}})


@contextmanager
def docker(folder: Path) -> Iterator[Yard]:
    """Containers by their names; the canary reads another variable of the same file."""
    ports = _ports()

    def made(name: str, variable: str) -> list[str]:
        words = ["--network=host", f"--env-file={folder}/.env", f"--env=VERSION=${{{variable}}}"]
        program = CONTAINED.format(name=name, port=ports[name])
        return [*words, f"--volume={folder}/out:/out", f"{IMAGE}:${{{variable}}}", "sh", "-c", program]

    with _engine() as there:
        told = {"engine": there.address, "env_file": f"{folder}/.env"}
        services = {name: made(name, "VERSION") for name in ("base", "web")}
        canary = {"web-canary": made("web-canary", "CANARY_VERSION")}
        beside = {**told, "version_variable": "CANARY_VERSION", "run": canary}
        yield _opened(folder, ports, "docker", {"yard": {**told, "run": services}, "beside": beside})


@contextmanager
def systemd(folder: Path) -> Iterator[Yard]:
    """Units of a systemd; the canary reads another file."""
    ports = _ports()
    files = dict.fromkeys(UNITS, ".env") | {"web-canary": "canary.env"}
    (folder / "units").mkdir()
    for name, port in ports.items():
        (folder / f"{name}.sh").write_text(UNCONTAINED.format(folder=folder, name=name, port=port))
        unit = SERVICE.format(folder=folder, name=name, env=files[name])
        (folder / "units" / f"{name}.service").write_text(unit)
    (folder / "canary.env").write_text(f"VERSION={GOOD}\n")
    with booted(folder) as inside:
        told = {"prefix": inside.enter, "env_file": f"{folder}/.env"}
        canary = {**told, "env_file": f"{folder}/canary.env"}
        yield _opened(folder, ports, "systemd", {"yard": told, "beside": canary})


def _ports() -> dict[str, int]:
    return {name: free_port() for name in UNITS}


@contextmanager
def _engine() -> Iterator[Engine]:
    """An engine with the images of all versions that can be had."""
    with engines.engine() as there:
        for version in (BAD, BROKEN):
            change = (f"--change={line}" for line in ("ENV PATH=/bin", f"LABEL version={version}"))
            made = there.docker("import", *change, str(there.folder / "image.tar"), f"{IMAGE}:{version}")
            assert made.status == 0, made.said
        yield there


def _opened(folder: Path, ports: Mapping[str, int], kind: str, told: Mapping[str, Mapping[str, Any]]) -> Yard:
    """The project in FOLDER with managers of KIND, TOLD by their names; its services run."""
    (folder / "out").mkdir()
    (folder / ".env").write_text(f"VERSION={GOOD}\nCANARY_VERSION={GOOD}\n")
    (folder / "checks" / "web").mkdir(parents=True)
    (folder / "checks" / "web" / "availability.py").write_text(CHECKS)
    (folder / "pytest.ini").write_text(
        "[pytest]\nrunbook_settings = shop.toml\npython_files = checks/*/*.py\n"
        f"addopts = {LEAN} --import-mode=importlib\n"
    )
    beside = [*told][-1]
    text = SETTINGS.format(folder=folder, beside=beside, web=ports["web"], canary=ports["web-canary"])
    (folder / "shop.toml").write_text(text + "".join(_declared(name, kind, one) for name, one in told.items()))
    settings = load(folder, file=folder / "shop.toml", environ={}).settings
    manager, other = (managers.named(settings, name, local) for name in ("yard", beside))
    variables = folder / ("canary.env" if kind == "systemd" else ".env")
    yard = Yard(Shop(folder, ports), manager, other, variables, images=kind != "systemd")
    for service in ("base", "web"):
        yard.manager.start(service, 60)
    return yard


def _declared(name: str, kind: str, told: Mapping[str, Any]) -> str:
    """The section of the manager NAME in the settings file."""
    told = {"kind": kind, "steady": 0.5, "grace": 1.0, **told}
    return "".join([f"\n[managers.{name}]\n", *(f"{key} = {_toml(value)}\n" for key, value in told.items())])


def _toml(value: Any) -> str:
    """VALUE on one line; strings and lists of them are the same in JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)
