"""Cache memory: Redis is near its limit, evicts what it should keep, or refuses writes.

Symptom
    Used memory is near maxmemory, keys are evicted, or the policy is one that would drop queues and sessions.

Diagnosis
    1. How much, of what limit, under which policy?
           redis-cli info memory; redis-cli config get maxmemory*; redis-cli info stats | grep evicted_keys
    2. What fills it? SCAN does not block the server, KEYS does:
           redis-cli --bigkeys -i 0.1
    3. Do cached values have an expiry? `expires` against `keys` in `redis-cli info keyspace`.
    4. Are the queues long? Then the workers are the cause: queue-too-long.

Correction, mildest first
    1. Remove cached values that have expired: cache-expired-keys.
    2. Give cached values an expiry in the application.
    3. Policy: `volatile-lru` drops cached values only; `allkeys-*` drops queues and sessions too.
           redis-cli config set maxmemory-policy volatile-lru; redis-cli config rewrite
    4. Raise maxmemory while the host has memory to give, with room for the copy that saving needs.

Last resort
    UNLINK the keys of one cache prefix in batches. Never FLUSHDB: sessions and queues are in there, every user is logged out.

Verify
    pytest checks/cache/capacity.py
"""
