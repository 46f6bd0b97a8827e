"""Secrets put into settings, URIs, environment and headers appear in no output of a run that fails in every way."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from .conftest import Finished, Project

CANARIES = {
    "mail": "mail-canary-7f3a",
    "header": "header-canary-9c1d",
    "uri": "uri/canary+55e0",
    "environment": "environment-canary-b2b2",
    "dotenv": "dotenv-canary-a9a9",
}
SETTINGS = f"""
[mail]
host = "127.0.0.1"
password = "{CANARIES["mail"]}"

[probes.web]
kind = "http"
url = "http://127.0.0.1:9"
headers = {{ Authorization = "Bearer {CANARIES["header"]}" }}

[probes.database]
kind = "postgresql"
uri = "postgresql://app:{quote(CANARIES["uri"], safe="")}@127.0.0.1:9/shop"
"""
CHECKS = """
    import base64, logging, os, sys, urllib.parse, warnings

    SECRETS = {secrets!r}

    def everything():
        forms = []
        for secret in SECRETS:
            forms += [secret, urllib.parse.quote(secret, safe=""), repr({{"x": secret}})]
            forms.append(base64.b64encode(secret.encode()).decode())
        return " ".join(forms)

    @check("daily", severity="P1")
    async def test_asserts_with_a_secret():
        "Asserts with a secret."
        local = everything()
        assert local == "something else", f"got {{local}}"

    @check("daily")
    async def test_compares_secrets():
        "Compares."
        local = SECRETS
        assert local == ["x"]

    @check("daily")
    async def test_prints_and_logs():
        "Prints and logs."
        print(everything())
        logging.getLogger("shop").error("seen %s", everything())
        try:
            raise ValueError(everything())
        except ValueError:
            logging.getLogger("shop").exception("it broke")
        assert False

    @check("daily")
    def test_prints_in_turn(capfd):
        "Prints in turn."
        print(everything())
        logging.getLogger("shop").error("seen %s", everything())
        assert False

    @check("daily")
    def test_prints_captured():
        "Prints, captured by pytest."
        sys.stdout.write(everything())
        sys.stderr.write(everything())
        assert False

    @check("daily")
    async def test_crashes_with_a_cause():
        "Crashes."
        try:
            raise ValueError(everything())
        except ValueError as error:
            raise RuntimeError("outer " + everything()) from error
        assert False

    @check("daily")
    async def test_skips_with_a_secret():
        "Skips."
        pytest.skip(everything())
        assert False

    @check("daily")
    async def test_looks(web, database):
        "Looks with real credentials."
        try:
            await web.get("/?token=" + SECRETS[0])
        except Unmeasured:
            pass
        await database.query("select 1")
        assert False

    @pytest.fixture
    def noisy():
        yield
        sys.stdout.write(everything())

    @check("daily")
    def test_tear_down_prints(noisy):
        "Its tear-down prints."
        warnings.warn(everything())
        try:
            raise ValueError({{"x": SECRETS[0]}}, [SECRETS[1]])
        except ValueError:
            logging.getLogger("shop").exception("it broke")
        assert False

    @pytest.fixture
    def broken():
        raise RuntimeError(everything())

    @check("daily")
    def test_setup(broken):
        "Set-up breaks."
        assert False
"""


RUNBOOK = '''
"""Web down.

Symptom
    It does not answer.
"""
import base64, json, sys, urllib.parse
from pathlib import Path
from pytest_runbook import *

SECRETS = json.loads(Path("secrets.json").read_text())


def everything():
    forms = []
    for secret in SECRETS:
        forms += [secret, urllib.parse.quote(secret, safe=""), repr({"x": secret}), base64.b64encode(secret.encode()).decode()]
    return " ".join(forms)


def tell(tools, *, words):
    """Say words."""
    print(words)
    sys.stderr.write(words)
    return words


def crash(tools, *, words):
    """Crash with words."""
    try:
        raise ValueError(words)
    except ValueError as error:
        raise RuntimeError([words]) from error


def give_up(tools, *, words):
    """Give up with words."""
    raise StepFailed(words)


@diagnose
def look(at):
    """Show the environment and the secrets."""
    return [command("env"), command("echo", everything())]


@correct(within=0, only_if=lambda at: call(crash, words=everything()))
def cannot_tell_whether(at):
    """Crash when asked whether it is needed."""
    return command("echo", everything())


@correct(within=0, only_if=lambda at: command("sh", "-c", "echo " + SECRETS[0] + "; exit 1"))
def need_not(at):
    """Need not."""
    return command("true", everything())


@correct(within=0)
def breaks(at):
    """Break with a message."""
    return command("sh", "-c", "echo \\"$1\\" >&2; exit 3", "x", everything())


@correct(within=0)
def crashes(at):
    """Crash."""
    return call(crash, words=everything())


@correct(within=0)
def gives_up(at):
    """Give up."""
    return call(give_up, words=everything())


@correct(within=0, timeout=1)
def hangs(at):
    """Say it and hang."""
    return command("sh", "-c", "echo \\"$1\\"; sleep 60", "x", everything())


@correct(within=0)
def runs_a_script(at):
    """Run a script that shows what it was given."""
    return script("show.sh", *SECRETS)


@correct(risk="restart", within=0, undo=lambda at: call(tell, words=everything()))
def mend(at):
    """Mend it, and say everything."""
    return [call(tell, words=everything()), command("cp", "mended", "state")]


@last_resort(risk="destructive")
def never(at):
    """Never."""
    return command("echo", everything())
'''


def outputs(run: Finished, *places: Path) -> dict[str, str]:
    """Everything a person or a machine could read afterwards, by name."""
    texts = {"terminal": run.output}
    for place in (run.folder, *places):
        for path in [place, *place.rglob("*")]:
            if path.is_file():
                raw = path.read_bytes()
                texts[str(path)] = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8", "replace")
    return texts


def forms(secret: str) -> list[str]:
    return [secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]]


def leaks(texts: dict[str, str]) -> list[str]:
    """Where one of the secrets can be read, with what stands before it."""
    return [
        f"{kind} in {name}: …{text[max(0, text.find(form) - 60) : text.find(form) + 10]}"
        for kind, secret in CANARIES.items()
        for form in forms(secret)
        for name, text in texts.items()
        if form in text
    ]


@pytest.mark.parametrize(
    "options",
    [
        ("--showlocals", "--tb=long", "-rA"),
        ("-s", "--log-cli-level=INFO", "--tb=native"),
        ("-n", "2", "--showlocals", "-vv"),
    ],
    ids=["locals", "uncaptured", "workers"],
)
def test_no_output_of_a_failing_run_holds_a_secret(project: Project, options: tuple[str, ...]) -> None:
    project.settings(SETTINGS)
    project.checks("web/pages.py", CHECKS.format(secrets=list(CANARIES.values())))
    project.write(".env", f"SHOP_SECRET_KEY={CANARIES['dotenv']}\n")
    files = [project.folder / name for name in ("x.xml", "x.html", "allure", "x.log")]
    asked = [f"--junitxml={files[0]}", f"--html={files[1]}", f"--alluredir={files[2]}", f"--log-file={files[3]}"]
    run = project.run(*options, *asked, env={"SHOP_API_TOKEN": CANARIES["environment"]})
    assert run.code == 1
    assert len(run.outcomes) == 10
    texts = outputs(run, *files)
    for needed in ("run.json", "journal.jsonl", "junit.xml", "report.html", "x.xml", "x.html"):
        assert any(name.endswith(needed) for name in texts), f"{needed} was not written"
    assert leaks(texts) == []
    assert "****" in texts["terminal"]


@pytest.mark.parametrize(
    ("mended", "options", "outcome"),
    [
        ("down", ("--remediate=plan",), "failed"),
        ("down", ("--remediate=apply", "--max-risk=restart"), "still-failing"),
        ("up", ("--remediate=apply", "--max-risk=restart"), "remediated"),
    ],
    ids=["plan", "in vain", "mended"],
)
def test_nothing_that_a_runbook_does_shows_a_secret(
    project: Project, mended: str, options: tuple[str, ...], outcome: str
) -> None:
    project.settings(SETTINGS + "[remediation]\npasses = 1\ninterval = 0.0\n")
    project.checks(
        "web/availability.py",
        """
        @check("daily", severity="P1", runbook="web-down")
        def test_answers():
            "It answers."
            assert open("state").read() == "up"
        """,
    )
    project.write("remediation/web-down.py", RUNBOOK)
    project.write("remediation/show.sh", '#!/bin/sh\nenv\necho "$@"\nexit 4\n').chmod(0o755)
    project.write("state", "down")
    project.write("mended", mended)
    project.write("secrets.json", json.dumps(list(CANARIES.values())))
    project.write(".env", f"SHOP_SECRET_KEY={CANARIES['dotenv']}\n")
    files = [project.folder / name for name in ("x.xml", "x.html", "allure")]
    asked = [f"--junitxml={files[0]}", f"--html={files[1]}", f"--alluredir={files[2]}"]

    run = project.run("-m", "daily", *options, *asked, env={"SHOP_API_TOKEN": CANARIES["environment"]})

    (result,) = run.record.results
    assert result.outcome == outcome, run.output
    assert [step.name for step in result.steps[:9]] == [
        *("look", "cannot_tell_whether", "need_not", "breaks", "crashes", "gives_up", "hangs", "runs_a_script", "mend")
    ]
    assert all("****" in " ".join(step.actions) for step in result.steps)
    if outcome != "failed":
        assert "****" in result.steps[0].output
        assert "****" in "".join(step.why for step in result.steps)
    texts = outputs(run, *files, project.folder / "var")
    assert any(name.endswith("history.db") for name in texts) == (outcome != "failed")
    assert leaks(texts) == []


def test_a_secret_as_a_parameter_is_refused(project: Project) -> None:
    project.checks(
        "web/pages.py",
        """
        import os

        @check("daily")
        @pytest.mark.parametrize("token", [os.environ["SHOP_API_TOKEN"]])
        async def test_token(token):
            "The token works."
            assert token
        """,
    )
    run = project.run(env={"SHOP_API_TOKEN": CANARIES["environment"]})
    assert run.code == 4
    assert "a parameter holds a secret" in run.output
    assert CANARIES["environment"] not in run.output


def test_showing_output_before_it_is_redacted_is_refused(project: Project) -> None:
    project.checks("web/pages.py", '@check("daily")\nasync def test_x():\n    "X."\n    assert True\n')
    run = project.run("--capture=tee-sys")
    assert run.code == 4
    assert "tee-sys" in run.output
