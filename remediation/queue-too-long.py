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
    2. For longer than the longest job takes (limits.queue.job) the queue got no shorter, and nobody took an entry from its ends:
       the workers stand still; restart them. One that grows while entries go is worked on: a restart would only cost time. A
       job that was begun gets managers.*.grace seconds to end or to be put back, and the queue itself is not touched (step
       restart_worker):
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

from pytest_runbook import call, clock, correct, diagnose, manage

PAUSE = 0.5
"""Seconds between two looks at the queues."""


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
    only_if=lambda at: call(
        stands_still, names=at.facts.cache.queues, limit=at.limits.queue.length, seconds=at.limits.queue.job
    ),
    settle=5,
    within=300,
    timeout=180,
)
def restart_worker(at):
    """Restart the worker of the queues"""
    return manage("restart", "worker")


def counted(tools, *, names):
    """How many entries each queue has."""
    with tools.cache("cache") as client:
        return "\n".join(f"{name}: {length}" for name, length in _lengths(client, names).items())


def stands_still(tools, *, names, limit, seconds):
    """Whether nothing is taken for so long from a queue above this limit: it gets no shorter, and what is at its ends stays."""
    still, until = set(names), clock.monotonic() + seconds
    with tools.cache("cache") as client:
        lengths = _lengths(client, names)
        while clock.monotonic() < until and any(lengths[name] >= limit for name in still):
            before, ends = lengths, {name: _ends(client, name) for name in still}
            time.sleep(PAUSE)
            lengths = _lengths(client, names)
            still -= {name for name in still if lengths[name] < before[name] or _has_gone(client, ends[name])}
    for name in names:
        print(f"{name}: {lengths[name]}, {'nothing' if name in still else 'something'} was taken")
    return any(lengths[name] >= limit for name in still)


def _lengths(client, names):
    counts = {"list": "LLEN", "zset": "ZCARD", "stream": "XLEN", "set": "SCARD"}
    kinds = {name: client.type(name) for name in names}
    return {name: client.execute_command(counts[kind], name) if kind in counts else 0 for name, kind in kinds.items()}


def _ends(client, name):
    """Questions after what may be done next in a queue, with their answers; never shown, it is a user's."""
    match client.type(name):
        case "list":
            questions = [("LINDEX", name, -1)]
        case "stream":
            questions = [("XRANGE", name, "-", "+", "COUNT", 1)]
        case "zset":  # taken from whichever end, and added to everywhere: an entry is known by itself, not by its place
            questions = [("ZSCORE", name, entry) for place in (0, -1) for entry in client.zrange(name, place, place)]
        case _:
            questions = []
    return {question: client.execute_command(*question) for question in questions}


def _has_gone(client, ends):
    """Whether one of these questions has another answer by now."""
    return any(client.execute_command(*question) != answer for question, answer in ends.items())
