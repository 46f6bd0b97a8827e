"""Programs on other machines, by ssh or in a container, which end when the connection to them does.

Whatever carries us, a shell at the far side reads one small program from its standard input: so a command is never quoted
twice, no list of processes shows it, and it may be as long as it has to. Standard input then stays open as the life line.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from pytest_runbook.errors import StepFailed
from pytest_runbook.runbooks.commands import Program
from pytest_runbook.runbooks.family import MARK

if TYPE_CHECKING:
    from pytest_runbook.probes.host import HostSettings

KNOWN = "local://, ssh://USER@HOST:PORT, docker://NAME, podman://NAME, kubectl://POD"
DEAF = ("/bin/sh", "-c", 'trap "" TERM; exec "$@"', "sh")
"""Before a client that must not go while the far side is being ended: it goes when that has gone."""

FAR = r"""
main() {
echo "$mark"; echo "$mark" >&2
umask 077
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin; export PATH
exec 3<&0 </dev/null
folder=
family() {
  if printf 'x\0y' | grep -qzx y; then
    grep -lzxF "$mark" /proc/[0-9]*/environ | tr -cd '0-9\n'
  else
    for one in /proc/[0-9]*; do
      if tr '\0' '\n' <"$one/environ" | grep -qxF "$mark"; then echo "${one#/proc/}"; fi
    done
  fi 2>/dev/null
}
alive() { kill -0 "-$child" || [ -n "$(family)" ]; }
tell() {
  kill -s "$1" "-$child"
  for one in $(family); do kill -s "$1" "$one"; done
}
guard() {
  exec >/dev/null 2>&1
  while read -r line <&3; do :; done
  trap '' TERM
  tell TERM
  for pass in 1 2 3 4 5; do alive && sleep 0.2; done
  for pass in 1 2 3 4 5 6 7 8 9 10; do alive || break; tell KILL; sleep 0.1; done
  [ -z "$folder" ] || rm -rf "$folder"
}
finish() {
  [ -z "$folder" ] || rm -rf "$folder"
  printf '%s %d\n' "$mark" "$1" >&2
  exit "$1"
}
"""
"""What runs there, in the words of any POSIX shell; a function, so that one which arrives in part does nothing.

It has a guardian of its own, which reads the life line, and finds what it has to end by its group and by its mark.
"""
RECEIVE = r"""
takes() {{
  echo "#!/bin/sh" >"$1" && chmod 700 "$1" && {tried} && head -c {size} /dev/zero >"$1" && [ "$(wc -c <"$1")" -eq {size} ]
}}
for place in "${{TMPDIR:-/tmp}}" /var/tmp /dev/shm /run "$PWD"; do
  folder=$(mktemp -d "$place/runbook.XXXXXX" 2>/dev/null) || continue
  takes "$folder"/{name} 2>/dev/null && break
  rm -rf "$folder"; folder=
done
[ -n "$folder" ] || {{ echo "no folder for temporary files takes {size} bytes" >&2; finish 126; }}
head -c {size} <&3 >"$folder"/{name}
[ "$(wc -c <"$folder"/{name})" -eq {size} ] || {{ echo "what was sent has arrived in part" >&2; finish 126; }}
"""
"""Before the content is read, which comes once, a place is found by writing as much there, and for a script by running one.

The file is empty again before the content comes: its size says whether all of it came, as it does not when the line is cut.
"""
START = r"""
start=; command -v setsid >/dev/null 2>&1 && start=setsid
$start env "$mark" {command} &
child=$!
guard &
guardian=$!
wait "$child"; status=$?
kill "$guardian" 2>/dev/null; wait "$guardian" 2>/dev/null
finish "$status"
}}
main
"""


@dataclass(frozen=True, slots=True)
class Task:
    """A program to run, here or there."""

    argv: Sequence[str]
    """Of a script: its arguments."""
    script: Path | None = None
    """A file of ours, to be sent there."""
    variables: Mapping[str, str] = field(default_factory=dict)
    given: bytes | None = None
    """Standard input of one that is no script; None: empty."""

    @property
    def content(self) -> bytes | None:
        """What has to be there before it starts."""
        return self.script.read_bytes() if self.script else self.given

    @property
    def name(self) -> str:
        """The command, for people."""
        return shlex.join([self.script.name, *self.argv] if self.script else self.argv)


def program(probe: str, settings: HostSettings, task: Task, environment: Mapping[str, str], folder: Path) -> Program:
    """What performs TASK at the machine of PROBE; ENVIRONMENT and FOLDER are those of the client here."""
    mark = f"{MARK}={secrets.token_hex(16)}"
    sent = f"mark={mark}\n{_text(task)}".encode()
    boot = ["sh", "-c", f'eval "$(dd bs=1 count={len(sent)} 2>/dev/null)"']  # not a byte too many
    content = task.content or b""
    way = _way(probe, settings, boot)
    return Program(way, environment, folder, sent + content, mark.encode(), f"{task.name} (on {probe})")


def is_remote(settings: HostSettings) -> bool:
    """Whether a program there is not simply one of ours."""
    return not settings.uri.startswith("local:") or settings.sudo or bool(settings.sudo_user)


def _text(task: Task) -> str:
    """The program that performs TASK there."""
    text, words = FAR, [*map(shlex.quote, task.argv)]
    if task.content is not None:
        name = shlex.quote(task.script.name if task.script else "given")
        text += RECEIVE.format(size=len(task.content), name=name, tried='"$1"' if task.script else ":")
        words = [f'"$folder"/{name}', *words] if task.script else [*words, f'<"$folder"/{name}']
    variables = [shlex.quote(f"{name}={value}") for name, value in task.variables.items()]
    return text + START.format(command=" ".join([*variables, *words]))


def _way(probe: str, settings: HostSettings, boot: list[str]) -> list[str]:
    """The client that carries BOOT to the machine."""
    parts = urlsplit(settings.uri)
    said = {"sudo_user": settings.sudo_user, "ssh_config": settings.ssh_config}
    said |= {"ssh_identity_file": settings.ssh_identity_file, **dict(parse_qsl(parts.query))}
    if settings.sudo or said["sudo_user"] or said.get("sudo", "").lower() == "true":
        boot = ["sudo", "-n", *_option("-u", said["sudo_user"]), "--", *boot]
    host, user = unquote(parts.netloc.rpartition("@")[2]), unquote(parts.username or "")
    match parts.scheme:
        case "local":
            return boot
        case "ssh" | "safe-ssh":
            return [*DEAF, *_ssh(probe, settings, said), shlex.join(boot)]
        case "docker" | "podman":
            return [*DEAF, parts.scheme, "exec", "-i", *_option("-u", user), "--", host, *boot]
        case "kubectl":
            chosen = [f"--{name}={said[name]}" for name in ("kubeconfig", "context", "namespace") if name in said]
            inside = [f"--container={said['container']}"] if "container" in said else []
            return [*DEAF, "kubectl", *chosen, "exec", "-i", *inside, host, "--", *boot]
        case other:
            raise StepFailed(f'nothing can be run by "{other}://", as probes.{probe}.uri says (known: {KNOWN})')


def _ssh(probe: str, settings: HostSettings, said: Mapping[str, str]) -> list[str]:
    parts = urlsplit(settings.uri)
    if parts.password:
        raise StepFailed(
            f"probes.{probe}.uri has a password, which ssh would show in the list of processes\n  hint: use a key or an agent"
        )
    wanted = {"BatchMode": "yes", "LogLevel": "ERROR", "ConnectTimeout": str(max(round(settings.timeout), 1))}
    # A line that falls silent is cut; a shared connection would outlive this client, whose end ends the far side.
    wanted |= {"ServerAliveInterval": "5", "ServerAliveCountMax": "3", "ControlPath": "none"}
    wanted |= {"User": unquote(parts.username)} if parts.username else {}
    wanted |= {"Port": str(parts.port)} if parts.port else {}
    options = [part for name, value in wanted.items() for part in ("-o", f"{name}={value}")]
    files = [*_option("-F", said["ssh_config"]), *_option("-i", said["ssh_identity_file"])]
    return ["ssh", "-T", *files, *options, "--", parts.hostname or ""]


def _option(flag: str, value: str) -> tuple[str, ...]:
    return (flag, value) if value else ()
