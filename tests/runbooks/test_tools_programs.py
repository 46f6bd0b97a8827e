"""Programs and scripts of a step, here and on other machines: told the situation, judged by their status, ended with the step."""

from __future__ import annotations

import getpass
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from pytest_runbook.model import StepOutcome
from pytest_runbook.probes.host import HostSettings
from pytest_runbook.runbooks import commands, remote
from pytest_runbook.runbooks.remote import Task

from tests.managers.engine import engine
from tests.probes.databases import black_hole, free_port, until
from tests.probes.machines import Ssh, container, ssh_server
from tests.runbooks.performing import Book, running
from tests.runbooks.test_process import STUBBORN

SETTINGS = """
[limits.host]
disk = 0.85
strict = true
[facts.paths]
logs = "/var/log/it's here"
both = ["/a", "/b"]
[facts.mail]
password = "the-key-itself"
url = "smtp://me:the-key-itself@localhost"
from = "me"
[probes.here]
kind = "host"
"""


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ssh]:
    with ssh_server(tmp_path_factory.mktemp("ssh")) as server:
        yield server


@pytest.fixture
def book(tmp_path: Path) -> Book:
    book = Book(tmp_path)
    book.settings(SETTINGS)
    return book


@pytest.fixture
def far(book: Book, ssh: Ssh) -> Book:
    """A book that knows a machine `there`."""
    book.settings(f'{SETTINGS}\n[probes.there]\nkind = "host"\nuri = "{ssh.uri}"\nssh_config = "{ssh.config}"\n')
    return book


@pytest.fixture
def token() -> Iterator[str]:
    """A word that only the processes of this test have in their command line; in the end nothing has it."""
    word = f"token-{secrets.token_hex(8)}"
    yield word
    for one in running(word):
        one.kill()


def step(book: Book, action: str) -> None:
    book.write(f'@correct()\ndef step(at):\n    """Do it."""\n    return {action}\n')


STAYING = STUBBORN.replace("if os.fork(): os._exit(0)", "if os.fork(): time.sleep(999)", 1)
"""The same, with a parent that stays."""
BASH = """#!/bin/bash
set -euo pipefail
echo "$1|$RUNBOOK_ID|$RUNBOOK_STEP|$RUNBOOK_SERVICE|$RUNBOOK_CHECKS|$RUNBOOK_RUN|$RUNBOOK_ENVIRONMENT"
echo "$RUNBOOK_FACT_PATHS_LOGS|$RUNBOOK_FACT_PATHS_BOTH|$RUNBOOK_LIMIT_HOST_DISK|$RUNBOOK_LIMIT_HOST_STRICT"
echo "${DB_PASSWORD-none}|${RUNBOOK_FACT_MAIL_PASSWORD-none}|${RUNBOOK_FACT_MAIL_URL-none}|${RUNBOOK_FACT_MAIL_FROM}"
"""
TOLD = (
    "an 'argument'|mend|step|web|web/a::one web/a::two|20261122T180305Z-4f1c|staging\n"
    "/var/log/it's here|/a:/b|0.85|true\nnone|none|none|me\n"
)


@pytest.mark.parametrize("on", ["", ', on="here"', ', on="there"'])
def test_a_script_is_told_the_situation(far: Book, on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "the-key-itself")
    far.script("mend.sh", BASH)
    step(far, f'script("mend.sh", "an \'argument\'"{on})')
    done = far.perform()
    assert (done.outcome, done.output, done.why) == (StepOutcome.DONE, TOLD, "")


@pytest.mark.parametrize("on", ["", ', on="there"'])
def test_a_script_may_be_in_any_language(far: Book, on: str) -> None:
    far.script(
        "mend.py.txt", f"#!{sys.executable}\nimport os, sys\nprint(os.environ['RUNBOOK_SERVICE'])\nsys.exit(4)\n"
    )
    step(far, f'script("mend.py.txt"{on})')
    done = far.perform()
    assert done.output == "web\n"
    assert "mend.py.txt" in done.why
    assert "ended with status 4" in done.why


@pytest.mark.parametrize(
    ("name", "text", "mode", "why"),
    [
        ("a.sh", "#!/bin/sh\n", 0o644, 'the script "a.sh" is not executable\n  hint: chmod +x remediation/a.sh'),
        ("a.sh", "echo x\n", 0o755, "does not say what runs it\n  hint: begin it with a line such as #!/bin/sh"),
        ("a.sh", "#!/no/such/shell\n", 0o755, "needs an interpreter that is not there: #!/no/such/shell"),
        ("b.sh", "#!/bin/sh\n", 0o755, 'there is no script "a.sh" beside the runbook "mend"'),
    ],
)
def test_a_script_that_cannot_run_says_why(book: Book, name: str, text: str, mode: int, why: str) -> None:
    book.script(name, text, mode)
    step(book, 'script("a.sh")')
    done = book.perform()
    assert done.outcome == StepOutcome.FAILED
    assert why in done.why


def test_a_script_lies_beside_its_runbook(book: Book) -> None:
    step(book, 'script("../../bin/sh")')
    assert book.perform().why == 'the script "../../bin/sh" does not lie beside the runbook'


def test_a_program_starts_in_the_root_folder(book: Book) -> None:
    assert book.command("pwd").output == f"{book.root}\n"


def test_a_tool_has_a_time_of_its_own_and_leaves_nothing(book: Book, token: str) -> None:
    book.write(f'''
import sys

def wait(tools):
    """Wait."""
    try:
        tools.run(sys.executable, "-c", {STUBBORN!r}, {token!r})
        tools.run("sh", "-c", 'trap "" TERM; setsid sleep 1000 & echo waits; sleep 1000; : {token}', timeout=1)
    except StepFailed as error:
        return f"caught: {{str(error).rpartition('}}')[2]}}"

@correct()
def step(at):
    """Do it."""
    return call(wait)
''')
    done = book.perform()
    try:
        assert done.outcome == StepOutcome.DONE
        assert "did not end in time: waits" in done.output
        # The first program did its work in time, and what it left was meant to stay.
        assert [one.cmdline()[-1] for one in running(token)] == [token]
    finally:
        for one in running(token):
            one.kill()


@pytest.mark.parametrize(("status", "why"), [(3, "ended with status 3: no"), (255, "ended with status 255: no")])
def test_the_status_of_a_program_elsewhere_is_its_own(far: Book, status: int, why: str) -> None:
    step(far, f'command("sh", "-c", "echo yes; echo no >&2; exit {status}", on="there")')
    done = far.perform()
    assert sorted(done.output.split()) == ["no", "yes"]
    assert f'(on there)" {why}' in done.why


def test_arguments_reach_another_machine_as_they_are(far: Book) -> None:
    odd = ["it's", 'a "b" $HOME `id` \\ *', "", "new\nline", "é", "x" * 100_000]
    step(far, f'command("printf", "[%s]", *{odd!r}, on="there")')
    assert far.perform().output.startswith("".join(f"[{one}]" for one in odd[:-1]) + "[xxx")


@pytest.mark.parametrize("program", ["no-such-program", "/etc"])
def test_a_condition_that_no_machine_can_answer_is_no_answer(far: Book, program: str) -> None:
    far.write(f'''
@correct(only_if=lambda at: command({program!r}, on="there"))
def step(at):
    """Do it."""
    return command("true")
''')
    seen = far.perform("step", "only_if")
    assert (seen.outcome, seen.value) == (StepOutcome.FAILED, None)
    assert program in seen.why


def test_a_machine_that_cannot_be_reached_is_no_answer(book: Book, ssh: Ssh, tmp_path: Path) -> None:
    def asking(uri: str, more: str = "") -> str:
        book.settings(f'[probes.there]\nkind = "host"\nuri = "{uri}"\ntimeout = 2\n{more}')
        book.write('''
@correct(only_if=lambda at: command("false", on="there"))
def step(at):
    """Do it."""
    return command("true")
''')
        seen = book.perform("step", "only_if")
        assert (seen.outcome, seen.value) == (StepOutcome.FAILED, None)
        return seen.why

    user = getpass.getuser()
    assert "Connection refused" in asking(f"ssh://{user}@127.0.0.1:{free_port()}")
    with black_hole() as port:
        assert "timed out" in asking(f"ssh://{user}@127.0.0.1:{port}").lower()
    stranger = tmp_path / "config"
    stranger.write_text(ssh.config.read_text().replace("IdentityFile ", "IdentityFile /nowhere"))
    assert "Permission denied" in asking(ssh.uri, f'ssh_config = "{stranger}"')
    assert asking("docker://no-such-container").startswith('"there" cannot be used: ')
    assert asking("winrm://there").startswith(
        'nothing can be run by "winrm://", as probes.there.uri says (known: local://'
    )
    assert "a password, which ssh would show" in asking("ssh://me:pass@127.0.0.1")


def test_a_probe_that_is_none_of_a_host_is_named(book: Book) -> None:
    step(book, 'command("true", on="nowhere")')
    assert book.perform().why == 'unknown host probe "nowhere" (known: here)'


def test_when_it_is_late_nothing_is_left_there_either(far: Book, token: str) -> None:
    daemon = ["-c", STUBBORN, token]
    far.write(f'''
import sys

@correct()
def step(at):
    """Start a tree."""
    return [
        command(sys.executable, *{daemon!r}, on="there"),
        command("sh", "-c", 'trap "" TERM HUP; echo there; sleep 1000 & sleep 1000; : {token}', on="there"),
    ]
''')
    begun = time.monotonic()
    done = far.perform(timeout=12)
    assert done.outcome == StepOutcome.TIMED_OUT
    assert done.output == f"$ {far.order('step').expected[0]}\n$ {far.order('step').expected[1]}\nthere\n"
    assert time.monotonic() - begun < 24
    left = running(token)
    # The daemon of the first command, which ended well, was meant to stay.
    assert [one.cmdline()[-1] for one in left] == [token]
    for one in left:
        one.kill()


@pytest.mark.parametrize("ends", ["run", "client"])
def test_what_runs_elsewhere_ends_with_the_run_and_with_the_connection(
    far: Book, token: str, tmp_path: Path, ends: str
) -> None:
    far.script(
        "wait.py",
        f"#!{sys.executable}\n" + STAYING,
    )
    step(far, f'script("wait.py", {token!r}, on="there")')
    source = (
        "from pathlib import Path; from tests.runbooks.performing import Book; import sys;"
        "Book(Path(sys.argv[1])).perform(timeout=1000)"
    )
    path = os.pathsep.join(sys.path)
    run = subprocess.Popen([sys.executable, "-c", source, str(tmp_path)], env={**os.environ, "PYTHONPATH": path})
    try:
        until(lambda: len([one for one in running(token) if "wait.py" in " ".join(one.cmdline())]) >= 2)
        folder = Path(next(one for one in running(token) if "wait.py" in " ".join(one.cmdline())).cmdline()[1]).parent
        assert folder.is_dir()
        if ends == "run":
            run.send_signal(signal.SIGKILL)
        else:
            [client] = [one for one in psutil.Process(run.pid).children(recursive=True) if one.name() == "ssh"]
            client.kill()
        until(lambda: not running(token), 10)
        until(lambda: not folder.exists(), 10)
    finally:
        run.kill()
        run.wait(10)


def test_what_is_started_to_stay_there_is_not_waited_for(far: Book, token: str) -> None:
    step(far, f"""command("sh", "-c", "(setsid sh -c 'sleep 1000; : {token}' &) ; echo started", on="there")""")
    begun = time.monotonic()
    done = far.perform()
    try:
        assert (done.outcome, done.output) == (StepOutcome.DONE, "started\n")
        assert time.monotonic() - begun < 10
        assert running(token)
    finally:
        for one in running(token):
            for child in one.children():
                child.kill()
            one.kill()


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_the_far_side_needs_no_more_than_a_shell(shell: str, tmp_path: Path, token: str) -> None:
    """The program that is sent, in the hands of each shell that may stand at the other end."""
    command = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}[shell]
    if subprocess.run(["which", command[0]], capture_output=True, check=False).returncode:
        pytest.skip(f"no {shell} on this machine")
    settings = HostSettings(kind="host", sudo=False)
    environment = {"PATH": os.environ["PATH"]}

    def run(task: Task, timeout: float = 20) -> commands.Finished:
        sent = remote.program("there", settings, task, environment, tmp_path)
        boot = ["sh", "-c", 'echo welcome; echo welcome >&2; exec "$@"', "login", *command, *sent.argv[1:]]
        return commands.follow(commands.Program(boot, sent.environment, tmp_path, sent.given, sent.mark), timeout)

    done = run(Task(["sh", "-c", "echo yes; printf no >&2; exit 5"]))
    assert (done.status, done.stdout, done.stderr) == (5, "yes\n", "no")
    assert run(Task(["cat"], given=b"a\nb")).stdout == "a\nb"
    script = tmp_path / "it's.sh"
    script.write_text('#!/bin/sh\necho "$1 $NAME"\n' + "# long\n" * 20_000)
    assert run(Task(["$x"], script, {"NAME": "it's $y"})).stdout == "$x it's $y\n"
    late = run(
        Task(
            [
                sys.executable,
                "-c",
                STAYING,
                token,
            ]
        ),
        2,
    )
    assert (late.late, late.status) == (True, None)
    assert not running(token)


@pytest.mark.parametrize("kind", ["script", "given"])
def test_what_arrives_in_part_is_not_used(kind: str, tmp_path: Path) -> None:
    """A line that breaks, or a client that is killed, while it sends: what was sent may be a file of secrets."""
    ran = tmp_path / "ran"
    body = f"#!/bin/sh\ntouch {ran}\n" + "# long\n" * 10_000
    script = tmp_path / "mend.sh"
    script.write_text(body)
    task = Task([], script) if kind == "script" else Task(["sh", "-c", f"cat >{ran}"], given=body.encode())
    sent = remote.program("there", HostSettings(kind="host"), task, {"PATH": os.environ["PATH"]}, tmp_path)
    assert sent.given
    cut = subprocess.run(
        sent.argv, input=sent.given[:-5000], capture_output=True, check=False, cwd=tmp_path, timeout=30
    )
    assert (cut.returncode, ran.exists()) == (126, False)
    assert b"what was sent has arrived in part" in cut.stderr


FULL = 'for one in "$1" /var/tmp; do mount -t tmpfs -o size=4k none "$one" || exit 99; done; shift; exec "$@"'


def test_what_is_sent_lies_where_there_is_room_for_it(tmp_path: Path) -> None:
    """The folders that are tried first have room for a name, and not for the content."""
    sent = tmp_path / "mend.sh"
    sent.write_text(f"#!/bin/sh\n# {'x' * 5000}\necho $0 $1\n")
    (tmp_path / "full").mkdir()
    around = {**os.environ, "TMPDIR": str(tmp_path / "full")}
    program = remote.program("there", HostSettings(kind="host"), Task(["on"], sent), around, tmp_path)
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount")
    argv = ["unshare", "--mount", "sh", "-c", FULL, "sh", around["TMPDIR"], *program.argv]
    done = commands.follow(replace(program, argv=argv), 20)
    place, _, rest = done.stdout.partition("/runbook.")
    assert (done.status, rest[-12:]) == (0, "/mend.sh on\n"), done
    assert place in ("/dev/shm", "/run", str(tmp_path)), "the folders that were tried before are full"
    assert not Path(done.stdout.split()[0]).parent.exists()


def test_a_container_is_a_machine_too(book: Book, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine() as daemon:
        monkeypatch.setenv("DOCKER_HOST", daemon.address)
        with container() as name:
            book.settings(f'{SETTINGS}[probes.there]\nkind = "host"\nuri = "docker://{name}"\n')
            step(book, 'command("sh", "-c", "echo there; exit 6", on="there")')
            done = book.perform()
            assert (done.output, "ended with status 6" in done.why) == ("there\n", True)
            book.script("mend.sh", BASH.replace("/bin/bash", "/bin/sh").replace("set -euo pipefail", "set -eu"))
            step(book, """script("mend.sh", "an 'argument'", on="there")""")
            assert book.perform().output == TOLD
            step(
                book,
                f"""command("sh", "-c", 'trap "" TERM; setsid sleep 1000.1 & sleep 1000.1; : {token}', on="there")""",
            )
            assert book.perform(timeout=4).outcome == StepOutcome.TIMED_OUT
            until(lambda: not running(token) and not running("sleep 1000.1"), 10)
            subprocess.run(["docker", "stop", "-t", "0", name], capture_output=True, check=True)
            assert "is not running" in book.perform().why
            monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
            assert "Cannot connect to the Docker daemon at unix:///nowhere" in book.perform().why


def test_all_that_a_program_writes_can_be_taken(tmp_path: Path) -> None:
    taken = list[bytes]()
    size = 3 * commands.ANSWERED
    program = commands.Program(["head", "-c", str(size), "/dev/zero"], dict(os.environ), tmp_path)
    done = commands.follow(program, 60, show=False, take=taken.append)
    assert (done.status, done.stdout, sum(map(len, taken))) == (0, "", size)


def test_what_talks_on_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    told = "(for i in $(seq 100); do echo on; sleep 0.1; done; echo to the end) & exit 3"
    done = commands.follow(commands.Program(["sh", "-c", told], dict(os.environ), tmp_path), 30, show=False)
    assert (done.status, done.late, "to the end" in done.stdout) == (3, False, False)
