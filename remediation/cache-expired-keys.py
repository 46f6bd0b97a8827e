"""Expired cache entries: keys named `cache:*:expired` lie about in Redis.

Symptom
    The daily maintenance (G25) finds entries that the application marked as expired and nobody removed.

Diagnosis
    1. How many? SCAN walks without blocking; KEYS stops the server for everybody:
           redis-cli --scan --pattern 'cache:*:expired' | wc -l
    2. Do they grow from day to day? Then the job that removes them does not run.

Correction, mildest first
    1. Remove them in batches, freed in the background, with pauses:
           redis-cli --scan --pattern 'cache:*:expired' | xargs -r -n 200 redis-cli unlink
    2. Give the keys a real expiry where they are written, so that Redis does it by itself.

Last resort
    None is needed: nothing waits for these keys. Do not flush the database.

Verify
    pytest checks/cache/freshness.py
"""
