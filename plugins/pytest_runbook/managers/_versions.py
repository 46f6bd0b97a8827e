"""The version of a unit where its manager reads it: a variable in a file of `NAME=value` lines.

That is what compose, `docker run --env-file`, systemd's `EnvironmentFile=` and a shell's `. FILE` all read. The version
before the last switch stands in the same file, as PREVIOUS_NAME: one replacement of the file changes both or neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pytest_runbook.errors import ManagerError

VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""What may be an image's tag; it needs no quoting anywhere."""
FORM = 'letters, digits, ".", "_" and "-", as in the tag of an image'
"""The same in words."""
READ = 'exec cat -- "$1"'
# The content comes by standard input, since it holds secrets; what was cut short on its way is not put in place.
WRITE = """
set -e
file=$(readlink -f -- "$1")
new=$file.$$.new
trap 'rm -f -- "$new"' EXIT
cp -p -- "$file" "$new"
cat >"$new"
[ "$(wc -c <"$new")" -eq "$2" ] || { echo "the new content was cut short" >&2; exit 1; }
sync -- "$new" 2>/dev/null || sync
mv -f -- "$new" "$file"
"""


class VersionFile:
    """One file of variables, and the one of them that is a version."""

    def __init__(self, ask: Callable[..., str], path: str, variable: str) -> None:
        """ASK runs a command, answers its output, and raises ManagerError when it fails."""
        self._ask = ask
        self.path = path
        self._variable = variable

    @property
    def place(self) -> str:
        """Which variable of which file this is, in words."""
        return f'{self._variable} in "{self.path}"'

    def names(self) -> list[str]:
        """All variables of the file."""
        return re.findall(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=", self._read(), re.MULTILINE)

    def current(self) -> str:
        """The version that the next start runs."""
        return self._current(self._read())

    def previous(self) -> str | None:
        """The version before the last switch."""
        return value(self._read(), f"PREVIOUS_{self._variable}")

    def switch(self, version: str) -> None:
        """Replace the file by one that says VERSION, and the one until now as the previous; else it stays as it is."""
        if not VERSION.fullmatch(version):
            raise ManagerError(f'"{version}" cannot be a version\n  hint: {FORM}')
        text = self._read()
        before = self._current(text)
        if before != version:
            self._write(switched(text, self._variable, before, version))

    def kept(self, text: str) -> str:
        """TEXT, which is to take the place of the file, with the version and the one before it that the file says now."""
        now = self._read()
        return with_versions(text, self._variable, now) if value(now, self._variable) else text

    def _current(self, text: str) -> str:
        if found := value(text, self._variable):
            return found
        raise ManagerError(
            f'"{self.path}" does not say "{self._variable}"\n  hint: add the line {self._variable}=, with what runs now'
        )

    def _read(self) -> str:
        return self._ask("sh", "-c", READ, "read", self.path)

    def _write(self, text: str) -> None:
        self._ask("sh", "-c", WRITE, "write", self.path, str(len(text.encode())), text=text)


def value(text: str, name: str) -> str | None:
    """The value of the variable NAME in TEXT, the last one, without its quotes; None when there is none."""
    found = _line(name).findall(text)
    return found[-1][2] or None if found else None


def switched(text: str, name: str, before: str, after: str) -> str:
    """TEXT with AFTER for the variable NAME, and BEFORE for PREVIOUS_NAME, which comes behind it if it is new."""
    previous = f"PREVIOUS_{name}"
    record = "" if _line(previous).search(text) else f"\n{previous}={before}"
    text = _assigned(text, previous, before)
    *_, last = _line(name).finditer(text)
    end = text.find("\n", last.end())
    end = len(text) if end < 0 else end
    text = f"{text[:end]}{record}{text[end:]}"
    return _assigned(text, name, after)


def with_versions(text: str, name: str, now: str) -> str:
    """TEXT with the values that NOW has for the variable NAME and for PREVIOUS_NAME; one that it lacks comes at its end."""
    for variable in (name, f"PREVIOUS_{name}"):
        kept = value(now, variable) or ""
        if _line(variable).search(text):
            text = _assigned(text, variable, kept)
        elif kept:
            text += ("" if text[-1:] in ("", "\n") else "\n") + f"{variable}={kept}\n"
    return text


def _assigned(text: str, name: str, new: str) -> str:
    """TEXT with the value NEW in each assignment to NAME."""
    return _line(name).sub(lambda line: f"{line[1]}{line[2]}{new}{line[2]}", text)


def _line(name: str) -> re.Pattern[str]:
    """An assignment to NAME: what stands before its value, the quote, the value."""
    return re.compile(rf"""^([ \t]*(?:export[ \t]+)?{name}[ \t]*=[ \t]*)(["']?)([^\s"'#]*)\2""", re.MULTILINE)
