"""Whether the GPU has room, and keeps cool."""

import pytest
from pytest_runbook import Unmeasured, check


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
