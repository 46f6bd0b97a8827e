"""What figures are made of: the output of commands and the content of small files, here or on a machine elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pytest_runbook.errors import Unmeasured

MARK = "==> runbook <=="


class Reader:
    """Reads one machine; blocks, so in a thread."""

    def __init__(self, machine: Callable[[], Any], target: str, *, local: bool) -> None:
        """MACHINE answers testinfra's host, made when it is needed; TARGET is its name for people."""
        self._machine, self.target, self.local = machine, target, local

    def run(self, command: str, *args: str) -> Any:
        """testinfra's result of COMMAND, whose `%s` are ARGS, quoted."""
        return self._machine().run(command, *args)

    def said(self, command: str, *args: str) -> str:
        """Output of COMMAND; Unmeasured when it fails."""
        done = self.run(command, *args)
        if done.rc != 0:
            raise Unmeasured(f'"{self.target}": {last(done.stderr) or f"{command} ended with status {done.rc}"}')
        return str(done.stdout).rstrip("\n")

    def has(self, program: str) -> bool:
        """Whether PROGRAM can be run."""
        return bool(self.run("command -v %s", program).rc == 0)

    def files(self, *paths: str) -> dict[str, str]:
        """Content of those of PATHS, names without blanks, that can be read."""
        if self.local:
            return dict(_read(paths))
        script = f'for f in {" ".join(paths)}; do [ -r "$f" ] && echo "{MARK}$f" && cat "$f"; done; true'
        parts = self.said(script).split(MARK)[1:]
        return {path: text for path, _, text in (part.partition("\n") for part in parts)}


def last(text: str) -> str:
    """The last line of TEXT: what a program that failed says in the end."""
    return text.strip().rpartition("\n")[2][:300]


def _read(paths: Iterable[str]) -> Iterable[tuple[str, str]]:
    for path in paths:
        try:
            yield path, Path(path).read_text(errors="replace")
        except OSError:
            continue
