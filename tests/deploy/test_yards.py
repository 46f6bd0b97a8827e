"""The same under every other service manager: only the named service changes, and a bad version is taken back or refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy import yards
from tests.deploy.yards import BAD, BETTER, BROKEN, GOOD, UNMADE, Yard
from tests.managers.conftest import KINDS, short_folder
from tests.managers.engine import IMAGE


@pytest.fixture(scope="module", params=[kind for kind in KINDS if kind != "supervisor"])
def yard(request: pytest.FixtureRequest) -> Iterator[Yard]:
    with short_folder() as folder:
        if request.param == "systemd":
            opened = yards.systemd(folder)
        elif request.param == "docker":
            opened = yards.docker(folder)
        else:
            opened = yards.compose(folder, tuple(request.param.split()))
        with opened as made:
            yield made


def test_deployments_and_rollbacks(yard: Yard) -> None:
    """One story, because an engine takes its time: good, wrong, without a start, and back from what runs no more."""
    before, untouched = yard.runs, yard.process("base")
    new = BETTER if before == GOOD else GOOD
    code, output = yard.shop.runbook("deploy", new)
    assert code == 0, output
    assert yard.runs == new

    code, output = yard.shop.runbook("deploy", BAD)
    assert code == 1, output
    assert "verify failed: web/availability::web_says_its_version" in (yard.shop.row.why or "")
    assert yard.runs == new

    code, output = yard.shop.runbook("deploy", BROKEN)
    assert code == 1, output
    assert "switch failed" in (yard.shop.row.why or "")
    assert yard.runs == new

    if yard.images:
        code, output = yard.shop.runbook("deploy", UNMADE)
        assert code == 1, output
        assert yard.runs == new, "an image that cannot be had"

    yard.manager.stop("web", 30)  # whatever ended it: what ran is gone back from
    code, output = yard.shop.runbook("rollback")
    assert code == 0, output
    assert output.splitlines()[0] == f"web: {new} -> {before}"
    assert yard.runs == before
    assert yard.process("base") == untouched


def test_canaries(yard: Yard) -> None:
    """Another story: without a start, without an image, wrong, killed, and good; web is the same process until then."""
    before, untouched = yard.runs, (yard.process("web"), yard.process("base"))
    new = BETTER if before == GOOD else GOOD

    def refused(version: str, seen: str) -> None:
        code, output = yard.shop.runbook("deploy", version, "--canary")
        assert (code, yard.shop.row.outcome) == (5, "refused"), output
        assert seen in (yard.shop.row.why or "")
        assert yard.canary[1] == ()
        assert (yard.runs, yard.process("web"), yard.process("base")) == (before, *untouched)

    refused(BROKEN, "did not start")
    if yard.images:
        refused(UNMADE, f"{IMAGE}:{UNMADE}")
    with faulty(yard.variables):
        refused(new, "web/availability::web_says_its_version")

    killed_beside_a_canary(yard, new)
    code, output = yard.shop.runbook("deploy", "--abort")
    assert code == 0, output
    assert (yard.process("web"), yard.process("base")) == untouched
    assert yard.canary == ("stopped", ())

    code, output = yard.shop.runbook("deploy", new, "--canary")
    assert code == 0, output
    assert ("canary", "done") in yard.shop.phases
    assert yard.runs == new, "what was wrong with its variables is mended, so it is the canary of now that counts"
    assert yard.canary == ("stopped", ())
    assert yard.process("base") == untouched[1]


def killed_beside_a_canary(yard: Yard, version: str) -> None:
    """A deployment of VERSION that is killed while its canary runs."""
    process = yard.shop.begin("deploy", version, "--canary", "--soak", "60")
    while yard.canary[0] != "running":
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    process.kill()
    process.communicate()
    assert yard.canary[0] == "running", "nobody was there to stop it"


@contextmanager
def faulty(variables: Path) -> Iterator[None]:
    """Something is wrong in the file VARIABLES, whatever is switched in it meanwhile."""
    fault = "FAULT=-wrong\n"
    variables.write_text(variables.read_text() + fault)
    try:
        yield
    finally:
        variables.write_text(variables.read_text().replace(fault, ""))
