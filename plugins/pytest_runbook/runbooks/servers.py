"""Databases and caches for the actions of a step: connected as the probes say, and ended with the step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pytest_runbook.errors import NoAnswer, StepFailed, Unmeasured

if TYPE_CHECKING:
    import psycopg
    import redis

    from pytest_runbook.probes.postgresql import PostgresqlSettings
    from pytest_runbook.probes.redis import RedisSettings

NOTICES_DEATH = 140_000
"""Version of PostgreSQL that can look, in the middle of a statement, whether its client still lives."""

CLOSED = "Connection closed by server."
"""With these words redis-py says that the server hung up without one of its own."""


def database(name: str, settings: PostgresqlSettings, seconds: float) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection to the server of the probe NAME; no statement on it outlives SECONDS from its start, nor its client."""
    import psycopg

    from pytest_runbook.probes.postgresql import Postgresql

    try:
        address = Postgresql(name, settings).address
        limit = max(round(min(settings.connect_timeout, seconds)), 2)  # libpq takes whole seconds, two at least
        connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(
            **address, autocommit=True, prepare_threshold=None, connect_timeout=limit
        )
        connection.add_notice_handler(lambda notice: print(f"{notice.severity}: {notice.message_primary}"))
        wanted = {"statement_timeout": f"{seconds * 1000:.0f}"}
        if connection.info.server_version >= NOTICES_DEATH:
            wanted["client_connection_check_interval"] = "1000"
        for setting, value in wanted.items():
            connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
    except psycopg.Error as error:
        raise failed(error, name) from None
    except Unmeasured as error:
        raise StepFailed(str(error)) from None
    return connection


def cache(name: str, settings: RedisSettings) -> redis.Redis:
    """A client of the server of the probe NAME; nothing is retried."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    from pytest_runbook.probes.redis import Redis

    try:
        uri, options = Redis(name, settings).address
    except Unmeasured as error:
        raise StepFailed(str(error)) from None
    return redis.Redis(connection_pool=redis.ConnectionPool.from_url(uri, retry=Retry(NoBackoff(), 0), **options))


def ping(client: redis.Redis, name: str) -> None:
    """Have the server of the probe NAME answer CLIENT; raises NoAnswer when nobody serves there, else StepFailed."""
    import redis

    from pytest_runbook.probes._address import silent

    try:
        client.ping()
    except redis.RedisError as error:
        nobody = str(error) == CLOSED or silent(error)
        raise (NoAnswer if nobody else StepFailed)(f'"{name}": {error}') from None


def words(error: Exception) -> str | None:
    """What ERROR says, when a database's or a cache's library raised it in a function of a runbook; else None."""
    psycopg, redis = sys.modules.get("psycopg"), sys.modules.get("redis")
    if psycopg is not None and isinstance(error, psycopg.Error):
        return str(failed(error, "postgresql"))
    if redis is not None and isinstance(error, redis.RedisError):
        return f'"redis": {error}'
    return None


def failed(error: psycopg.Error, name: str) -> StepFailed:
    """What ERROR says of the server of the probe NAME, in words; NoAnswer when nobody serves there."""
    from pytest_runbook.probes.postgresql.client import explained, silent

    return (NoAnswer if silent(error) else StepFailed)(str(explained(error, name)))
