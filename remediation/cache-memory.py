r"""Cache memory: Redis is near its limit, evicts what it should keep, or refuses writes.

Symptom
    Used memory is near maxmemory, keys are evicted, or the policy is one that would drop queues and sessions.

Diagnosis
    1. How much, of what limit, under which policy? (step memory)
           redis-cli info memory; redis-cli config get maxmemory*; redis-cli info stats | grep evicted_keys
    2. What fills it? SCAN does not block the server, KEYS does (step largest):
           redis-cli --bigkeys -i 0.1
    3. Do cached values have an expiry? `expires` against `keys` in `redis-cli info keyspace`.
    4. Are the queues long? Then the workers are the cause: queue-too-long.

Correction, mildest first
    1. Raise maxmemory for now, to what facts.cache.memory_most allows: there the host must have memory to give, with room for
       the copy that saving needs. A restart takes it back; a person makes it last, or takes it back, once used memory is
       well below what it was before: else Redis drops what is too much, or refuses writes (step raise_limit):
           redis-cli config set maxmemory <bytes>
    2. The policy: `volatile-lru` drops cached values only; `allkeys-*` drops queues and sessions too. Not while memory is short:
       values without an expiry are then dropped no more, and where nothing else fills it Redis refuses to write (step policy):
           redis-cli config set maxmemory-policy volatile-lru
    3. A person: remove cached values that have expired (cache-expired-keys), give cached values an expiry in the application.
    4. A person: evictions alone (G22) are a figure since the start; it falls by itself once the cause is gone.

Last resort
    Delete cached values that the application can make again (facts.cache.disposable), in batches; pages are slower until they
    are made, and the database does that work. Never FLUSHDB: sessions and queues are in there, every user is logged out
    (step drop_cached).
        redis-cli --scan --pattern 'cache:*' | xargs -r -d '\n' -n 200 redis-cli unlink

Verify
    pytest checks/cache/capacity.py
"""

import re
import time
from collections import defaultdict
from itertools import islice

from pytest_runbook import RunbookError, call, correct, diagnose, last_resort

BATCH, PAUSE = 500, 0.05
"""Keys that one SCAN looks at, and seconds in which Redis serves others before the next one."""
FULL = "cache/capacity::memory"
KIND = re.compile(r"[A-Za-z][A-Za-z_.-]{0,30}:")
"""What keys of one kind begin with: `cache:`, `session:`."""


@diagnose
def memory(at):
    """Look how much is used, of what limit, under which policy"""
    return call(told)


@diagnose
def largest(at):
    """Look which kind of keys takes the most, among some"""
    return call(sampled, named=at.facts.cache.queues)


@correct(risk="routine", only_if=lambda at: call(may_grow, most=at.facts.cache.memory_most), within=10)
def raise_limit(at):
    """Let it use more memory for now"""
    return call(configure, name="maxmemory", value=at.facts.cache.memory_most)


@correct(
    risk="routine",
    only_if=lambda at: call(drops_queues, allowed=at.facts.cache.policies, most=at.limits.cache.memory),
    within=10,
)
def policy(at):
    """Set the policy that drops cached values only"""
    return call(configure, name="maxmemory-policy", value=at.facts.cache.policy)


@last_resort(risk="destructive", only_if=lambda at: call(is_full), within=15, timeout=1800)
def drop_cached(at):
    """Delete cached values that the application can make again: pages are slower until they are made"""
    return call(unlink, patterns=at.facts.cache.disposable)


def told(tools):
    """Memory, keys and evictions in Redis's own words."""
    with tools.cache("cache") as client:
        seen = {
            **client.info("memory"),
            **client.info("keyspace"),
            "evicted_keys": client.info("stats")["evicted_keys"],
        }
    shown = (
        "used_memory",
        "used_memory_rss",
        "maxmemory",
        "maxmemory_policy",
        "mem_fragmentation_ratio",
        "evicted_keys",
    )
    return "\n".join(f"{key}: {value}" for key, value in seen.items() if key in shown or key.startswith("db"))


def sampled(tools, *, named):
    """MEMORY USAGE of the first thousand keys that SCAN finds, by their kind: a key's full name may log somebody in."""
    sizes = defaultdict(list)
    with tools.cache("cache") as client:
        for key in islice(client.scan_iter(count=BATCH), 1000):
            kind = key if key in named else found[0] + "*" if (found := KIND.match(key)) else "others"
            sizes[kind].append(client.memory_usage(key) or 0)
    lines = sorted(sizes.items(), key=lambda item: -sum(item[1]))[:10]
    return "\n".join(f"{sum(s)} bytes  {kind}: {len(s)} keys, the largest {max(s)}" for kind, s in lines)


def drops_queues(tools, *, allowed, most):
    """Whether the policy for full memory is none of these; raises RunbookError when more than this share of it is used."""
    with tools.cache("cache") as client:
        policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
        memory, filled = client.info("memory"), client.info("keyspace").values()
    if policy in allowed:
        return False
    if memory["used_memory"] < most * (memory["maxmemory"] or memory["total_system_memory"]):
        return True
    keys, expiring = (sum(one[kind] for one in filled) for kind in ("keys", "expires"))
    raise RunbookError(
        f'memory is short, and without "{policy}" only what has an expiry would be dropped: {expiring} of {keys} keys\n'
        "  hint: first see that there is room: an expiry for cached values, or more memory"
    )


def may_grow(tools, *, most):
    """Whether memory is short, and maxmemory is below what it may be raised to."""
    with tools.cache("cache") as client:
        limit = int(client.config_get("maxmemory")["maxmemory"])
    return FULL in tools.situation.checks and 0 < limit < most


def is_full(tools):
    """Whether memory is short: evictions alone, or the policy, are no reason."""
    return FULL in tools.situation.checks


def configure(tools, *, name, value):
    """CONFIG SET, until the next restart."""
    with tools.cache("cache") as client:
        before = client.config_get(name)[name]
        client.config_set(name, value)
    return f"{name}: was {before}, is {value}"


def unlink(tools, *, patterns):
    """SCAN in batches and UNLINK what matches, with pauses."""
    removed = 0
    with tools.cache("cache") as client:
        for pattern in patterns:
            cursor = None
            while cursor != 0:
                cursor, keys = client.scan(cursor or 0, match=pattern, count=BATCH)
                removed += client.unlink(*keys) if keys else 0
                time.sleep(PAUSE)
    return f"{removed} keys removed"
