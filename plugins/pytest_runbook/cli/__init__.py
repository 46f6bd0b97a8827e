"""The command `runbook`: each module of this folder that defines `command` is one of its commands."""

from __future__ import annotations

import errno
import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

import click

from pytest_runbook.cli._changing import tell, unheard

EXIT_CODES = """\b
Exit codes:
  0    done
  1    done, and what was asked for is not so; a command says when
  2    interrupted
  3    an error inside the command itself, or of its machine, as a full disk
  4    a bad option, a bad name or bad settings
"""

OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM)
"""Errors of a disk, or of rights: a traceback would only show where we met them."""


class Commands(click.Group):
    """Finds commands by walking this folder; imports only the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return [name.replace("_", "-") for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name; None when there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}")
        return module.command  # type: ignore[no-any-return]

    def main(self, args: Sequence[str] | None = None, *rest: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a command; bad usage exits with pytest's code for it, 4, where click alone would say 2."""
        run = partial(click.Command.main, self, args, *rest, standalone_mode=False, **extra)
        return _exit(run) if standalone_mode else run()


def _exit(run: Callable[[], Any]) -> NoReturn:
    try:
        sys.exit(run() or 0)
    except click.ClickException as error:
        with unheard(err=True):
            error.show()
        sys.exit(4 if isinstance(error, click.UsageError) else error.exit_code)
    except click.Abort:
        tell("interrupted", err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in OF_THE_MACHINE:
            traceback.print_exc()
        else:
            where = f'"{error.filename}": ' if error.filename else ""
            tell(f"{where}{os.strerror(error.errno).lower()}\n  hint: look at the room and rights there", err=True)
        sys.exit(3)
    except Exception:  # whatever a command did not expect: Python itself would exit with 1, which has a meaning here
        traceback.print_exc()
        sys.exit(3)


@click.group(cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pytest-runbook", message="%(package)s %(version)s")
def main() -> None:
    """An operations guide that runs: settings, status and reports beside `pytest`."""
