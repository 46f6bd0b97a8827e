"""The restore of a database of 1 GiB within a drill, beside the guide's `gunzip | psql`, and what the drill costs beyond it."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pytest_runbook.backup.restore.postgresql import ADMIN, ScratchPostgresql

from bench.timing import Cost, Row, median_wall, once
from lab import binaries

MEBIBYTES = int(os.environ.get("BENCH_DATABASE_MB", "1024"))
TABLES = 8
ROWS = MEBIBYTES * 2**20 // TABLES // 190
"""Of each table; a row and its index entry take about 190 bytes."""
ROUNDS = 3
AS_IT_COMES = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "5min",
    "autovacuum": "on",
    "maintenance_work_mem": "64MB",
    "max_parallel_maintenance_workers": "2",
}
"""PostgreSQL's own defaults, which the guide's command meets on any server; a drill's server need not survive a crash."""
FILL = """
CREATE TABLE t{n} (id bigint PRIMARY KEY, made timestamptz NOT NULL, who text, said text);
INSERT INTO t{n} SELECT i, now(), 'user ' || i % 5000, md5(i::text) || ' said ' || md5((i + {n})::text)
FROM generate_series(1, {rows}) AS i;
"""
SETTINGS = """
[system]
name = "bench"
environment = "staging"
[services.database]
[probes.database]
kind = "postgresql"
uri = "{uri}"
timeout = 300
[backup.database]
probe = "database"
[backup.destinations.local]
kind = "folder"
path = "backups"
[backup.programs]
postgresql = "{bindir}"
[drill]
source = "local"
rto = 3600
rpo = 3600
checks = ""
"""
RUNBOOK = [sys.executable, "-c", "from pytest_runbook.cli import main; main()"]


def run(folder: Path) -> list[Row]:
    """The figures, measured in FOLDER."""
    guide: list[Cost] = []
    tuned: list[Cost] = []
    drills: list[Cost] = []
    papers: list[dict[str, Any]] = []
    with servers(folder) as (source, ordinary, same):
        write(folder, source)
        shell(folder, source, 'pg_dump "$1" | gzip > guide.sql.gz', "bench")
        done(folder, [*RUNBOOK, "backup"])
        for _ in range(ROUNDS):
            guide.append(loaded(folder, ordinary))
            tuned.append(loaded(folder, same))
            drills.append(done(folder, [*RUNBOOK, "drill", "--json"]))
            papers.append(certificate(folder))
        size = sql(source, "SELECT pg_database_size('bench')", "bench")
    restoring = [seconds(paper, "database") for paper in papers]
    beyond = statistics.median(
        cost.wall / paper["rto"]["seconds"] - 1 for cost, paper in zip(drills, papers, strict=True)
    )
    theirs, alike, ours = median_wall(guide), median_wall(tuned), statistics.median(restoring)
    return [
        Row("database", size / 2**20, " MiB"),
        Row("gunzip -c | psql, into a server as it comes", theirs, " s"),
        Row("gunzip -c | psql, into a server told the same as the drill's", alike, " s"),
        Row("restore of the same, within the drill", ours, " s"),
        Row("2 x restore / (gunzip -c | psql)", 2 * ours / theirs, " x", 1.0),
        Row("2 x restore / (gunzip -c | psql, told the same)", 2 * ours / alike, " x"),
        Row("drill, until what was restored serves", statistics.median(p["rto"]["seconds"] for p in papers), " s"),
        Row("drill: everything but the restore, to the restore", beyond, " x", 0.25),
        Row("peak memory of the drill", max(cost.memory for cost in drills) / 1e6, " MB", 300),
    ]


def loaded(folder: Path, server: ScratchPostgresql) -> Cost:
    """What the guide's own command costs on SERVER."""
    sql(server, "CREATE DATABASE guide")
    cost = shell(folder, server, 'gunzip -c guide.sql.gz | psql -q -v ON_ERROR_STOP=1 "$1"', "guide")
    sql(server, "DROP DATABASE guide")
    return cost


@contextmanager
def servers(folder: Path) -> Iterator[list[ScratchPostgresql]]:
    """The server with the database `bench`, and two that the guide's dump goes into: as it comes, and told what ours are."""
    folder.chmod(0o755)  # PostgreSQL runs as somebody else when we are root
    bindir = binaries.postgresql()
    with ExitStack() as stack:
        made = []
        for name, told in (("source", {}), ("ordinary", AS_IT_COMES), ("same", {})):
            (folder / name).mkdir()
            server = stack.enter_context(ScratchPostgresql(folder / name, bindir, told))
            server.create()
            server.start()
            made.append(server)
        sql(made[0], "CREATE DATABASE bench")
        for number in range(TABLES):
            for statement in FILL.format(n=number, rows=ROWS).strip().split(";\n"):
                sql(made[0], statement, "bench")
        yield made


def sql(server: ScratchPostgresql, statement: str, database: str = "postgres") -> Any:
    """The first value of the answer of STATEMENT."""
    import psycopg

    with psycopg.connect(**{**server.address(), "dbname": database}, autocommit=True) as connection:
        answer = connection.execute(statement.encode())
        row = answer.fetchone() if answer.description else None
    return row[0] if row else None


def shell(folder: Path, server: ScratchPostgresql, pipe: str, database: str) -> Cost:
    """The guide's own PIPE, with the address of DATABASE on SERVER as $1."""
    path = f"{binaries.postgresql()}{os.pathsep}{os.environ['PATH']}"
    address = f"postgresql://{ADMIN}@127.0.0.1:{server.port}/{database}"
    return done(folder, ["sh", "-c", pipe, "guide", address], {"PATH": path, "PGPASSWORD": server.password})


def done(folder: Path, command: list[str], env: dict[str, str] | None = None) -> Cost:
    """The cost of COMMAND, which has to succeed."""
    cost = once(command, folder, env)
    if cost.code != 0:
        raise SystemExit(
            f"bench: {command[-3:]} ended with {cost.code}:\n{(folder / 'output.txt').read_text()[-3000:]}"
        )
    return cost


def write(folder: Path, source: ScratchPostgresql) -> None:
    """A project whose database is SOURCE's."""
    uri = f"postgresql://{ADMIN}:{source.password}@127.0.0.1:{source.port}/bench"
    (folder / "pytest.ini").write_text("[pytest]\nrunbook_settings = settings.toml\n")
    (folder / "settings.toml").write_text(SETTINGS.format(uri=uri, bindir=binaries.postgresql()))
    (folder / "checks").mkdir()


def certificate(folder: Path) -> dict[str, Any]:
    """The newest one that a drill wrote."""
    newest = max((folder / "var" / "drills").glob("*/certificate.json"), key=lambda path: path.stat().st_mtime)
    paper: dict[str, Any] = json.loads(newest.read_text())
    return paper


def seconds(paper: dict[str, Any], phase: str) -> float:
    """How long PHASE of the drill took."""
    return float(sum(one["seconds"] for one in paper["phases"] if one["name"] == phase))
