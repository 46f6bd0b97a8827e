"""Programs on other machines, by ssh or in a container, which end when the connection to them does.

Whatever carries us, a shell at the far side reads one small program from its standard input: so a command is never quoted
twice, no list of processes shows it, and it may be as long as it has to. Standard input then stays open as the life line.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from pytest_runbook.errors import StepFailed
from pytest_runbook.probes._address import public
from pytest_runbook.probes.host import HostSettings
from pytest_runbook.probes.host.machine import ABSENT, DOCKER, DOWN
from pytest_runbook.runbooks.commands import Finished, Program
from pytest_runbook.runbooks.family import MARK

KNOWN = "local://, ssh://USER@HOST:PORT, docker://NAME, podman://NAME, kubectl://POD"
# What ssh's client catches it must not while the far side is being ended: it goes when that has gone.
DEAF = ("/bin/sh", "-c", 'trap "" TERM; exec "$@"', "sh")

AROUND = r"""
umask 077
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin; export PATH
exec 3<&0 </dev/null
folder=
family() {
  for one in /proc/[0-9]*; do
    if tr '\0' '\n' <"$one/environ" | grep -qxF "$mark"; then echo "${one#/proc/}"; fi
  done 2>/dev/null
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
}
"""
"""The far side's own guardian, in the words of any POSIX shell: it reads the life line, and finds what it has to end by
its group and by its mark, as `family` does here."""
START = r"""
start=; command -v setsid >/dev/null 2>&1 && start=setsid
$start env "$mark" {variables} {command} &
child=$!
guard &
guardian=$!
wait "$child"; status=$?
kill "$guardian" 2>/dev/null; wait "$guardian" 2>/dev/null
[ -z "$folder" ] || rm -rf "$folder"
exit "$status"
"""
SCRIPT = r"""
folder=$(mktemp -d) || exit 125
head -c {size} <&3 >"$folder"/{name} && chmod 700 "$folder"/{name} || exit 125
"""


def program(
    probe: str,
    settings: HostSettings,
    argv: Sequence[str],
    *,
    variables: Mapping[str, str],
    environment: Mapping[str, str],
    folder: Path,
    script: Path | None = None,
) -> Program:
    """What runs ARGV (the arguments of SCRIPT, a file of ours, when it is given) at the machine of PROBE with VARIABLES.

    ENVIRONMENT and FOLDER are those of the client here.
    """
    command = [*argv]
    text = AROUND + f"mark={MARK}={secrets.token_hex(16)}\n"
    content = b""
    line = shlex.join(command)
    if script:
        content, name = script.read_bytes(), shlex.quote(script.name)
        text += SCRIPT.format(size=len(content), name=name)
        line = f'"$folder"/{name} {line}'
    text += START.format(variables=_assigned(variables), command=line)
    sent = text.encode()
    boot = ["sh", "-c", f'eval "$(head -c {len(sent)})"']
    way = _way(probe, settings, boot)
    shown = shlex.join([script.name, *argv] if script else command)
    return Program(way, environment, folder, sent + content, alive=True, name=f"{shown} (on {probe})")


def lost(settings: HostSettings, done: Finished) -> str | None:
    """Why DONE tells of the way to the machine and not of the program there; None when the program itself ended so."""
    kind, said = settings.uri.partition(":")[0], done.stderr.strip()
    failed = (
        (kind in ("ssh", "safe-ssh") and done.status == 255)
        or (kind in ("docker", "podman") and done.status != 0 and DOCKER.match(said))
        or (kind == "kubectl" and done.status != 0 and re.match(r"(?i)error|unable to", said))
        or (done.status == 127 and ABSENT.search(said))
        or (settings.sudo and done.status != 0 and said.startswith("sudo: "))
        or (done.status == 125 and not said)
    )
    if not failed:
        return None
    words = "cannot be reached" if DOWN.search(said) else "cannot be used"
    return f'"{public(settings.uri)}" {words}: {done.last or f"status {done.status}"}'


def is_remote(settings: HostSettings) -> bool:
    """Whether a program there is not simply one of ours."""
    return not settings.uri.startswith("local:") or settings.sudo or bool(settings.sudo_user)


def _way(probe: str, settings: HostSettings, boot: list[str]) -> list[str]:
    """The client that carries BOOT to the machine."""
    parts = urlsplit(settings.uri)
    options = {
        **settings.model_dump(include={"sudo_user", "ssh_config", "ssh_identity_file"}),
        **dict(parse_qsl(parts.query)),
    }
    if settings.sudo or settings.sudo_user or options.get("sudo", "").lower() == "true":
        boot = ["sudo", "-n", *(("-u", options["sudo_user"]) if options["sudo_user"] else ()), *boot]
    host = unquote(parts.netloc.rpartition("@")[2])
    user = unquote(parts.username or "")
    if host.startswith("-"):
        raise StepFailed(f'probes.{probe}.uri names no machine: "{host}"')
    match parts.scheme:
        case "local":
            return boot
        case "ssh" | "safe-ssh":
            return [*DEAF, *_ssh(probe, settings, options, parts.hostname or host, parts.port, user), shlex.join(boot)]
        case "docker" | "podman":
            return [parts.scheme, "exec", "-i", *(("-u", user) if user else ()), host, *boot]
        case "kubectl":
            chosen = [f"--{name}={options[name]}" for name in ("kubeconfig", "context", "namespace") if name in options]
            inside = [f"--container={options['container']}"] if "container" in options else []
            return ["kubectl", *chosen, "exec", "-i", *inside, host, "--", *boot]
        case other:
            raise StepFailed(f'nothing can be run by "{other}://", as probes.{probe}.uri says (known: {KNOWN})')


def _ssh(
    probe: str, settings: HostSettings, options: Mapping[str, str], host: str, port: int | None, user: str
) -> list[str]:
    if urlsplit(settings.uri).password:
        raise StepFailed(
            f"probes.{probe}.uri has a password, which ssh would show in the list of processes\n  hint: use a key or an agent"
        )
    said = {"BatchMode": "yes", "ConnectTimeout": str(max(round(settings.timeout), 1))}
    # A line that falls silent is cut, here and there; a shared connection would outlive the client whose end ends the rest.
    said |= {"ServerAliveInterval": "5", "ServerAliveCountMax": "3", "ControlPath": "none"}
    said |= ({"User": user} if user else {}) | ({"Port": str(port)} if port else {})
    files = [
        f for flag, f in (("-F", options["ssh_config"]), ("-i", options["ssh_identity_file"])) if f for f in (flag, f)
    ]
    return [
        "ssh",
        "-T",
        *files,
        *(part for name, value in said.items() for part in ("-o", f"{name}={value}")),
        "--",
        host,
    ]


def _assigned(variables: Mapping[str, str]) -> str:
    return " ".join(shlex.quote(f"{name}={value}") for name, value in variables.items())
