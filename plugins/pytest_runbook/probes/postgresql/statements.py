"""What PostgreSQL's queries cost, out of pg_stat_statements: means, and what can be said of the slow end; times are seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_runbook.errors import Idle

if TYPE_CHECKING:
    from psycopg import sql


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, its constants replaced, of pg_stat_statements."""

    query: str
    calls: int
    rows: int
    total: float
    """Seconds spent in all calls."""
    mean: float
    """Seconds of one call."""
    stddev: float
    """Seconds; of the calls' times."""

    @property
    def squares(self) -> float:
        """Sum of the squares of the calls' times."""
        return self.calls * (self.stddev**2 + self.mean**2)


@dataclass(frozen=True, slots=True)
class Statements:
    """What the database's queries cost: SELECT, INSERT, UPDATE, DELETE, MERGE, not maintenance and not BEGIN or COMMIT."""

    calls: int
    total: float
    """Seconds spent in all calls."""
    p95: float
    """Seconds that 95 % of the calls did not exceed; an estimate, see `percentile`."""
    span: float
    """Seconds that the figures cover: since the counters were reset, or the window's length."""
    slowest: tuple[Statement, ...]
    """Those that cost most in total, worst first."""

    @property
    def mean(self) -> float:
        """Seconds of one call."""
        return self.total / self.calls


# Columns that came later are read through JSON, so that one text serves every version: `toplevel` came with 14.
STATEMENTS = r"""
SELECT /* pytest-runbook */ coalesce(queryid::text, query) || '/' || userid AS key,
       left(coalesce(query, ''), 200) AS query, calls, rows, total_exec_time / 1000 AS total,
       mean_exec_time / 1000 AS mean, stddev_exec_time / 1000 AS stddev
FROM {schema}.pg_stat_statements s
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND coalesce(to_jsonb(s) ->> 'toplevel', 'true') = 'true'
  AND position('/* pytest-runbook */' IN coalesce(query, '')) = 0
  AND coalesce(query, '<insufficient privilege>')
      ~* '^(\s|\(|/\*.*?\*/|--[^\n]*\n)*(select|insert|update|delete|merge|with|values|table|<insufficient privilege>)'
"""
READ = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT /* pytest-runbook */ * FROM {table} LIMIT {rows}"
"""The server's own time for a read, without the network and without what the checker takes to receive it."""
INSTALLED = """
SELECT /* pytest-runbook */ nspname AS schema,
       to_regclass(format('%I.pg_stat_statements_info', nspname)) IS NOT NULL AS resets
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'pg_stat_statements'
"""
SINCE = """
SELECT /* pytest-runbook */ extract(epoch FROM clock_timestamp() - stats_reset)::float8 AS span
FROM {schema}.pg_stat_statements_info
"""
SINCE_START = (
    "SELECT /* pytest-runbook */ extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8 AS span"
)
"""For version 13, which does not tell when the counters were reset."""


def in_schema(text: str, schema: str) -> sql.Composed:
    """TEXT with the SCHEMA that the extension was installed in."""
    from psycopg import sql  # late: psycopg costs a tenth of a second at start-up

    return sql.SQL(text).format(schema=sql.Identifier(schema))


def difference(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[Statement]:
    """What was called between two snapshots, rows of `STATEMENTS`.

    Calls, totals and sums of squares are counters, so their differences give the window's own mean and deviation. A
    statement that was forgotten in between (reset, or pushed out by others) counts with what it gathered since.
    """
    earlier = {row["key"]: _statement(row) for row in before}
    called: list[Statement] = []
    for row in after:
        now, then = _statement(row), earlier.get(row["key"])
        if then is None or now.calls < then.calls:
            called.append(now)
        elif now.calls > then.calls:
            calls, total = now.calls - then.calls, max(now.total - then.total, 0.0)
            variance = (now.squares - then.squares) / calls - (total / calls) ** 2
            called.append(
                Statement(now.query, calls, now.rows - then.rows, total, total / calls, math.sqrt(max(variance, 0.0)))
            )
    return called


def reading(table: str, rows: int) -> sql.Composed:
    """The statement that reads up to ROWS of TABLE and answers how long that took."""
    from psycopg import sql

    return sql.SQL(READ).format(table=sql.Identifier(table), rows=sql.Literal(rows))


def read(table: str, plan: Mapping[str, Any]) -> Statement:
    """What one read of TABLE took, as its executed PLAN says."""
    seconds = (plan["Planning Time"] + plan["Execution Time"]) / 1000
    return Statement(f'a read of "{table}"', 1, int(plan["Plan"]["Actual Rows"]), seconds, seconds, 0.0)


def _statement(row: Mapping[str, Any]) -> Statement:
    return Statement(row["query"], row["calls"], row["rows"], row["total"], row["mean"], row["stddev"])


def summary(called: Sequence[Statement], span: float, limit: int) -> Statements:
    """Sum up CALLED, with the LIMIT costliest; raises Idle when nothing was called."""
    if not any(statement.calls for statement in called):
        raise Idle(f"no query ran within {span:.3g} s: there is no query time to tell")
    return Statements(
        sum(statement.calls for statement in called),
        sum(statement.total for statement in called),
        percentile(called),
        span,
        tuple(sorted(called, key=lambda statement: -statement.total)[:limit]),
    )


def percentile(called: Sequence[Statement], share: float = 0.95) -> float:
    """Seconds that SHARE of the calls did not exceed, estimated.

    pg_stat_statements keeps no percentiles, only the mean and the standard deviation of each statement. Each one is taken
    as log-normal with its own mean and deviation (times are positive and lean to the right), weighed by its calls, and
    the percentile is that of the mixture. So it is exact when every statement always takes the same time, and fair when
    times scatter around one value; a statement that is mostly fast and sometimes very slow is drawn as one broad hill:
    with 1 in 10 calls a thousand times slower than the rest, the estimate is about 0.4 of the truth.
    """
    parts = [_lognormal(statement) for statement in called if statement.calls]
    wanted = share * sum(weight for weight, _, _ in parts)
    low = min(mu - 10 * sigma for _, mu, sigma in parts)
    high = max(mu + 10 * sigma for _, mu, sigma in parts)
    for _ in range(40):  # bisection of the logarithm
        middle = (low + high) / 2
        if sum(weight * _below(middle, mu, sigma) for weight, mu, sigma in parts) < wanted:
            low = middle
        else:
            high = middle
    return math.exp(high)


def _lognormal(statement: Statement) -> tuple[int, float, float]:
    mean = max(statement.mean, 1e-9)
    squared = math.log1p((statement.stddev / mean) ** 2)
    return statement.calls, math.log(mean) - squared / 2, math.sqrt(squared)


def _below(logarithm: float, mu: float, sigma: float) -> float:
    if sigma == 0:
        return float(logarithm >= mu)
    return 0.5 * (1 + math.erf((logarithm - mu) / (sigma * math.sqrt(2))))
