"""Whatever a fault breaks is felt, is shown, and is whole again after healing, also when it was injected by half."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from lab import Lab, LabError, faults, home, tls
from lab.faults import Fault
from tests.lab.test_lab_servers import command
from tests.labs import ROOT
from tests.probes.databases import until

Place = Callable[[Callable[[Lab], None]], str]


@pytest.fixture
def place(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Makes a function a fault of this test, puts it in place, and heals it at the end; its name."""

    def placed(inject: Callable[[Lab], None]) -> str:
        name = f"test-{inject.__name__.strip('_')}"
        monkeypatch.setitem(faults.load(), name, Fault(name, "A fault of a test", "web", inject))
        lab.break_fault(name)
        return name

    yield placed
    lab.heal_all()
    assert lab.broken == {}


def ready(lab: Lab) -> httpx.Response:
    return httpx.get(lab.environment()["RUNBOOK__PROBES__WEB__URL"] + "/ready", timeout=15)


@contextmanager
def healed_meanwhile(lab: Lab, name: str) -> Iterator[None]:
    """Everything is healthy again after healing NAME."""
    yield
    lab.heal_fault(name)
    assert {status.name: status.detail for status in lab.status() if not status.healthy} == {}
    until(lambda: ready(lab).status_code == 200, seconds=15)


def test_a_stopped_server_stays_stopped_is_felt_by_web_and_comes_back(lab: Lab) -> None:
    lab.break_fault("database-stopped")
    with healed_meanwhile(lab, "database-stopped"):
        assert [s.state for s in lab.status() if s.name == "database"] == ["STOPPED"]
        assert ready(lab).json()["checks"]["database"] is False
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(lab.environment()["NIGHTSCAN_DATABASE_URI"], connect_timeout=5)


def test_a_black_hole_takes_connections_and_never_answers(lab: Lab, place: Place) -> None:
    with healed_meanwhile(lab, place(lambda lab: lab.toxic("database", "timeout"))):
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(lab.environment()["NIGHTSCAN_DATABASE_URI"], connect_timeout=2)
        assert ready(lab).status_code == 503
        # The server itself is well: only the way to it is not.
        assert lab.sql("SELECT 1") == [(1,)]


def test_a_paused_server_hangs_with_all_its_processes(lab: Lab, place: Place) -> None:
    place(lambda lab: lab.pause("cache"))
    with (
        redis.Redis.from_url(lab.environment()["REDIS_URL"], socket_timeout=0.5) as client,
        pytest.raises(redis.TimeoutError),
    ):
        client.ping()


def test_a_killed_server_is_started_again_by_its_supervisor(lab: Lab) -> None:
    before = lab.supervisor.processes()["mail"]["pid"]
    lab.kill_process("mail")
    until(lambda: lab.supervisor.processes()["mail"]["pid"] not in (0, before))
    lab.wait_ready()


def test_an_expired_certificate_is_shown_and_replaced(lab: Lab) -> None:
    before = tls.certificate_files(lab.site)[0].read_bytes()
    context = ssl.create_default_context(cafile=lab.environment()["RUNBOOK__PROBES__PROXY__CA_FILE"])
    address = f"{lab.environment()['RUNBOOK__PROBES__PROXY__URL']}/health"
    with lab.fault("certificate-expired"), pytest.raises(httpx.ConnectError, match="expired"):
        httpx.get(address, verify=context)
    assert tls.certificate_files(lab.site)[0].read_bytes() == before
    assert httpx.get(address, verify=context).status_code == 200


def test_files_come_back_with_content_mode_and_time(lab: Lab, place: Place) -> None:
    config, env, compose = home.config_file(lab.site), home.env_file(lab.site), home.compose_file(lab.site)
    model = lab.site.home / "models" / "metadata.json"
    before = {
        path: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime) for path in (config, env, compose, model)
    }

    def files(lab: Lab) -> None:
        lab.replace_file(config, "{")
        lab.change_mode(env, 0o644)
        lab.remove_file(compose)
        lab.age_file(model, 3600)
        lab.replace_file(lab.site.home / "new", "new")

    name = place(files)
    assert config.read_text() == "{"
    assert config.stat().st_mode == before[config][1]
    assert env.stat().st_mode & 0o777 == 0o644
    assert not compose.exists()
    assert time.time() - model.stat().st_mtime == pytest.approx(3600, abs=120)
    lab.heal_fault(name)
    assert {path: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime) for path in before} == before
    assert not (lab.site.home / "new").exists()
    assert list(lab.site.path("kept").iterdir()) == []


def test_faults_in_one_file_heal_in_any_order(lab: Lab, place: Place) -> None:
    config, env = home.config_file(lab.site), home.env_file(lab.site)
    before = json.loads(config.read_text()), home.read_env(lab.site)

    def first(lab: Lab) -> None:
        lab.edit_config(security={"debug": True})
        lab.rewrite_env(SECRET_KEY="changeme", VERSION=None)

    def second(lab: Lab) -> None:
        lab.edit_config(security={"session_cookie_secure": False}, logging={"level": None})
        lab.rewrite_env(NEW="value", DB_PASSWORD="x")

    one, two = place(first), place(second)
    assert home.read_env(lab.site)["SECRET_KEY"] == "changeme"
    assert "VERSION" not in home.read_env(lab.site)
    assert json.loads(config.read_text())["logging"]["level"] is None
    lab.heal_fault(one)
    assert home.read_env(lab.site)["NEW"] == "value"
    assert json.loads(config.read_text())["security"]["session_cookie_secure"] is False
    lab.heal_fault(two)
    assert (json.loads(config.read_text()), home.read_env(lab.site)) == before
    assert env.stat().st_mode & 0o777 == 0o600


def test_sessions_statements_commands_and_settings_are_undone(lab: Lab, place: Place) -> None:
    def data(lab: Lab) -> None:
        lab.hold_sessions("BEGIN; SELECT 1", 3)
        lab.sql("CREATE TABLE of_a_fault ()", undo="DROP TABLE IF EXISTS of_a_fault")
        lab.redis("SET", "of:a:fault", "x", undo=["DEL", "of:a:fault"])
        lab.change_setting("limits.database.transaction_age", 1)
        lab.misbehave("web", version="0.0.1")

    idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name = 'lab-sessions'"
    name = place(data)
    assert lab.sql(idle) == [(3,)]
    assert lab.sql("SELECT to_regclass('of_a_fault') IS NULL") == [(False,)]
    assert lab.environment()["RUNBOOK__LIMITS__DATABASE__TRANSACTION_AGE"] == "1"
    web = lab.environment()["RUNBOOK__PROBES__WEB__URL"]
    assert httpx.get(f"{web}/health").json()["version"] == "0.0.1"
    lab.heal_fault(name)
    until(lambda: lab.sql(idle) == [(0,)])
    assert lab.sql("SELECT to_regclass('of_a_fault') IS NULL") == [(True,)]
    assert lab.redis("EXISTS", "of:a:fault") == 0
    assert "RUNBOOK__LIMITS__DATABASE__TRANSACTION_AGE" not in lab.environment()
    assert "TRANSACTION_AGE" not in (lab.folder / "environment.sh").read_text()
    assert httpx.get(f"{web}/health").json()["version"] == "1.4.2"


def test_a_server_gets_another_environment_until_it_is_healed(lab: Lab, place: Place) -> None:
    web = lab.environment()["RUNBOOK__PROBES__WEB__URL"]
    name = place(lambda lab: lab.set_environment("web", VERSION="1.4.1"))
    assert httpx.get(f"{web}/health").json()["version"] == "1.4.1"
    lab.heal_fault(name)
    assert httpx.get(f"{web}/health").json()["version"] == "1.4.2"


def test_a_fault_injected_by_half_heals(lab: Lab, place: Place) -> None:
    def half(lab: Lab) -> None:
        lab.toxic("cache", "down")
        raise RuntimeError("the other half fails")

    with pytest.raises(RuntimeError, match="the other half"):
        place(half)
    assert list(lab.broken) == ["test-half"]
    with redis.Redis.from_url(lab.environment()["REDIS_URL"]) as client:
        with pytest.raises(redis.ConnectionError):
            client.ping()
        lab.heal_fault("test-half")
        assert client.ping()


def test_one_undo_that_fails_keeps_no_other_from_being_done(lab: Lab, place: Place) -> None:
    def stubborn(lab: Lab) -> None:
        lab.redis("SET", "of:a:fault", "x", undo=["DEL", "of:a:fault"])
        lab.sql("CREATE TABLE of_a_fault ()", undo="DROP TABLE of_a_fault")

    name = place(stubborn)
    lab.sql("DROP TABLE of_a_fault")
    with pytest.raises(
        LabError, match=r'"test-stubborn" is not healed:\n  .*table "of_a_fault" does not exist'
    ) as raised:
        lab.heal_fault(name)
    assert "hint: python -m lab down, then up" in str(raised.value)
    assert lab.redis("EXISTS", "of:a:fault") == 0
    assert list(lab.broken) == [name]
    lab.sql("CREATE TABLE of_a_fault ()")


def test_what_somebody_else_has_mended_heals_all_the_same(lab: Lab, place: Place) -> None:
    new = lab.site.home / "new"

    def several(lab: Lab) -> None:
        lab.stop_process("replica")
        lab.pause("mail")
        lab.hold_sessions("BEGIN; SELECT 2")
        lab.sql("CREATE TABLE of_a_fault ()", undo="DROP TABLE IF EXISTS of_a_fault")
        lab.redis("SET", "of:a:fault", "x", undo=["DEL", "of:a:fault"])
        lab.replace_file(new, "new")
        lab.toxic("web", "latency", latency=10)
        lab.confuse("web", version="0.0.1")

    name = place(several)
    lab.supervisor.launch("replica")
    lab.restart("mail")
    lab.restart("web")
    assert httpx.get(lab.environment()["RUNBOOK__PROBES__WEB__URL"] + "/health").json()["version"] == "1.4.2"
    lab.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lab-sessions'")
    lab.sql("DROP TABLE of_a_fault")
    new.unlink()
    for _ in range(2):
        lab.undo(name)
        assert list(lab.broken) == [name]
    lab.heal_fault(name)
    assert lab.broken == {}
    assert {status.name: status.detail for status in lab.status() if not status.healthy} == {}


def test_a_program_that_is_gone_cannot_be_started_until_it_is_healed(lab: Lab, place: Place) -> None:
    name = place(lambda lab: lab.break_program("mail"))
    until(lambda: lab.supervisor.processes()["mail"]["statename"] == "RUNNING")
    lab.supervisor.stop("mail")
    lab.supervisor.launch("mail")
    until(lambda: lab.supervisor.processes()["mail"]["statename"] in ("BACKOFF", "FATAL"))
    lab.heal_fault(name)
    assert [s.healthy for s in lab.status() if s.name == "mail"] == [True]


def test_what_undoing_cannot_do_has_a_function_of_its_own(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    special = Fault("test-special", "A fault with its own healing", "web", lambda lab: seen.append("injected"))
    special.heal(lambda lab: seen.append("healed"))
    monkeypatch.setitem(faults.load(), "test-special", special)
    with lab.fault("test-special"):
        lab.break_fault("test-special")
        assert seen == ["injected"]
    assert seen == ["injected", "healed"]


def test_a_lab_broken_on_purpose_is_left_so_by_up_and_comes_up_whole_after_down(lab: Lab, place: Place) -> None:
    def several(lab: Lab) -> None:
        lab.stop_process("replica")
        lab.toxic("web", "latency", latency=300)
        lab.edit_config(security={"debug": True})
        lab.spawn(sys.executable, "-c", "import time; time.sleep(600)")

    place(several)
    lab.up()
    assert [s.state for s in lab.status() if s.name == "replica"] == ["STOPPED"]
    assert list(lab.broken) == ["test-several"]
    lab.down()
    lab.up()
    assert lab.broken == {}
    assert all(status.healthy for status in lab.status())
    assert json.loads(home.config_file(lab.site).read_text())["security"]["debug"] is False


def test_the_command_line_lists_breaks_shows_and_heals(lab: Lab) -> None:
    listed = command(lab, "faults").stdout
    assert f"cache-stopped {'':14} cache     Redis does not run\n" in listed
    assert command(lab, "status").returncode == 0
    assert command(lab, "break", "standby-stopped").stdout == "broken: standby-stopped (The standby does not run)\n"
    status = command(lab, "status")
    assert status.returncode == 1
    assert "standby-stopped (The standby does not run)" in status.stdout
    shown = json.loads(command(lab, "status", "--json").stdout)
    assert list(shown["broken"]) == ["standby-stopped"]
    assert [process["healthy"] for process in shown["processes"] if process["name"] == "standby"] == [False]
    assert command(lab, "heal").stdout == "healed\n"
    assert command(lab, "status").returncode == 0


def test_unknown_names_are_told_with_the_known_ones(lab: Lab) -> None:
    told = command(lab, "break", "cache-stoped")
    assert told.returncode == 1
    assert told.stderr.startswith('error: unknown fault "cache-stoped" (known: ')
    assert "cache-stopped" in told.stderr
    assert command(lab, "mend").returncode == 2


def test_a_lab_that_does_not_run_cannot_be_broken(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no lab in "):
        Lab(tmp_path / "none").break_fault("cache-stopped")


def test_two_commands_at_once_wait_for_each_other(lab: Lab) -> None:
    arguments = [sys.executable, "-m", "lab", "--dir", str(lab.folder), "break", "standby-stopped"]
    both = [subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait(60) for one in both] == [0, 0]
    assert list(lab.broken) == ["standby-stopped"]
    lab.heal_all()
