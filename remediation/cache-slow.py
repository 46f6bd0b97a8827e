"""Cache slow: Redis takes long for the smallest thing, and every page and prediction waits for it.

Symptom
    Writing, reading and deleting one small value takes longer than the limit.

Diagnosis
    1. Is it the server or the way to it? On the server's own machine:
           redis-cli --latency -i 1; redis-cli --intrinsic-latency 5
    2. One slow command holds all others up (steps slow_commands, clients):
           redis-cli slowlog get 10; redis-cli client list
           redis-cli info commandstats | sort -t= -k4 -nr | head
    3. Is it saving, or out of memory and swapping?
           redis-cli info persistence | grep in_progress; redis-cli info memory | grep -E 'used_memory_rss_human|fragmentation'
    4. Does somebody use KEYS, or read a value of megabytes? redis-cli --bigkeys

Correction, mildest first
    1. A person: end the client that sends the slow command: redis-cli client list; redis-cli client kill id <id>.
    2. Memory is short: cache-memory.
    3. The machine is busy with something else: load-high.
    4. The network: measure from another machine before touching anything.

Last resort
    Save, and when that has succeeded restart Redis: clients wait for some seconds, and nothing is lost (step restart).
        redis-cli bgsave; redis-cli info persistence | grep rdb_last_bgsave_status
        docker compose restart --timeout 120 redis
    A person: fail over to the replica.

Verify
    pytest checks/cache/performance.py
"""

import re
import time

from pytest_runbook import RunbookError, call, diagnose, last_resort, manage

KIND = re.compile(r"[A-Za-z][A-Za-z_.-]{0,30}:")
"""What keys of one kind begin with: `cache:`, `session:`."""


@diagnose
def slow_commands(at):
    """Look at the commands that took longest"""
    return call(slowest)


@diagnose
def clients(at):
    """Look at the clients, and at what each sent last"""
    return call(connected)


@last_resort(risk="restart", settle=2, within=60, timeout=600)
def restart(at):
    """Save, then restart Redis"""
    return [call(save_first), manage("restart", "cache")]


def slowest(tools):
    """SLOWLOG GET 10, each as its command and the kind of its first key: the rest is users' data."""
    with tools.cache("cache") as client:
        return "\n".join(
            f"{entry['duration'] / 1000:.1f} ms  {_kind(entry['command'])}" for entry in client.slowlog_get(10)
        )


def _kind(command):
    """`SET session:*` of `SET session:4711 …`."""
    text = command.decode("utf-8", "replace") if isinstance(command, bytes) else str(command)
    name, _, rest = text.partition(" ")
    return f"{name} {found[0]}*" if (found := KIND.match(rest)) else name


def connected(tools):
    """CLIENT LIST, those first that have waited longest for an answer."""
    with tools.cache("cache") as client:
        found = sorted(client.client_list(), key=lambda one: -int(one.get("tot-mem", 0)))[:20]
    return "\n".join(f"{one['addr']} {one.get('name', '')} {one['cmd']} idle {one['idle']} s" for one in found)


def save_first(tools):
    """BGSAVE, and wait for its end: without a save that succeeded nothing is restarted."""
    with tools.cache("cache") as client:
        if not client.info("persistence")["rdb_bgsave_in_progress"]:
            client.bgsave()
        while (seen := client.info("persistence"))["rdb_bgsave_in_progress"]:
            time.sleep(0.5)
    if seen["rdb_last_bgsave_status"] != "ok":
        raise RunbookError("the snapshot failed, so nothing was restarted\n  hint: go to cache-persistence")
    return "saved"
