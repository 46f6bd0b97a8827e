"""Holds database sessions open for a fault: COUNT connections to LAB_URI, each of which ran STATEMENT."""

from __future__ import annotations

import os
import sys
import threading

import psycopg


def hold(uri: str, statement: str) -> None:
    """Run STATEMENT in a session of its own, and keep that until the process ends."""
    with psycopg.connect(uri, application_name="lab-sessions", autocommit=True) as connection:
        connection.execute(statement.encode())
        threading.Event().wait()


def main(count: int, statement: str) -> None:
    """Hold COUNT sessions until killed."""
    for _ in range(count):
        threading.Thread(target=hold, args=(os.environ["LAB_URI"], statement), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
