"""Queue too long: work comes in faster than it is done.

Symptom
    More than the allowed number of predictions or tasks wait in Redis.

Diagnosis
    1. How many, and does it grow? Ask twice, a minute apart (step lengths):
           redis-cli zcard prediction:queue; redis-cli llen celery
    2. Do the workers run, and do they finish anything? (steps status, log)
           docker compose ps; docker compose logs --tail 100 worker
    3. Is what they need ill (prediction service, database)? Then the queue is the effect.
    4. Did somebody upload a large batch? Then it goes down by itself: how long will it take?

Correction, mildest first
    1. What the workers need is ill: its runbook first. Nothing is done here then.
    2. The queue does not get shorter: the workers stand still; restart them. A job that was begun is put back by the worker
       when it is told to end, and the queue itself is not touched (step restart_worker):
           docker compose restart worker
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
    timeout=120,
)
def restart_worker(at):
    """Restart the worker of the queues"""
    return manage("restart", "worker")


def counted(tools, *, names):
    """How many entries each queue has."""
    return "\n".join(f"{name}: {length}" for name, length in _lengths(tools, names).items())


def stands_still(tools, *, names, limit):
    """Whether a queue above this limit does not get shorter in ten seconds."""
    before = _lengths(tools, names)
    time.sleep(LOOK)
    after = _lengths(tools, names)
    print("\n".join(f"{name}: {before[name]}, then {after[name]}" for name in names))
    return any(after[name] >= limit and after[name] >= before[name] for name in names)


def _lengths(tools, names):
    counts = {"list": "LLEN", "zset": "ZCARD", "stream": "XLEN", "set": "SCARD"}
    with tools.cache("cache") as client:
        kinds = {name: client.type(name) for name in names}
        return {
            name: client.execute_command(counts[kind], name) if kind in counts else 0 for name, kind in kinds.items()
        }
