"""The NVIDIA GPUs of this machine, as the driver's management library (NVML) tells them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_runbook.errors import Unmeasured
from pytest_runbook.probes._plain import plain
from pytest_runbook.probes.base import Probe, ProbeSettings

__all__ = ["Nvml", "NvmlSettings"]

T = TypeVar("T")
HINTS = {
    "NVMLError_LibraryNotFound": "there is no NVIDIA driver on this machine",
    "NVMLError_DriverNotLoaded": "the driver is installed and not loaded: see modprobe nvidia, dmesg",
    "NVMLError_LibRmVersionMismatch": "the driver was updated and the old one is still loaded: restart the machine",
    "NVMLError_NoPermission": "give this user access to /dev/nvidia*",
    "NVMLError_GpuIsLost": "the GPU has fallen off the bus: see dmesg, restart the machine",
}


class NvmlSettings(ProbeSettings):
    """Whether there should be a GPU."""

    enabled: bool = True
    """False: the system uses no GPU; a check that asks for one is told so."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU."""

    index: int
    """As nvidia-smi numbers it."""
    name: str
    uuid: str
    memory_total: int
    """Bytes."""
    memory_used: int
    """Bytes, without what the driver keeps for itself; as nvidia-smi shows it."""
    utilization: float | None
    """Share of the last moment in which it computed, 0..1; None where the GPU does not tell (split into instances)."""
    temperature: float | None
    """Degrees Celsius; None where the GPU does not tell."""

    @property
    def memory_fraction(self) -> float:
        """Used of the total, 0..1."""
        return self.memory_used / self.memory_total


class Nvml(Probe[NvmlSettings]):
    """Questions to NVML. Raises Unmeasured when there is no driver or no GPU, when one is lost, and when it is not enabled."""

    kind = "nvml"
    remote = False
    Settings = NvmlSettings

    def __init__(self, name: str, settings: NvmlSettings) -> None:
        """NAME is the name in the settings."""
        super().__init__(name, settings)
        self._lock = threading.Lock()
        self._begun = False

    @property
    def target(self) -> str:
        """The GPUs are this machine's."""
        return "this machine's GPUs"

    @property
    def enabled(self) -> bool:
        """Whether the settings say that there is a GPU."""
        return self.settings.enabled

    async def close(self) -> None:
        """Let go of the library."""
        if self._begun:
            await self.limited(self.blocking(self._end))

    async def gpus(self) -> list[Gpu]:
        """Every GPU, at least one."""
        return await self.observe("gpus", lambda: self.limited(self.blocking(self._gpus)), answer=plain)

    async def driver(self) -> str:
        """Version of the driver."""
        return await self.observe("driver", lambda: self.limited(self.blocking(self._driver)))

    def _gpus(self) -> list[Gpu]:
        def look(nvml: Any) -> list[Gpu]:
            found = [_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
            if not found:
                raise Unmeasured("the driver is there and sees no GPU\n  hint: see lspci, dmesg, CUDA_VISIBLE_DEVICES")
            return found

        return self._ask(look)

    def _driver(self) -> str:
        return str(self._ask(lambda nvml: nvml.nvmlSystemGetDriverVersion()))

    def _ask(self, question: Callable[[Any], T]) -> T:
        """Answer of QUESTION, a function of the library, in our words when it fails; one at a time."""
        if not self.enabled:
            raise Unmeasured(f"GPUs are not looked at\n  hint: probes.{self.name}.enabled = true")
        import pynvml  # late: only who has a GPU pays

        with self._lock:
            try:
                if not self._begun:
                    pynvml.nvmlInit()
                    self._begun = True
                return question(pynvml)
            except pynvml.NVMLError as error:
                hint = HINTS.get(type(error).__name__, "run nvidia-smi on this machine")
                raise Unmeasured(f"no figures of the GPU: {str(error).lower()}\n  hint: {hint}") from None

    def _end(self) -> None:
        import pynvml

        with self._lock:
            self._begun = False
            pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    device = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = _memory(nvml, device)
    return Gpu(
        index=index,
        name=nvml.nvmlDeviceGetName(device),
        uuid=nvml.nvmlDeviceGetUUID(device),
        memory_total=memory.total,
        memory_used=memory.used,
        utilization=_told(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100),
        temperature=_told(nvml, lambda: float(nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU))),
    )


def _memory(nvml: Any, device: Any) -> Any:
    """Memory without the driver's own; with it, where the driver is too old to tell them apart."""
    try:
        return nvml.nvmlDeviceGetMemoryInfo(device, version=nvml.nvmlMemory_v2)
    except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NotSupported):
        return nvml.nvmlDeviceGetMemoryInfo(device)


def _told(nvml: Any, figure: Callable[[], float]) -> float | None:
    try:
        return figure()
    except nvml.NVMLError_NotSupported:
        return None
