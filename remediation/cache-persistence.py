"""Cache persistence: what is in Redis would not survive a restart.

Symptom
    The last save failed, is too old, or append-only mode is off; or the replica is not linked.

Diagnosis
    1. When was the last good save, and what failed? (steps state, log)
           redis-cli info persistence; docker compose logs --tail 100 redis
    2. Is the disk full, or the folder not writable? Is there memory for the copy that saving makes (overcommit_memory)?
       (step disk)
    3. The replica: `redis-cli info replication` on both sides.

Correction, mildest first
    1. The disk is full: disk-full.
    2. Somebody switched saving off: switch append-only file and snapshots on again while it runs; it writes the file from
       memory (step settings):
           redis-cli config set appendonly yes; redis-cli config set save '3600 1 300 100 60 10000'
    3. Save now, in the background, and see that it succeeds (step save):
           redis-cli bgsave; redis-cli info persistence | grep rdb_last_bgsave_status
    4. The replica does not follow: restart it (step restart_replica).
           docker compose restart redis-replica

Last resort
    None. Do not restart Redis before one save has succeeded: what is only in memory is lost then.

Verify
    pytest checks/cache/consistency.py checks/cache/freshness.py
"""

import time

from pytest_runbook import RunbookError, call, command, correct, diagnose, manage

REPLICAS = "cache/consistency::replicas_follow"


@diagnose
def state(at):
    """Look at the last saves, and at the replicas"""
    return call(told)


@diagnose
def log(at):
    """Look at what Redis said last"""
    return manage("logs", "cache")


@diagnose
def disk(at):
    """Look whether a disk is full"""
    return command("df", "-h", on="host")


@correct(
    risk="routine",
    only_if=lambda at: call(switched_off, append_only=at.facts.cache.append_only),
    settle=1,
    within=5,
    timeout=300,
)
def settings(at):
    """Switch saving to disk on again"""
    return call(switch_on, append_only=at.facts.cache.append_only, save=at.facts.cache.save)


@correct(risk="routine", only_if=lambda at: call(save_is_due), within=10, timeout=600)
def save(at):
    """Save now, in the background"""
    return call(save_again)


@correct(risk="restart", only_if=lambda at: call(lacks_replica, expected=at.facts.cache.replicas), settle=2, within=60)
def restart_replica(at):
    """Restart the replica, which follows again then"""
    return manage("restart", "replica")


def told(tools):
    """Persistence and replication in Redis's own words."""
    with tools.cache("cache") as client:
        seen = {**client.info("persistence"), **client.info("replication")}
    return "\n".join(
        f"{key}: {value}" for key, value in seen.items() if key.startswith(("rdb_", "aof_", "slave", "connected_"))
    )


def switched_off(tools, *, append_only):
    """Whether snapshots, or the append-only file where it should be on, are switched off."""
    with tools.cache("cache") as client:
        found = {**client.config_get("save"), **client.config_get("appendonly")}
    return not found["save"] or (append_only and found["appendonly"] == "no")


def switch_on(tools, *, append_only, save):
    """CONFIG SET appendonly and save, where they are off."""
    lines = []
    with tools.cache("cache") as client:
        found = {**client.config_get("save"), **client.config_get("appendonly")}
        if append_only and found["appendonly"] == "no":
            client.config_set("appendonly", "yes")
            _wait(client, "aof_rewrite_in_progress")
            lines.append("appendonly: was no, is yes")
        if not found["save"]:
            client.config_set("save", save)
            lines.append(f"save: was empty, is {save!r}")
    return "\n".join(lines)


def save_is_due(tools):
    """Whether the last snapshot or rewrite failed, or changes are in no snapshot; for a replica alone nothing is saved."""
    if tools.situation.checks == (REPLICAS,):
        return False
    with tools.cache("cache") as client:
        seen = client.info("persistence")
    failed = "err" in (seen["rdb_last_bgsave_status"], seen["aof_last_bgrewrite_status"])
    return failed or bool(seen["rdb_changes_since_last_save"])


def save_again(tools):
    """BGSAVE, and BGREWRITEAOF after one that failed; wait for their end."""
    with tools.cache("cache") as client:
        seen = client.info("persistence")
        if seen["aof_last_bgrewrite_status"] != "ok" and not seen["aof_rewrite_in_progress"]:
            client.bgrewriteaof()
            _wait(client, "aof_rewrite_in_progress")
        if not seen["rdb_bgsave_in_progress"]:
            client.bgsave()
        seen = _wait(client, "rdb_bgsave_in_progress")
    if "err" in (seen["rdb_last_bgsave_status"], seen["aof_last_bgrewrite_status"]):
        raise RunbookError("it failed again\n  hint: is the disk full, the folder not writable, memory too short?")
    return "saved"


def lacks_replica(tools, *, expected):
    """Whether fewer replicas follow than should."""
    with tools.cache("cache") as client:
        seen = client.info("replication")
    online = [one for name, one in seen.items() if name.startswith("slave") and isinstance(one, dict)]
    return sum(one.get("state") == "online" for one in online) < expected


def _wait(client, running):
    """What INFO says when RUNNING is over."""
    while (seen := client.info("persistence"))[running]:
        time.sleep(0.2)
    return seen
