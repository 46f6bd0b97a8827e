"""A backup beside the guide's own `pg_dump | gzip`, on the same database of 1 GiB."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.timing import Row, in_turn, median_wall, ratio_of_pairs
from lab import binaries
from tests.probes.databases import SECRET, PostgresServer, server_folder

SIZE = int(os.environ.get("BENCH_BACKUP_MIB", "1024"))
"""MiB of the database on its server."""
ROUNDS = int(os.environ.get("BENCH_BACKUP_ROUNDS", "3"))
ROWS_OF_A_MIB = 3_200
FILL = """
    CREATE TABLE {table} (id bigserial PRIMARY KEY, name text, payload text, at timestamptz DEFAULT now());
    INSERT INTO {table} (name, payload)
    SELECT 'recording ' || n, md5(n::text) || repeat(md5((n % 1000)::text), 4) || md5((n * 7)::text)
    FROM generate_series(1, {rows}) AS n;
"""
TABLES = 4
GUIDE = (
    "set -o pipefail; PGPASSWORD={password} {bindir}/pg_dump -h 127.0.0.1 -p {port} -U admin shop | gzip > dump.sql.gz"
)
SETTINGS = """
[system]
name = "shop"
[history]
url = "sqlite:///{folder}/history.db"
[probes.database]
kind = "postgresql"
uri = "{uri}"
[backup.destinations.local]
kind = "folder"
path = "{folder}/backups"
[backup.database]
probe = "database"
newest = ["recordings1.at"]
[backup.programs]
postgresql = "{bindir}"
[backup.retention]
days = 0.0000001
verified = 1
"""
MADE = """
import sys; from pathlib import Path
from pytest_runbook.settings import load
from pytest_runbook.backup import making
loaded = load(Path("."), file=Path("settings.toml"), environ={})
with making.alone(loaded.settings, Path(".")):
    print(making.make(loaded.settings, Path("."), full=True).id)
"""


def run(folder: Path) -> Iterator[Row]:
    """Ratios of wall times, round by round, and the peak memory of our own process."""
    bindir = binaries.postgresql()
    with server_folder() as place:
        server = PostgresServer(place / "pg", {"max_wal_size": "4GB", "wal_level": "minimal", "max_wal_senders": "0"})
        server.create()
        server.start()
        try:
            server.sql("CREATE DATABASE shop")
            for number in range(1, TABLES + 1):
                rows = SIZE * ROWS_OF_A_MIB // TABLES
                server.sql(FILL.format(table=f"recordings{number}", rows=rows), "shop")
            size = server.sql("SELECT pg_database_size('shop')")[0][0]
            told = {"folder": folder, "uri": server.uri(database="shop"), "bindir": bindir}
            (folder / "settings.toml").write_text(SETTINGS.format(**told))
            guide = GUIDE.format(password=SECRET, bindir=bindir, port=server.port)
            commands = {
                "guide": ["bash", "-c", guide],
                "made": [sys.executable, "-c", MADE],
                "whole": [sys.executable, "-c", "from pytest_runbook.cli import main; main()", "backup", "--settings"],
            }
            commands["whole"] += ["settings.toml", "--full"]
            costs = in_turn(commands, folder, runs=ROUNDS)
        finally:
            server.stop()
    yield Row("size of the database", size / 2**20, " MiB")
    yield Row("pg_dump | gzip", median_wall(costs["guide"]), " s")
    yield Row("a backup, made", median_wall(costs["made"]), " s")
    yield Row("a backup, made and read back", median_wall(costs["whole"]), " s")
    yield Row("made / pg_dump | gzip", ratio_of_pairs(costs["made"], costs["guide"]), "", 1 / 3)
    yield Row("made and read back / pg_dump | gzip", ratio_of_pairs(costs["whole"], costs["guide"]), "")
    yield Row("memory", max(one.memory for one in costs["whole"]) / 1e6, " MB", 300)


if __name__ == "__main__":
    print(json.dumps([str(row) for row in run(Path(sys.argv[1]))], indent=1))
