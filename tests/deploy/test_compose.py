"""The same on a real Docker engine with compose: only the named service is made anew, and a bad version is taken back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_runbook.managers.compose import Compose, ComposeSettings

from tests.deploy.shop import Shop
from tests.deploy.test_killed import kill
from tests.managers.conftest import short_folder
from tests.managers.engine import IMAGE, PROJECT, Engine, engine
from tests.managers.here import local
from tests.probes.databases import free_port

GOOD, BETTER, BAD, BROKEN = "1.4.2", "1.4.3", "2.0-wrong", "2.0-no-start"
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

[managers.engine]
kind = "compose"
engine = "{engine}"
file = "{folder}/compose.yml"
project = "{project}"
command = {client}
profiles = ["canary"]
steady = 0.5
grace = 1.0

[services.web]
manager = "engine"
[services.base]
manager = "engine"

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
manager = "engine"
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
PROGRAM = """
case "$VERSION" in *no-start) echo "no module named stations" >&2; exit 3;; *wrong) said=wrong;; *) said=$VERSION;; esac
busybox mkdir /www; echo "$said" >/www/version; echo up >/out/{name}
busybox httpd -p 127.0.0.1:{port} -h /www
trap 'kill $!; exit 0' TERM; while :; do sleep 1000 & wait $!; done
"""


@dataclass
class Yard:
    """A project whose services are containers."""

    shop: Shop
    engine: Engine
    manager: Compose

    def container(self, service: str) -> str:
        """Which container runs SERVICE, and since when."""
        (pid,) = self.manager.status(service).pids
        return f"{pid}"


@pytest.fixture(scope="module", params=["docker compose", "docker-compose"])
def yard(request: pytest.FixtureRequest) -> Iterator[Yard]:
    client = tuple(request.param.split())
    if local([*client, "version"], 30).status:
        pytest.skip(f'no "{request.param}" on this machine')
    with short_folder() as folder, engine() as there:
        for version in (BAD, BROKEN):
            tag = f"{IMAGE}:{version}"
            made = there.docker(
                *("import", "--change=ENV PATH=/bin", f"--change=LABEL version={version}"),
                str(there.folder / "image.tar"),
                tag,
            )
            assert made.status == 0, made.said
        settings = _written(folder, there, client)
        manager = Compose("engine", settings, local)
        for service in ("base", "web"):
            manager.start(service, 60)
        yield Yard(Shop(folder, {}), there, manager)


def _written(folder: Path, there: Engine, client: tuple[str, ...]) -> ComposeSettings:
    """Write the project into FOLDER; the settings of its manager."""
    ports = {name: free_port() for name in ("base", "web", "web-canary")}
    services: dict[str, dict[str, object]] = {
        name: {
            "image": f"{IMAGE}:${{VERSION:?the tag to run}}",
            "network_mode": "host",
            "env_file": ".env",
            "volumes": [f"{folder}/out:/out"],
            "command": ["sh", "-c", PROGRAM.replace("$", "$$").format(name=name, port=port)],
        }
        for name, port in ports.items()
    }
    services["web-canary"] |= {
        "image": f"{IMAGE}:${{CANARY_VERSION:-none}}",
        "environment": {"VERSION": "${CANARY_VERSION:-none}"},
        "profiles": ["canary"],
    }
    (folder / "out").mkdir()
    head = {"version": "3.9"} if client[-1] != "compose" else {}
    (folder / "compose.yml").write_text(json.dumps({**head, "services": services}))
    (folder / ".env").write_text(f"VERSION={GOOD}\nCANARY_VERSION={GOOD}\n")
    (folder / "checks" / "web").mkdir(parents=True)
    (folder / "checks" / "web" / "availability.py").write_text(CHECKS)
    (folder / "pytest.ini").write_text(
        "[pytest]\nrunbook_settings = shop.toml\npython_files = checks/*/*.py\n"
        "addopts = -p no:randomly -p no:valkey -p no:cacheprovider --import-mode=importlib\n"
    )
    told = {"folder": folder, "engine": there.address, "project": PROJECT, "client": json.dumps(client)}
    where = {"web": ports["web"], "canary": ports["web-canary"]}
    (folder / "shop.toml").write_text(SETTINGS.format(**told, **where))
    return ComposeSettings(
        kind="compose",
        engine=there.address,
        file=str(folder / "compose.yml"),
        project=PROJECT,
        command=client,
        profiles=("canary",),
        steady=0.5,
        grace=1.0,
    )


@pytest.mark.skipif(not shutil.which("dockerd"), reason="no Docker engine on this machine")
def test_deployments_and_rollbacks_on_a_real_engine(yard: Yard) -> None:
    """One story, because an engine takes its time: good, wrong, without a start, and back."""
    before, untouched = yard.manager.version("web"), yard.container("base")
    new = BETTER if before == GOOD else GOOD
    code, output = yard.shop.runbook("deploy", new)
    assert code == 0, output
    assert (yard.manager.version("web"), yard.manager.version("base")) == (new, GOOD)

    code, output = yard.shop.runbook("deploy", BAD)
    assert code == 1, output
    assert "verify failed: web/availability::web_says_its_version" in (yard.shop.row.why or "")
    assert yard.manager.version("web") == new

    code, output = yard.shop.runbook("deploy", BROKEN)
    assert code == 1, output
    assert "switch failed" in (yard.shop.row.why or "")
    assert yard.manager.version("web") == new

    code, output = yard.shop.runbook("deploy", "9.9.9")
    assert code == 1, output
    assert yard.manager.version("web") == new, "an image that cannot be had"

    code, output = yard.shop.runbook("rollback")
    assert code == 0, output
    assert yard.manager.version("web") == before
    assert yard.container("base") == untouched


@pytest.mark.skipif(not shutil.which("dockerd"), reason="no Docker engine on this machine")
def test_canaries_on_a_real_engine(yard: Yard) -> None:
    """Another story: wrong, without a start, without an image, killed, and good; web is the same container until then."""
    before, untouched = yard.manager.version("web"), (yard.container("web"), yard.container("base"))
    for version, seen in ((BAD, "says_its_version"), (BROKEN, "did not start"), ("9.9.9", "there is no image")):
        code, output = yard.shop.runbook("deploy", version, "--canary")
        assert code == 5, output
        assert seen in output
        assert (yard.manager.version("web"), yard.manager.status("web-canary").pids) == (before, ())
        assert (yard.container("web"), yard.container("base")) == untouched

    new = BETTER if before == GOOD else GOOD
    kill(yard.shop, new, "canary", 4.0, "--canary")
    code, output = yard.shop.runbook("deploy", "--abort")
    assert code == 0, output
    assert (yard.container("web"), yard.container("base")) == untouched
    assert yard.manager.status("web-canary").pids == ()

    code, output = yard.shop.runbook("deploy", new, "--canary")
    assert code == 0, output
    assert (yard.manager.version("web"), yard.manager.version("web-canary")) == (new, new)
    assert yard.manager.status("web-canary").state == "stopped"
    assert yard.container("base") == untouched[1]
