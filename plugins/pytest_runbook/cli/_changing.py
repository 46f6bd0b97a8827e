"""What commands that change something share: neither who stops listening nor a lost session ends one of them half-way."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from pytest_runbook.cli._options import BadUsage
from pytest_runbook.interrupts import NUMBERS


def tell(line: str, *, err: bool = False) -> None:
    """Say LINE on standard output, or ERR; where nobody can hear it, what is done goes on all the same."""
    with unheard(err=err):
        click.echo(line, err=err)


@contextmanager
def unheard(*, err: bool = False) -> Iterator[None]:
    """For a block that only speaks: a closed pipe, a lost terminal or a full disk makes that stream silent from then on."""
    try:
        yield
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if err else sys.stdout).fileno())  # also for what Python writes when it ends
        os.close(nowhere)


def insist_on(name: str, given: str, option: str, doing: str) -> None:
    """Ask for the NAME of the system, unless it is GIVEN by OPTION: what one is DOING should be done to what one thinks."""
    if not given:
        if not sys.stdin.isatty():
            raise BadUsage(
                f'nobody can be asked for the name of the system: nothing was done\n  hint: {option} "{name}"'
            )
        given = click.prompt(f'type the name of the system to {doing} ("{name}")')
    if given != name:
        raise BadUsage(f'"{given}" is not the name of the system: nothing was done\n  hint: {option} "{name}"')


def heed_endings(said: str) -> None:
    """Have Ctrl-C, SIGTERM and SIGHUP interrupt, once SAID, so that what was begun is taken back.

    Only the first of them counts: who loses a session is told so by the kernel, the shell and the service manager, who
    waits presses Ctrl-C again, and the second one would break off the way back. What `nohup` started goes on.
    """
    asked = False

    def ended(*_: object) -> None:
        nonlocal asked
        if asked:
            return
        asked = True
        tell(said, err=True)
        raise KeyboardInterrupt

    for number in NUMBERS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, ended)
