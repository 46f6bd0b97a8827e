"""The GPU probe: true figures where there is a GPU, and a clear word where there is none."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pynvml
import pytest
from pytest_runbook.errors import Unmeasured, Unreachable
from pytest_runbook.evidence.context import Notebook, writing
from pytest_runbook.probes.nvml import Nvml, NvmlSettings

T = TypeVar("T")


def ask(question: Callable[[Nvml], Coroutine[Any, Any, T]], **settings: Any) -> T:
    async def look() -> T:
        probe = Nvml("gpu", NvmlSettings(kind="nvml", **settings))
        try:
            return await question(probe)
        finally:
            await probe.close()

    return asyncio.run(look())


def reason_for_no_gpu() -> str:
    """Why NVML tells nothing here; empty where it does."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return str(error)
    try:
        return "" if pynvml.nvmlDeviceGetCount() else "no GPU"
    finally:
        pynvml.nvmlShutdown()


MISSING = reason_for_no_gpu()


@pytest.mark.skipif(not MISSING, reason="this machine has a GPU")
def test_without_a_gpu_it_is_unmeasured() -> None:
    notebook = Notebook("ml/capacity::gpu_memory")
    with writing(notebook), pytest.raises(Unmeasured, match="\n  hint: ") as raised:
        ask(Nvml.gpus)
    assert not isinstance(raised.value, Unreachable)
    if pynvml.NVMLError_LibraryNotFound().__str__() == MISSING:
        assert str(raised.value).endswith("hint: there is no NVIDIA driver on this machine")
    assert [(one.operation, one.ok) for one in notebook.observations] == [("gpus", False)]


def test_what_is_not_enabled_is_not_looked_at() -> None:
    with pytest.raises(Unmeasured, match=r"GPUs are not looked at\n  hint: probes\.gpu\.enabled = true"):
        ask(Nvml.gpus, enabled=False)
    assert not Nvml("gpu", NvmlSettings(kind="nvml", enabled=False)).enabled


@pytest.mark.skipif(bool(MISSING), reason=f"no GPU: {MISSING}")
def test_figures_are_those_of_nvidia_smi() -> None:
    notebook = Notebook("ml/capacity::gpu_memory")
    with writing(notebook):
        gpus = ask(Nvml.gpus)
    for gpu in gpus:
        assert 0 <= gpu.memory_used <= gpu.memory_total
        assert gpu.memory_fraction == gpu.memory_used / gpu.memory_total
        assert gpu.temperature is None or 0 < gpu.temperature < 120
        assert gpu.utilization is None or 0 <= gpu.utilization <= 1
    json.dumps(notebook.observations[0].answer)
    program = shutil.which("nvidia-smi")
    if not program:
        return
    asked = [program, "--query-gpu=index,name,uuid,memory.total,memory.used", "--format=csv,noheader,nounits"]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    told = [[part.strip() for part in line.split(",")] for line in lines]
    assert [[str(gpu.index), gpu.name, gpu.uuid] for gpu in gpus] == [line[:3] for line in told]
    for gpu, line in zip(gpus, told, strict=True):
        assert gpu.memory_total / 2**20 == pytest.approx(float(line[3]), abs=1)
        assert gpu.memory_used / 2**20 == pytest.approx(float(line[4]), abs=64)


@pytest.mark.skipif(bool(MISSING), reason=f"no GPU: {MISSING}")
def test_questions_at_once_are_answered_and_it_can_be_asked_again_after_closing() -> None:
    async def look(probe: Nvml) -> None:
        several = await asyncio.gather(*(probe.gpus() for _ in range(4)))
        assert all(len(one) == len(several[0]) for one in several)
        assert await probe.driver()
        await probe.close()
        assert len(await probe.gpus()) == len(several[0])

    ask(look)
