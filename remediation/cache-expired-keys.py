r"""Expired cache entries: keys named `cache:*:expired` lie about in Redis.

Symptom
    The daily maintenance (G25) finds entries that the application marked as expired and nobody removed.

Diagnosis
    1. How many? SCAN walks without blocking; KEYS stops the server for everybody (step count):
           redis-cli --scan --pattern 'cache:*:expired' | wc -l
    2. Do they grow from day to day? Then the job that removes them does not run.

Correction, mildest first
    1. Remove them in batches, freed in the background, with pauses (step remove):
           redis-cli --scan --pattern 'cache:*:expired' | xargs -r -d '\n' -n 200 redis-cli unlink
    2. A person: give the keys a real expiry where they are written, so that Redis does it by itself.

Last resort
    None is needed: nothing waits for these keys. Do not flush the database.

Verify
    pytest checks/cache/freshness.py
"""

import time

from pytest_runbook import call, correct, diagnose

BATCH, PAUSE = 500, 0.05
"""Keys that one SCAN looks at, and seconds in which Redis serves others before the next one."""


@diagnose
def count(at):
    """Look how many there are"""
    return call(counted, pattern=at.facts.cache.expired)


@correct(risk="routine", within=10, timeout=3600)
def remove(at):
    """Remove them in batches, with pauses"""
    return call(unlink, pattern=at.facts.cache.expired)


def counted(tools, *, pattern):
    """Count the keys that match, by SCAN."""
    with tools.cache("cache") as client:
        found = sum(1 for _ in client.scan_iter(match=pattern, count=BATCH))
        return f"{found} of {client.dbsize()} keys match"


def unlink(tools, *, pattern):
    """SCAN in batches and UNLINK what matches, with pauses."""
    removed, cursor = 0, None
    with tools.cache("cache") as client:
        while cursor != 0:
            cursor, keys = client.scan(cursor or 0, match=pattern, count=BATCH)
            removed += client.unlink(*keys) if keys else 0
            time.sleep(PAUSE)
    return f"{removed} keys removed"
