"""Whether work waits that nobody does."""

from pytest_runbook import check


@check("postdeploy daily", severity="P2", runbook="queue-too-long", needs="cache")
async def test_queues_are_short(cache, facts, limits, measure):
    """Work does not pile up: fewer than 100 predictions and tasks wait in each queue (guide G18)."""
    lengths = {name: measure(f"queue.{name}", await cache.queue_length(name)) for name in facts.cache.queues}
    assert lengths, "no queue is named: facts.cache.queues is empty"
    long = [name for name, length in lengths.items() if not length < limits.queue.length]
    assert not long, f"too many wait: {', '.join(f'{lengths[name]:.0f} in {name}' for name in long)}"
