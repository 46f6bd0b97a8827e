"""What can be wrong with Redis and its replica."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import cast

import redis

from lab import home
from lab.faults import fault
from lab.lab import Lab
from lab.servers.redis import Cache
from lab.waiting import NotReady, until

MEMORY = ("CONFIG", "SET", "maxmemory")
SAVE = ("CONFIG", "SET", "save")
POLICY = ("CONFIG", "SET", "maxmemory-policy")
STATISTICS = ("CONFIG", "RESETSTAT")
ANSWERS = "cache/availability::answers"
KEEPS = "cache/availability::keeps_what_it_is_given"
PERSISTS = "cache/consistency::persistence_works"
CUT_OFF = [
    "cache/*",
    "host/consistency::clocks_agree",
    "ml/queues::queues_are_short",
    "web/availability::ready_to_serve",
]
"""Checks that see nothing, or see their own service fail, without the cache."""
SLOW = """
import os, redis
client = redis.Redis.from_url(os.environ["LAB_URL"])
while True:
    client.eval("local over = os.clock() + 0.15; while os.clock() < over do end", 0)
"""
"""Ends with its connection, as what was begun at a terminal does."""
KILLING = """
import sys, time
from lab import Lab
lab = Lab(sys.argv[1])
while True:
    lab.kill_process("cache")
    time.sleep(0.02)
"""
FORGET = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('UNLINK', key) end"


@fault("cache-stopped", service="cache", fails=[ANSWERS], blocks=CUT_OFF, may_block=["web/errors::*"], root=ANSWERS)
def stopped(lab: Lab) -> None:
    """Redis does not run."""
    lab.stop_process("cache")


@fault(
    "cache-flaps",
    service="cache",
    fails=[ANSWERS],
    blocks=CUT_OFF,
    may_block=["web/errors::*"],
    root=ANSWERS,
    outcome="still-failing",
)
def flaps(lab: Lab) -> None:
    """Redis ends as soon as it has started, again and again: a restart cannot help."""
    lab.restart_when_healed("cache")  # its supervisor may have given up
    lab.spawn(sys.executable, "-c", KILLING, str(lab.folder))

    def down() -> None:
        if lab.supervisor.processes()["cache"]["statename"] not in ("BACKOFF", "FATAL"):
            raise NotReady("it runs")

    until(down, "it has ended", deadline=10)


@fault("cache-refuses-writes", service="cache", fails=[KEEPS], may_block=["web/errors::*"], root=KEEPS)
def refuses_writes(lab: Lab) -> None:
    """Redis answers and refuses to write: it is told to do so only with more replicas than there are."""
    lab.redis("CONFIG", "SET", "min-replicas-to-write", 3, undo=["CONFIG", "SET", "min-replicas-to-write", 0])


@fault(
    "cache-full",
    service="cache",
    fails=[KEEPS],
    blocks=["cache/capacity::memory"],
    may_block=["web/errors::*"],
    root=KEEPS,
    behind=["cache/capacity::*"],
)
def full(lab: Lab) -> None:
    """Redis is full of cached values, may drop none of them, and refuses to take more; its limit is lowered to what it uses."""
    most = _most(lab)
    lab.redis(*STATISTICS, undo=STATISTICS)
    lab.redis(*MEMORY, most, undo=[*MEMORY, most])
    lab.redis(*POLICY, "noeviction", undo=[*POLICY, "volatile-lru"])
    _forget_when_healed(lab, "cache:large:*")
    for number in range(30):
        lab.redis("SET", f"cache:large:{number}", "x" * 1_000_000, "EX", 3600)
    lab.redis(*MEMORY, _used(lab) - 2_000_000)


@fault(
    "cache-snapshot-failed",
    service="cache",
    fails=[KEEPS],
    blocks=[PERSISTS, "cache/performance::answers_quickly"],
    may_block=["web/errors::*"],
    root=KEEPS,
)
def snapshot_failed(lab: Lab) -> None:
    """Redis could not write its last snapshot, since a folder was in the way, and refuses writes until one succeeds."""
    # Otherwise it may try again by itself, now that nothing is in the way.
    lab.redis(*SAVE, "86400 1000000", undo=[*SAVE, "900 1 300 100"])
    dump = _dump(lab)
    dump.unlink(missing_ok=True)
    dump.mkdir()
    lab.redis("BGSAVE")
    _until_saved(lab, "err")
    dump.rmdir()


@snapshot_failed.heal
def save_again(lab: Lab) -> None:
    """Have it save, with nothing in the way."""
    if (dump := _dump(lab)).is_dir():
        dump.rmdir()
    with suppress(redis.ResponseError):  # it may be saving already
        lab.redis("BGSAVE")
    _until_saved(lab, "ok")


@fault("cache-memory-full", service="cache", fails=["cache/capacity::memory"])
def memory_full(lab: Lab) -> None:
    """One entry takes nearly all memory that Redis may have."""
    most = _most(lab)
    lab.redis(*MEMORY, most, undo=[*MEMORY, most])
    lab.redis("SETRANGE", "cache:hog", int(most * 0.87) - _used(lab), "x", undo=["DEL", "cache:hog"])


@fault("cache-policy-changed", service="cache", fails=["cache/capacity::memory_policy"])
def policy_changed(lab: Lab) -> None:
    """Redis would drop queues when it is full."""
    lab.redis(*POLICY, "allkeys-random", undo=[*POLICY, "volatile-lru"])


@fault("cache-slow", service="cache", fails=["cache/performance::answers_quickly"])
def slow(lab: Lab) -> None:
    """A forgotten program sends one slow command after the other, until its connection is cut: all others wait for it.

    The limit is production's tenth of a second meanwhile, and not the lab's.
    """
    lab.change_setting("limits.cache.latency", 0.1)
    lab.spawn(sys.executable, "-c", SLOW, environment={"LAB_URL": home.redis_url(lab.site)})


@fault("cache-evicts", service="cache", fails=["cache/capacity::evictions"], outcome="person")
def evicts(lab: Lab) -> None:
    """Redis had too little memory for a while, and pushed values out before their time."""
    most = _most(lab)
    lab.redis(*STATISTICS, undo=STATISTICS)
    for number in range(50):
        lab.redis("SET", f"cache:large:{number}", "x" * 100_000, "EX", 60)
    lab.redis(*MEMORY, _used(lab) - 2_000_000, undo=[*MEMORY, most])

    def evicted() -> None:
        if lab.redis("INFO", "stats")["evicted_keys"] < 10:
            raise NotReady("no value was pushed out")

    until(evicted, "values are pushed out", deadline=5)
    lab.redis(*MEMORY, most)


@fault("cache-append-only-off", service="cache", fails=[PERSISTS])
def append_only_off(lab: Lab) -> None:
    """Somebody switched the append-only file off."""
    lab.redis("CONFIG", "SET", "appendonly", "no", undo=["CONFIG", "SET", "appendonly", "yes"])


@fault("cache-snapshots-off", service="cache", fails=["cache/freshness::snapshot_is_recent"])
def snapshots_off(lab: Lab) -> None:
    """Somebody switched snapshots off; the limit is lowered meanwhile to the age that the last one has, less some seconds."""
    age = time.time() - lab.redis("LASTSAVE").timestamp()
    lab.change_setting("limits.cache.snapshot_age", max(age - 1, 10))
    lab.redis(*SAVE, "", undo=[*SAVE, "900 1 300 100"])
    lab.redis("SET", "cache:changed", "x", undo=["DEL", "cache:changed"])
    time.sleep(max(11 - age, 0))


@fault("cache-replica-lost", service="cache", fails=["cache/consistency::replicas_follow"])
def replica_lost(lab: Lab) -> None:
    """The replica does not run."""
    lab.stop_process("replica")


@fault("cache-expired-left", service="cache", fails=["cache/freshness::no_expired_entries"])
def expired_left(lab: Lab) -> None:
    """An entry that was marked as expired was never deleted."""
    lab.redis("SET", "cache:species:expired", "x", undo=["DEL", "cache:species:expired"])


@fault("cache-expired-piled-up", service="cache", fails=["cache/freshness::no_expired_entries"])
def expired_piled_up(lab: Lab) -> None:
    """Five thousand entries that were marked as expired pile up."""
    _forget_when_healed(lab, "cache:page:*")
    lab.redis("MSET", *(part for number in range(5000) for part in (f"cache:page:{number}:expired", "x")))


def _forget_when_healed(lab: Lab, pattern: str) -> None:
    """Delete the entries that fit PATTERN when the fault is healed."""
    lab.redis("PING", undo=["EVAL", FORGET, 0, pattern])


def _dump(lab: Lab) -> Path:
    return cast("Cache", lab.servers["cache"]).data / "dump.rdb"


def _until_saved(lab: Lab, status: str) -> None:
    """Wait until the last snapshot has ended with STATUS."""

    def seen() -> None:
        now = lab.redis("INFO", "persistence")
        if now["rdb_bgsave_in_progress"] or now["rdb_last_bgsave_status"] != status:
            raise NotReady(f"the last snapshot: {now['rdb_last_bgsave_status']}")

    until(seen, "the snapshot has ended", deadline=15)


def _used(lab: Lab) -> int:
    return int(lab.redis("INFO", "memory")["used_memory"])


def _most(lab: Lab) -> int:
    return int(lab.redis("INFO", "memory")["maxmemory"])
