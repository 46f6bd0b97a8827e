"""Cache down: Redis refuses, does not answer, or does not accept writes.

Symptom
    Connections are refused or time out, or a value that was just written does not come back. Sessions and queues are in it:
    users are logged out, predictions wait. P1: within 15 minutes.

Diagnosis (redis-cli takes the password from REDISCLI_AUTH; as an argument it stands in the process list)
    1. Does it run, and what did it say last? (steps status, log)
           docker compose ps -a redis; docker compose logs --tail 100 redis
    2. Does it answer, and what does it say of itself? (step state)
           redis-cli ping; redis-cli info
       "LOADING": it reads its data, wait. "NOAUTH" or "WRONGPASS": the password in the configuration changed. "MISCONF": it
       cannot save to the disk. "OOM": it is full. "NOREPLICAS": it wants more replicas than there are. "READONLY": clients
       were sent to a replica.
    3. Is it busy with one slow command?
           redis-cli slowlog get 10

Correction, mildest first
    1. LOADING: wait, and poll ping. No step touches it meanwhile.
    2. It answers and refuses to write: put back the settings that make it refuse, as nightscan.toml has them (step settings):
           redis-cli config set min-replicas-to-write 0; redis-cli config set maxmemory-policy volatile-lru
    3. MISCONF: see that the disk has room (disk-full), and have it save again; a save that succeeds lets it write. Do not switch
       off stop-writes-on-bgsave-error to get rid of the message (step save):
           redis-cli bgsave; redis-cli info persistence | grep rdb_last_bgsave_status
    4. It refuses or closes connections, or lets them wait, or everything it holds is on the disk: restart the one service;
       append-only file and dump bring the data back. Not when its name does not resolve, its certificate is not accepted, or
       it says why it lets nobody in: a restart mends none of that (step restart):
           docker compose restart --timeout 120 redis
    5. A person: the append-only file is cut off: copy it, then redis-check-aof --fix on the copy, and put it in place.

Last resort
    A person: start with the newest verified dump (stop Redis, put the file in place with append-only off, start, compare key
    counts, switch append-only on again). `redis-cli --rdb FILE` is no restore: it writes FILE from the running server.

Verify
    pytest checks/cache/availability.py
"""

import time

from pytest_runbook import RunbookError, call, correct, diagnose, manage

SHOWN = ("memory", "persistence", "replication")
POLICY = "maxmemory-policy"


@diagnose
def status(at):
    """Look whether it runs, and since when"""
    return manage("status", "cache")


@diagnose
def log(at):
    """Look at what it said last"""
    return manage("logs", "cache")


@diagnose
def state(at):
    """Look at what it says of itself"""
    return call(told)


@correct(risk="routine", only_if=lambda at: call(refusing, wanted=_wanted(at)), settle=1, within=10)
def settings(at):
    """Put back the settings that make it refuse writes"""
    return call(put_back, wanted=_wanted(at))


@correct(risk="routine", only_if=lambda at: call(last_save_failed), within=10, timeout=600)
def save(at):
    """Save again in the background: after a save that failed it refuses writes"""
    return call(save_again)


@correct(risk="restart", only_if=lambda at: call(may_restart), settle=2, within=60, timeout=300)
def restart(at):
    """Restart Redis"""
    return manage("restart", "cache")


def told(tools):
    """Memory, persistence and replication in Redis's own words."""
    with tools.cache("cache") as client:
        return "\n".join(f"{key}: {value}" for section in SHOWN for key, value in client.info(section).items())


def refusing(tools, *, wanted):
    """Whether it wants more replicas than these settings say, or is full and its policy drops nothing."""
    with tools.cache("cache") as client:
        return _differing(client, wanted)


def put_back(tools, *, wanted):
    """CONFIG SET those of these settings that make it refuse, until the next restart."""
    lines = []
    with tools.cache("cache") as client:
        for name, before in _differing(client, wanted).items():
            client.config_set(name, wanted[name])
            lines.append(f"{name}: was {before}, is {wanted[name]}")
    return "\n".join(lines)


def last_save_failed(tools):
    """Whether the last snapshot failed."""
    with tools.cache("cache") as client:
        return client.info("persistence")["rdb_last_bgsave_status"] != "ok"


def save_again(tools):
    """BGSAVE, and wait for its end."""
    with tools.cache("cache") as client:
        if not client.info("persistence")["rdb_bgsave_in_progress"]:
            client.bgsave()
        while (seen := client.info("persistence"))["rdb_bgsave_in_progress"]:
            time.sleep(0.5)
    if seen["rdb_last_bgsave_status"] != "ok":
        raise RunbookError(
            "the snapshot failed again\n  hint: is the disk full, the folder not writable, memory too short?"
        )
    return "saved"


def may_restart(tools):
    """Whether nobody serves there, or a restart would lose nothing; never while it reads its data, or refuses only us."""
    if tools.silent("cache"):
        return True
    with tools.cache("cache") as client:
        seen = client.info("persistence")
    appended = seen["aof_enabled"] and seen["aof_last_write_status"] == "ok"
    saved = seen["rdb_last_bgsave_status"] == "ok" and not seen["rdb_changes_since_last_save"]
    return not seen["loading"] and (appended or saved)


def _differing(client, wanted):
    """What Redis has instead of WANTED; of policies only the one that drops nothing, and only when there is no room."""
    found = {name: client.config_get(name)[name] for name in wanted}
    memory = client.info("memory")
    room = memory["used_memory"] < 0.9 * (memory["maxmemory"] or memory["total_system_memory"])
    if room or found[POLICY] != "noeviction":
        found.pop(POLICY)
    return {name: value for name, value in found.items() if value != wanted[name]}


def _wanted(at):
    return {"min-replicas-to-write": str(at.facts.cache.min_replicas), POLICY: at.facts.cache.policy}
