"""Reads and writes recordings as 16-bit mono WAV, and refuses everything else with a reason a person understands."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np

from lab.ml.sounds import RATE, Signal

SHORTEST, LONGEST = 0.1, 60.0
"""Seconds of sound that can be classified."""
SLOWEST, FASTEST = 8_000, 96_000
FULL_SCALE = 32767


class NotWav(ValueError):
    """The content is not a recording that the service can read."""


def read(content: bytes) -> Signal:
    """The samples of CONTENT, -1 to 1, at the classifier's rate; NotWav when it is no such recording."""
    if not content:
        raise NotWav("the file is empty")
    try:
        with wave.open(io.BytesIO(content)) as file:
            rate, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
            expected = file.getnframes()
            frames = file.readframes(expected)
    except (wave.Error, EOFError) as error:
        raise NotWav(f"not a WAV file: {str(error) or 'it ends too early'}") from error
    if (width, channels) != (2, 1):
        raise NotWav(f"16-bit mono is read, this is {8 * width}-bit with {channels} channels")
    if len(frames) < 2 * expected:
        raise NotWav(f"the file ends after {len(frames) // 2} of {expected} samples")
    if not SLOWEST <= rate <= FASTEST:
        raise NotWav(f"the rate is {rate} Hz, not between {SLOWEST} and {FASTEST}")
    if not SHORTEST <= expected / rate <= LONGEST:
        raise NotWav(f"the recording lasts {expected / rate:.2f} s, not between {SHORTEST:g} and {LONGEST:g}")
    return _at_our_rate(np.frombuffer(frames, "<i2").astype(np.float64) / FULL_SCALE, rate)


def _at_our_rate(signal: Signal, rate: int) -> Signal:
    if rate == RATE:
        return signal
    count = int(len(signal) * RATE / rate)
    return np.asarray(np.interp(np.arange(count) * (rate / RATE), np.arange(len(signal)), signal))


def write(path: Path, signal: Signal) -> None:
    """SIGNAL as a WAV file at PATH."""
    path.write_bytes(encode(signal))


def encode(signal: Signal) -> bytes:
    """SIGNAL as the content of a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(signal, -1, 1) * FULL_SCALE).astype("<i2").tobytes())
    return buffer.getvalue()
