"""Options that every command about a system has: which settings, and what overrides them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from pytest_runbook.errors import RunbookError, UsageError

if TYPE_CHECKING:
    from pytest_runbook.settings import Loaded

F = TypeVar("F", bound=Callable[..., object])


class BadUsage(click.ClickException):
    """What the caller asked for does not exist; exit code 4, as in pytest."""

    exit_code = 4


def settings_options(command: F) -> F:
    """Give COMMAND the options `--settings FILE` and `--set KEY=VALUE`, as arguments of `loaded`."""
    add_file = click.option(
        "--settings",
        "file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Settings of the system; by default those that pytest's configuration here names (runbook_settings).",
    )
    add_set = click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override one; repeatable.")
    return add_file(add_set(command))


def loaded(file: Path | None, overrides: tuple[str, ...]) -> Loaded:
    """The settings that the options name; ends the command with exit code 4 when they are bad."""
    from pytest_runbook.settings import load  # late: `runbook --help` needs no settings
    from pytest_runbook.settings.project import project

    try:
        chosen = file.absolute() if file else project(Path.cwd())[1]
        if chosen is None:
            raise UsageError(
                f'no settings named in "{project_root()}"\n'
                "  hint: --settings FILE, or runbook_settings in pytest's configuration"
            )
        return load(project_root(file), file=chosen, environ=os.environ, overrides=overrides)
    except UsageError as error:
        raise BadUsage(str(error)) from None


def project_root(file: Path | None = None) -> Path:
    """The root folder of the project that this is a folder of, as pytest finds it; elsewhere that of the settings FILE.

    What the settings call by a relative path lies there, the history and the journals too: every command asks here.
    """
    from pytest_runbook.settings.project import project

    root, named = project(Path.cwd())
    return root if named or file is None else file.absolute().parent


@contextmanager
def readable() -> Iterator[None]:
    """End the command with exit code 4 and the words of the error when the block meets what cannot be used."""
    try:
        yield
    except RunbookError as error:
        raise BadUsage(str(error)) from None
