"""What only one kind of manager does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_runbook.errors import ManagerError
from pytest_runbook.managers import Completed
from pytest_runbook.managers._processes import started_with
from pytest_runbook.managers.compose import Compose, ComposeSettings
from pytest_runbook.managers.docker import Docker, DockerSettings, tag
from pytest_runbook.managers.supervisor import Supervisor, SupervisorSettings

from tests.managers import engine as engines
from tests.managers.bench import Bench
from tests.managers.conftest import short_folder
from tests.managers.here import local
from tests.managers.supervisord import CONTROL, supervisord

CLIENTS = [("docker", "compose"), ("docker-compose",)]


@pytest.fixture
def docker(engine: engines.Engine, tmp_path: Path) -> Iterator[Bench]:
    with engines.docker(engine, tmp_path) as bench:
        bench.reset()
        yield bench


@pytest.fixture(params=CLIENTS, ids=" ".join)
def compose(request: pytest.FixtureRequest, engine: engines.Engine, tmp_path: Path) -> Iterator[Bench]:
    with engines.compose(engine, tmp_path, request.param) as bench:
        bench.reset()
        yield bench


def test_group_of_programs_is_one_unit() -> None:
    with short_folder() as folder, supervisord(folder) as bench:
        bench.manager.start("worker:*", 20)
        before = bench.manager.status("worker:*")
        assert (before.state, len(before.pids)) == ("running", 2)
        bench.manager.stop("worker:0", 20)
        assert bench.manager.status("worker:*").state == "stopped", "the worst of them counts"
        bench.manager.restart("worker:*", 20)
        after = bench.manager.status("worker:*")
        assert (after.state, len(after.pids)) == ("running", 2)
        assert not set(before.pids) & set(after.pids)


def test_supervisord_that_is_not_there_is_told(tmp_path: Path) -> None:
    config = tmp_path / "supervisord.conf"
    config.write_text(f"[supervisorctl]\nserverurl=unix://{tmp_path}/sock\n")
    manager = Supervisor("lab", SupervisorSettings(kind="supervisor", command=CONTROL, config=str(config)), local)
    with pytest.raises(ManagerError) as caught:
        manager.restart("web", 5)
    assert 'supervisord of the manager "lab" does not answer: ' in str(caught.value)
    assert "  hint: start it, or correct managers.lab.config" in str(caught.value)


def test_engine_that_is_not_there_is_told(tmp_path: Path) -> None:
    settings = DockerSettings(kind="docker", engine=f"unix://{tmp_path}/sock")
    if local(["docker", "--version"], 10).status:
        pytest.skip("no docker client on this machine")
    with pytest.raises(ManagerError, match="Cannot connect to the Docker daemon") as caught:
        Docker("engine", settings, local).status("web")
    assert "or correct managers.engine" in str(caught.value)


def test_compose_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    env = tmp_path / "env"
    env.write_text("VERSION=1\n")
    manager = Compose("production", ComposeSettings(kind="compose", file="x.yml", project="shop"), local)
    with pytest.raises(ManagerError, match="finds no compose"):
        manager.units()


@pytest.mark.parametrize("started", ["systemd"], indirect=True)
def test_unit_that_failed_often_is_not_refused(bench: Bench) -> None:
    for _ in range(7):  # systemd takes five starts in ten seconds
        with pytest.raises(ManagerError, match=r"failed \(exit-code 3\)"):
            bench.manager.start("broken", 20)


@pytest.mark.parametrize("started", ["systemd"], indirect=True)
def test_unit_is_known_with_and_without_its_type(bench: Bench) -> None:
    bench.manager.start("web.service", 20)
    assert bench.manager.status("web") == bench.manager.status("web.service")
    assert bench.manager.status("systemd-journald").state == "running"


def test_image_that_is_not_there_leaves_the_container_running(docker: Bench) -> None:
    _image_that_is_not_there(docker)


def test_image_that_is_not_there_leaves_the_service_running(compose: Bench) -> None:
    _image_that_is_not_there(compose)


def _image_that_is_not_there(bench: Bench) -> None:
    bench.manager.start("web", 30)
    before = bench.manager.status("web")
    bench.manager.switch_version("web", "9.9.9")
    with pytest.raises(ManagerError, match=r"shop/demo:9\.9\.9|no such host|pull"):
        bench.manager.restart("web", 60)
    assert bench.manager.status("web") == before


def test_compose_is_found_in_the_form_that_is_there(compose: Bench) -> None:
    given = compose.manager.settings
    found = Compose("production", given.model_copy(update={"command": ()}), local)
    found.start("web", 30)
    assert compose.manager.status("web").state == "running"


def test_tag_that_is_no_variable_cannot_be_switched(compose: Bench) -> None:
    with pytest.raises(ManagerError) as caught:
        compose.manager.switch_version("deaf", "1.4.3")
    assert 'the image "shop/demo:1.4.2" of "deaf" has no variable for its tag' in str(caught.value)


def test_removed_container_of_a_service_is_made_again(compose: Bench, engine: engines.Engine) -> None:
    compose.manager.start("web", 30)
    engine.docker("rm", "--force", "shop-web")
    assert compose.manager.status("web").detail == "no container"
    compose.manager.restart("web", 30)
    assert compose.manager.status("web").state == "running"


def test_restart_deploys_nothing_that_nobody_switched(compose: Bench) -> None:
    """The file says tomorrow's version already; a restart at two in the morning is no deployment."""
    compose.manager.start("web", 30)
    compose.env_file.write_text(compose.env_file.read_text().replace("VERSION=1.4.2", "VERSION=1.4.3"))
    compose.manager.restart("web", 30)
    assert compose.manager.version("web") == "1.4.2"
    compose.manager.stop("web", 30)
    compose.manager.start("web", 30)
    assert compose.manager.version("web") == "1.4.2"
    compose.env_file.write_text(compose.env_file.read_text().replace("VERSION=1.4.3", "VERSION=9.9.9"))
    compose.manager.restart("web", 30)
    assert compose.manager.version("web") == "1.4.2", "and an image that is not there is no reason to fail"


def test_switch_by_somebody_else_is_deployed_by_the_next_restart(compose: Bench) -> None:
    compose.manager.start("web", 30)
    other = Compose("production", compose.manager.settings, compose.run)
    other.switch_version("web", "1.4.3")
    compose.manager.restart("web", 30)
    assert compose.manager.version("web") == "1.4.3"
    for version in ("1.4.4", "1.4.2"):  # the first of them was never started
        other.switch_version("web", version)
    other.restart("web", 30)
    assert other.version("web") == "1.4.2"


def test_as_many_containers_come_back_as_there_were(compose: Bench, engine: engines.Engine) -> None:
    file = Path(compose.manager.settings.file)
    told = json.loads(file.read_text())
    del told["services"]["web"]["container_name"]  # with a name there can be only one
    file.write_text(json.dumps(told))
    client, project = compose.manager.settings.command, f"--project-name={engines.PROJECT}"
    up = [*client, project, f"--file={file}", "up", "--detach", "--no-deps", "--scale", "web=3", "web"]
    assert local(up, 60, None, {"DOCKER_HOST": engine.address}).status == 0
    before = compose.manager.status("web")
    assert (before.state, len(before.pids)) == ("running", 3)
    compose.manager.restart("web", 60)
    after = compose.manager.status("web")
    assert (after.state, len(after.pids), set(after.pids) & set(before.pids)) == ("running", 3, set())
    compose.manager.switch_version("web", "1.4.3")
    compose.manager.restart("web", 60)
    assert (len(compose.manager.status("web").pids), compose.manager.version("web")) == (3, "1.4.3")


def test_variable_that_compose_misses_is_told(compose: Bench) -> None:
    compose.env_file.write_text("LEVEL=info\n")
    with pytest.raises(ManagerError, match="the tag to run"):
        compose.manager.start("web", 30)


def test_paused_container_is_no_running_one_and_can_be_started(docker: Bench, engine: engines.Engine) -> None:
    docker.manager.start("web", 20)
    engine.docker("pause", "web")
    paused = docker.manager.status("web")
    assert (paused.state, paused.detail.partition(",")[0]) == ("stopped", "paused")
    docker.manager.start("web", 20)
    assert docker.manager.status("web").state == "running"
    engine.docker("pause", "web")
    docker.manager.restart("web", 20)
    assert docker.manager.status("web").state == "running"


def test_image_and_its_digest_are_told(docker: Bench, engine: engines.Engine) -> None:
    docker.manager.start("web", 20)
    digest = engine.docker("image", "inspect", "--format={{.Id}}", "shop/demo:1.4.2").output
    assert docker.manager.status("web").detail == f"shop/demo:1.4.2 {digest[:19]}"


def test_container_without_a_recipe_cannot_be_switched(docker: Bench) -> None:
    with pytest.raises(ManagerError) as caught:
        docker.manager.switch_version("deaf", "1.4.3")
    assert 'the container "deaf" cannot change its image "shop/demo:1.4.2"' in str(caught.value)
    assert "managers.engine.run.deaf" in str(caught.value)


def test_container_whose_recipe_names_no_version_cannot_be_switched(docker: Bench) -> None:
    settings = docker.manager.settings.model_copy(update={"run": {"web": ("shop/demo:1.4.2",)}})
    manager = Docker("engine", settings, docker.run)
    for switched in (lambda: manager.switch_version("web", "1.4.3"), lambda: manager.version_place("web")):
        with pytest.raises(ManagerError) as caught:
            switched()
        assert 'what makes the container "web" names no version' in str(caught.value)
        assert 'write its image as "NAME:${VERSION}" in managers.engine.run.web' in str(caught.value)
    assert "VERSION=1.4.2" in docker.env_file.read_text()


def test_discarded_container_is_gone(docker: Bench, engine: engines.Engine) -> None:
    docker.manager.start("web", 20)
    docker.manager.discard("web", 20)
    assert docker.manager.status("web").detail == "no container"
    assert "web" not in engine.docker("ps", "--all", "--format={{.Names}}").output.split()


def test_container_that_is_gone_is_made_by_its_recipe(docker: Bench, engine: engines.Engine) -> None:
    engine.docker("rm", "--force", "web")
    assert docker.manager.status("web").state == "stopped"
    docker.manager.start("web", 20)
    assert docker.manager.version("web") == "1.4.2"


def test_container_left_by_a_switch_that_was_cut_off_is_not_taken_for_another_version(
    docker: Bench, engine: engines.Engine
) -> None:
    assert engine.docker("create", "--name=web.coming", "--network=none", "shop/demo:1.4.3", "true").status == 0
    docker.manager.restart("web", 20)
    assert docker.manager.version("web") == "1.4.2"
    assert "web.coming" not in docker.manager.units()


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("web", "latest"),
        ("shop/web:1.4.2", "1.4.2"),
        ("registry.example.org:5000/shop/web", "latest"),
        ("registry.example.org:5000/shop/web:1.4.2", "1.4.2"),
        ("shop/web:1.4.2@sha256:0123", "1.4.2"),
        ("shop/web@sha256:0123", None),
        ("sha256:0123456789ab", None),
    ],
)
def test_tag_of_an_image(image: str, found: str | None) -> None:
    assert tag(image) == found


def test_version_that_nobody_can_tell_is_none() -> None:
    def command(*argv: str) -> Completed:
        return local(argv, 10)

    assert started_with(command, "NO_SUCH_VARIABLE", [os.getpid()]) is None
    assert started_with(command, "PATH", []) is None
