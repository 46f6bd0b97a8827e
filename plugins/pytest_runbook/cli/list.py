"""`runbook list`: every runbook, what it mends and how far it goes by itself."""

from __future__ import annotations

import json

import click

from pytest_runbook.cli._options import BadUsage, project_root, readable


@click.command(
    epilog="""\b
Exit codes:
  0    listed
  4    there is no folder remediation/, or a runbook in it cannot be loaded
"""
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array of objects.")
def command(as_json: bool) -> None:
    """List the runbooks of this project: id, title, and the risk of each step; "by a person" has none."""
    from pytest_runbook.runbooks.loading import load, texts

    folder = project_root() / "remediation"
    if not folder.is_dir():
        raise BadUsage(f'there is no folder "{folder}"\n  hint: call it in the project that has runbooks')
    with readable():
        found = [load(folder, name) for name in texts(folder)]
    if as_json:
        rows = [
            {"id": one.id, "title": one.title, "steps": [{"name": s.name, "risk": s.risk} for s in one.steps]}
            for one in found
        ]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    width = max((len(one.id) for one in found), default=0)
    for one in found:
        risks = " ".join(dict.fromkeys(str(step.risk) for step in one.ladder)) or "by a person"
        click.echo(f"{one.id:{width}}  {one.title}  [{risks}]")
