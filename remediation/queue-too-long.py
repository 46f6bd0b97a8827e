"""Queue too long: work comes in faster than it is done.

Symptom
    More than the allowed number of predictions or tasks wait in Redis.

Diagnosis
    1. How many, and does it grow? Ask twice, a minute apart (step lengths):
           redis-cli zcard prediction:queue; redis-cli llen celery
    2. Do the workers run, and do they finish anything? (steps status, log)
           docker compose ps -a; docker compose logs --tail 100 worker
    3. Is what they need ill (prediction service, database)? Then the queue is the effect.
    4. Did somebody upload a large batch? Then it goes down by itself: how long will it take?

Correction, mildest first
    1. What the workers need is ill: its runbook first. Nothing is done here then.
    2. The queue does not get shorter, and nobody took its oldest entry either: the workers stand still; restart them. One that
       grows while its oldest entries go is worked on: a restart would only cost time. A job that was begun gets
       managers.*.grace seconds to end or to be put back, and the queue itself is not touched (step restart_worker):
           redis-cli lindex celery -1; docker compose restart worker
    3. A person: more workers for the time of the wave:
           docker compose up -d --no-deps --scale worker=4 worker
    4. A person: one task fails and comes back for ever: take that one out of the queue, keep it, and open a ticket.

Last resort
    A person: refuse new uploads with an honest message until the queue is short. Do not delete the queue: it is users' work.

Verify
    pytest checks/ml/queues.py
"""

import time

from pytest_runbook import call, correct, diagnose, manage

LOOK = 10.0
"""Seconds in which workers that work would have finished something."""


@diagnose
def lengths(at):
    """Look how many wait"""
    return call(counted, names=at.facts.cache.queues)


@diagnose
def status(at):
    """Look whether the worker runs, and since when"""
    return manage("status", "worker")


@diagnose
def log(at):
    """Look at what the worker said last"""
    return manage("logs", "worker")


@correct(
    risk="restart",
    only_if=lambda at: call(stands_still, names=at.facts.cache.queues, limit=at.limits.queue.length),
    settle=5,
    within=300,
    timeout=180,
)
def restart_worker(at):
    """Restart the worker of the queues"""
    return manage("restart", "worker")


def counted(tools, *, names):
    """How many entries each queue has."""
    return "\n".join(f"{name}: {length}" for name, length in _lengths(tools, names).items())


def stands_still(tools, *, names, limit):
    """Whether a queue above this limit gets no shorter in ten seconds, and nobody takes its oldest entry."""
    before, first = _lengths(tools, names), _oldest(tools, names)
    time.sleep(LOOK)
    after, then = _lengths(tools, names), _oldest(tools, names)
    still = {name for name in names if after[name] >= before[name] and then[name] == first[name]}
    for name in names:
        print(f"{name}: {before[name]}, then {after[name]}, {'nothing' if name in still else 'something'} was taken")
    return any(after[name] >= limit for name in still)


def _oldest(tools, names):
    """What is to be done next in each queue; never shown, it is a user's."""
    asked = {"list": ("LINDEX", -1), "zset": ("ZRANGE", 0, 0), "stream": ("XRANGE", "-", "+", "COUNT", 1)}
    found = {}
    with tools.cache("cache") as client:
        for name in names:
            command, *rest = asked.get(client.type(name), ("TYPE",))
            found[name] = client.execute_command(command, name, *rest)
    return found


def _lengths(tools, names):
    counts = {"list": "LLEN", "zset": "ZCARD", "stream": "XLEN", "set": "SCARD"}
    with tools.cache("cache") as client:
        kinds = {name: client.type(name) for name in names}
        return {
            name: client.execute_command(counts[kind], name) if kind in counts else 0 for name, kind in kinds.items()
        }
