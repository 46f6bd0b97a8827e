"""Turns a recording of any length into a fixed row of figures: what sounds at which pitch, how it comes and goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lab.ml.sounds import RATE, Signal

FRAME, HOP = 512, 128
BANDS = 24
LOWEST, HIGHEST = 80.0, 7_800.0
RHYTHMS = ((4.0, 12.0), (12.0, 24.0), (24.0, 62.0))
"""Ranges of hertz in which a call may beat: syllables, pulses, a cricket's chopping."""

_EDGES = np.geomspace(LOWEST, HIGHEST, BANDS + 1)
_FREQUENCY = np.fft.rfftfreq(FRAME, 1 / RATE)
_BAND = np.clip(np.searchsorted(_EDGES, _FREQUENCY, side="right") - 1, 0, BANDS - 1)
_USED = (_FREQUENCY >= LOWEST) & (_FREQUENCY < HIGHEST)
# Low bands are narrower than a bin of the spectrum: those without a bin say nothing and are left out.
_FILLED = np.unique(_BAND[_USED])
_SUM = np.stack([((band == _BAND) & _USED).astype(np.float64) for band in _FILLED])
COUNT = 2 * len(_FILLED) + 3 + len(RHYTHMS)


def features(signal: Signal) -> NDArray[np.float64]:
    """COUNT figures of SIGNAL, whatever its loudness."""
    power = _spectrogram(signal)
    bands = np.log(power @ _SUM.T + 1e-9)
    bands -= bands.mean()
    total = power.sum(axis=1)
    shape = power / (total[:, None] + 1e-12)
    pitch = shape @ _FREQUENCY[: power.shape[1]]
    weight = total / (total.sum() + 1e-12)
    centre = weight @ pitch
    spread = np.sqrt(weight @ (pitch - centre) ** 2)
    purity = weight @ shape.max(axis=1)
    return np.concatenate(
        [bands.mean(axis=0), bands.std(axis=0), [centre / 1000, spread / 1000, purity], _rhythm(np.sqrt(total))]
    )


def _spectrogram(signal: Signal) -> NDArray[np.float64]:
    """Power of each frame at each frequency, of a signal scaled to the same loudness."""
    scaled = signal / (np.sqrt(np.mean(signal**2)) + 1e-9)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(scaled, (0, max(0, FRAME - len(scaled)))), FRAME)[::HOP]
    return np.asarray(np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1)) ** 2 / FRAME)


def _rhythm(envelope: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of the ENVELOPE beats in each of the RHYTHMS, as logarithms."""
    level = envelope / (envelope.mean() + 1e-12) - 1
    spectrum = np.abs(np.fft.rfft(level * np.hanning(len(level)), 256)) ** 2
    beat = np.fft.rfftfreq(256, HOP / RATE)
    parts = [spectrum[(beat >= low) & (beat < high)].sum() for low, high in RHYTHMS]
    return np.log(np.array(parts) + 1e-6)
