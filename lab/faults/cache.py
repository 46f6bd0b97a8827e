"""What can be wrong with Redis and its replica."""

from __future__ import annotations

from lab.faults import fault
from lab.lab import Lab
from lab.waiting import NotReady, until

MEMORY = ("CONFIG", "SET", "maxmemory")


@fault(
    "cache-stopped",
    service="cache",
    fails=["cache/availability::answers"],
    blocks=[
        "cache/*",
        "host/consistency::clocks_agree",
        "ml/queues::queues_are_short",
        "web/availability::ready_to_serve",
    ],
    may_block=["web/errors::*"],
    root="cache/availability::answers",
)
def stopped(lab: Lab) -> None:
    """Redis does not run."""
    lab.stop_process("cache")


@fault(
    "cache-refuses-writes",
    service="cache",
    fails=["cache/availability::keeps_what_it_is_given"],
    root="cache/availability::keeps_what_it_is_given",
)
def refuses_writes(lab: Lab) -> None:
    """Redis answers and refuses to write: it is told to do so only with more replicas than there are."""
    lab.redis("CONFIG", "SET", "min-replicas-to-write", 3, undo=["CONFIG", "SET", "min-replicas-to-write", 0])


@fault("cache-memory-full", service="cache", fails=["cache/capacity::memory"])
def memory_full(lab: Lab) -> None:
    """One entry takes nearly all memory that Redis may have."""
    lab.redis("SETRANGE", "cache:hog", int(_most(lab) * 0.85), "x", undo=["DEL", "cache:hog"])


@fault("cache-policy-changed", service="cache", fails=["cache/capacity::memory_policy"])
def policy_changed(lab: Lab) -> None:
    """Redis would drop queues when it is full."""
    policy = ("CONFIG", "SET", "maxmemory-policy")
    lab.redis(*policy, "allkeys-random", undo=[*policy, "volatile-lru"])


@fault("cache-slow", service="cache", fails=["cache/performance::answers_quickly"])
def slow(lab: Lab) -> None:
    """Each answer of Redis takes a third of a second."""
    lab.toxic("cache", "latency", latency=350)


@fault("cache-evicts", service="cache", fails=["cache/capacity::evictions"])
def evicts(lab: Lab) -> None:
    """Redis had too little memory for a while, and pushed values out before their time."""
    most = _most(lab)
    lab.redis("CONFIG", "RESETSTAT", undo=["CONFIG", "RESETSTAT"])
    for number in range(50):
        lab.redis("SET", f"cache:large:{number}", "x" * 100_000, "EX", 60)
    lab.redis(*MEMORY, _used(lab) - 2_000_000, undo=[*MEMORY, most])

    def evicted() -> None:
        if lab.redis("INFO", "stats")["evicted_keys"] < 10:
            raise NotReady("no value was pushed out")

    until(evicted, "values are pushed out", deadline=5)
    lab.redis(*MEMORY, most)


@fault("cache-append-only-off", service="cache", fails=["cache/consistency::persistence_works"])
def append_only_off(lab: Lab) -> None:
    """Somebody switched the append-only file off."""
    lab.redis("CONFIG", "SET", "appendonly", "no", undo=["CONFIG", "SET", "appendonly", "yes"])


@fault("cache-snapshots-off", service="cache", fails=["cache/freshness::snapshot_is_recent"])
def snapshots_off(lab: Lab) -> None:
    """Somebody switched snapshots off; the limit is lowered to a second meanwhile, so that a day need not pass."""
    lab.change_setting("limits.cache.snapshot_age", 1)
    lab.redis("CONFIG", "SET", "save", "", undo=["CONFIG", "SET", "save", "900 1 300 100"])
    lab.redis("SET", "cache:changed", "x", undo=["DEL", "cache:changed"])


@fault("cache-replica-lost", service="cache", fails=["cache/consistency::replicas_follow"])
def replica_lost(lab: Lab) -> None:
    """The replica does not run."""
    lab.stop_process("replica")


@fault("cache-expired-left", service="cache", fails=["cache/freshness::no_expired_entries"])
def expired_left(lab: Lab) -> None:
    """An entry that was marked as expired was never deleted."""
    lab.redis("SET", "cache:species:expired", "x", undo=["DEL", "cache:species:expired"])


def _used(lab: Lab) -> int:
    return int(lab.redis("INFO", "memory")["used_memory"])


def _most(lab: Lab) -> int:
    return int(lab.redis("INFO", "memory")["maxmemory"])
