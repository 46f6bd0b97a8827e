"""Images that a full disk costs, on a container engine of the test's own: those without a name, and no other."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.managers.engine import IMAGE, VERSIONS, Engine, engine
from tests.remediation.acting import FOLDER


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    with engine() as there:
        yield there


def prune(there: Engine, mode: str, age: int) -> subprocess.CompletedProcess[str]:
    """The script, told of this engine alone: the machine's own is none of a test's business."""
    assert str(there.folder) in there.address
    told = {
        "RUNBOOK_FACT_DEPLOY_ENGINE": "docker",
        "RUNBOOK_LIMIT_FILES_LAYERS_AGE": str(age),
        "DOCKER_HOST": there.address,
    }
    command = [str(FOLDER / "prune-images.sh"), mode]
    return subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, check=False, timeout=60)


def images(there: Engine) -> list[str]:
    return sorted(there.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").output.split())


def test_only_images_without_a_name_go_and_only_old_ones(docker: Engine) -> None:
    kept = [f"{IMAGE}:{version}" for version in VERSIONS]
    archive = str(docker.folder / "image.tar")
    for build in ("first", "second"):
        docker.docker("import", f"--change=LABEL build={build}", archive, f"{IMAGE}:next")
    assert images(docker) == sorted(["<none>:<none>", *kept, f"{IMAGE}:next"])
    assert prune(docker, "look", 604_800).returncode == 0
    assert prune(docker, "folder", 604_800).stdout == f"{docker.folder}/data\n"
    young = prune(docker, "remove", 604_800)
    assert young.returncode == 0, young.stderr
    assert "<none>:<none>" in images(docker), "a week is not over"
    time.sleep(1.1)  # the engine counts in whole seconds
    old = prune(docker, "remove", 0)
    assert old.returncode == 0, old.stderr
    assert images(docker) == sorted([*kept, f"{IMAGE}:next"]), "what runs, and what to go back to, have names"
