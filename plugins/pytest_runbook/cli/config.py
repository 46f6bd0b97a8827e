"""`runbook config`: every setting with its value and where that came from."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pytest_runbook.cli._options import BadUsage, loaded, settings_options
from pytest_runbook.errors import unknown


@click.command(
    epilog="""\b
Exit codes:
  0    shown
  4    the settings, a file they are read from, or KEY cannot be used; the message says where and why
"""
)
@settings_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object: key to value and origin.")
@click.argument("key", default="")
def command(file: Path | None, overrides: tuple[str, ...], as_json: bool, key: str) -> None:
    """Show each setting below KEY (default: all), its value and where it comes from; secrets are masked.

    A terminal gets a table, a pipe gets lines of key, value and origin with tabs between them.
    """
    from pytest_runbook.settings.display import displayed  # late: `runbook config --help` needs no settings

    found = loaded(file, overrides)
    if broken := [error for error in (found.system.config_error, found.system.env_error) if error]:
        raise BadUsage("\n".join(broken) + "\n  hint: correct the file; values that it holds are not used")
    rows = {name: row for name, row in displayed(found).items() if not key or f"{name}.".startswith(f"{key}.")}
    if not rows:
        raise BadUsage(unknown("key", key, sorted({name.split(".")[0] for name in displayed(found)})))
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        _table(rows)
    else:
        click.echo("\n".join("\t".join(cells) for cells in _cells(rows)))


def _cells(rows: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for key, row in rows.items():
        value = row["value"]
        yield (
            key,
            value if isinstance(value, str) and value.isprintable() else json.dumps(value, ensure_ascii=False),
            row["origin"],
        )


def _table(rows: dict[str, dict[str, Any]]) -> None:
    from rich import box  # late: a pipe needs no table
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("key", "value", "origin", box=box.SIMPLE_HEAD, pad_edge=False)
    for cells in _cells(rows):
        table.add_row(*map(Text, cells))
    Console(highlight=False).print(table)
