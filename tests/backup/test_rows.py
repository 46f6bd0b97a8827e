"""What pg_restore writes is read right: rows wherever their text is cut into pieces, tables whatever their names."""

from __future__ import annotations

import pytest
from pytest_runbook.backup import reading
from pytest_runbook.backup.rows import Rows

DUMP = b"""--
-- PostgreSQL database dump
SET statement_timeout = 0;
CREATE TABLE public."user" (id integer);
COPY public."user" (id, name) FROM stdin;
1\tCOPY public.fake (id) FROM stdin;
2\t\\\\.
3\t\\N
\\.

COPY public.empty (id) FROM stdin;
\\.

COPY "My S"."odd.""name" (x) FROM stdin;
1
\\.
COPY public."two
lines" (id, "a
b") FROM stdin;
1\tx
2\ty
\\.
SELECT pg_catalog.setval('public.user_id_seq', 3, true);
COPY public.last (a) FROM stdin;
a

b
\\.
"""
EXPECTED = {"public.user": 3, "public.empty": 0, 'My S.odd."name': 1, "public.two\nlines": 2, "public.last": 3}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 16, 33, 100, 10_000])
def test_rows_are_counted(size: int) -> None:
    rows = Rows()
    for at in range(0, len(DUMP), size):
        rows.add(DUMP[at : at + size])
    assert rows.tables == EXPECTED


def test_a_row_of_any_length_is_one() -> None:
    rows = Rows()
    rows.add(b"COPY a.b (c) FROM stdin;\n")
    for _ in range(5):
        rows.add(b"x" * 700_000)
    rows.add(b"\n\\.\n")
    assert rows.tables == {"a.b": 1}


@pytest.mark.parametrize(
    ("entry", "table", "there"),
    [
        ("public users admin", "public.users", True),
        ("public users admin", "public.user", False),
        ("public users admin", "public.users admin", False),
        ("public all users the admin", "public.all users", True),
        ("my schema users admin", "my schema.users", True),
        ("public v1.2 admin", "public.v1.2", True),
        ("public users ", "public.users", True),
    ],
)
def test_the_table_of_an_entry_is_found_whatever_its_name(entry: str, table: str, there: bool) -> None:
    assert (table in reading.names([entry])) is there
