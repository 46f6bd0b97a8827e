"""Makes the tables that the application works with, and the first rows, so that a fresh lab looks used.

`prepare(uri)` may be run again; `python -m lab.web.schema` does it for `NIGHTSCAN_DATABASE_URI`.
"""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
from werkzeug.security import generate_password_hash

SCHEMA = Path(__file__).with_name("schema.sql")
USERS = {"warden": "lab-warden-password", "ranger": "lab-ranger-password"}
"""The lab's own accounts, which the traffic signs in with."""
PLANS = (("free", "Free plan", 10, 7), ("pro", "Professional plan", 500, 90))
PREDICTIONS = 500


def prepare(uri: str) -> None:
    """Make what is missing in the database at URI."""
    with psycopg.connect(uri, connect_timeout=5) as connection:
        connection.execute(SCHEMA.read_bytes())
        if connection.execute("SELECT 1 FROM prediction LIMIT 1").fetchone() is None:
            _fill(connection)
    with psycopg.connect(uri, connect_timeout=5, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _fill(connection: psycopg.Connection) -> None:
    cursor = connection.cursor()
    # Few rounds: the accounts are public, and a sign-in must not cost the lab's traffic 100 ms of a core.
    hashed = [(name, generate_password_hash(password, "pbkdf2:sha256:1000")) for name, password in USERS.items()]
    cursor.executemany('INSERT INTO "user" (username, password_hash) VALUES (%s, %s) ON CONFLICT DO NOTHING', hashed)
    cursor.executemany(
        "INSERT INTO plan_features (plan_type, plan_name, monthly_quota, data_retention_days)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        PLANS,
    )
    cursor.execute("INSERT INTO user_plans (user_id, plan_type) SELECT id, 'pro' FROM \"user\" ON CONFLICT DO NOTHING")
    cursor.execute(
        "INSERT INTO notification_preference (user_id, email_address)"
        " SELECT id, username || '@nightscan.example' FROM \"user\" ON CONFLICT DO NOTHING"
    )
    cursor.execute(
        "INSERT INTO prediction (user_id, filename, result, file_size, created_at)"
        " SELECT u.id, 'night-' || n || '.wav', '{\"class\": \"owl\", \"confidence\": 0.97}', 16044,"
        " current_timestamp - n * interval '7 minutes'"
        ' FROM "user" u, generate_series(1, %s) n',
        (PREDICTIONS // len(USERS),),
    )
    cursor.execute(
        "INSERT INTO detection (user_id, species, confidence, zone, time)"
        " SELECT user_id, 'owl', 0.97, 'zone-' || id %% 4, created_at FROM prediction"
    )


if __name__ == "__main__":
    prepare(os.environ["NIGHTSCAN_DATABASE_URI"])
