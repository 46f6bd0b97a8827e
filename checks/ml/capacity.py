"""How much work waits, and how much of the GPU is in use."""

import pytest
from pytest_runbook import Unmeasured, check


@check("postdeploy daily", severity="P2", runbook="queue-too-long", needs="cache")
async def test_queues_are_short(cache, facts, limits, measure):
    """Work does not pile up: fewer than 100 predictions and tasks wait in each queue (guide G18)."""
    lengths = {name: measure(f"queue.{name}", await cache.queue_length(name)) for name in facts.cache.queues}
    assert lengths, "no queue is named: facts.cache.queues is empty"
    long = [name for name, length in lengths.items() if not length < limits.queue.length]
    assert not long, f"too many wait: {', '.join(f'{lengths[name]:.0f} in {name}' for name in long)}"


@check("daily", severity="P2", runbook="gpu-memory")
async def test_gpu_memory(gpu, facts, limits, measure):
    """The GPU has memory left: less than 90 % of each is in use (guide G19)."""
    _only_with_gpu(facts)
    used = [
        measure(f"gpu.{seen.index}.memory", seen.memory_used / seen.memory_total, "ratio") for seen in await _seen(gpu)
    ]
    assert max(used) < limits.gpu.memory, "a GPU's memory is nearly used up"


@check("daily", severity="P2", runbook="gpu-memory")
async def test_gpu_temperature(gpu, facts, limits, measure):
    """The GPU is not too hot: it would slow itself down, and predictions with it."""
    _only_with_gpu(facts)
    hot = [measure(f"gpu.{seen.index}.temperature", seen.temperature, "degrees C") for seen in await _seen(gpu)]
    assert max(hot) < limits.gpu.temperature, "a GPU is too hot"


def _only_with_gpu(facts):
    if not facts.ml.use_gpu:
        pytest.skip("predictions run on the CPU: ml.use_gpu is false")


async def _seen(gpu):
    """The GPUs, at least one."""
    gpus = await gpu.gpus()
    if not gpus:
        raise Unmeasured("ml.use_gpu is true, and no GPU is there")
    return gpus
