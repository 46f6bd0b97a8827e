"""Generates recordings of six night animals, so that the classifier has something real to learn and to be tried on.

`RandomState` on purpose: its streams are frozen, so a seed gives the same recordings with every later numpy, and the
accuracy that the lab is checked against stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

Signal = NDArray[np.float64]

RATE = 16_000
SECONDS = 0.5
SAMPLES = int(RATE * SECONDS)
QUIETEST, LOUDEST = -12.0, 20.0
"""Signal to noise, in decibels: the quiet end is what makes a recording hard."""


def record(species: str, random: RandomState) -> Signal:
    """A recording of SPECIES: its call somewhere in the half second, over the noise of that night; peak below 1."""
    call = CALLS[species](random)
    night = _night(random)
    ratio = random.uniform(QUIETEST, LOUDEST)
    loudness = np.sqrt(np.mean(call**2) / np.mean(night**2)) / 10 ** (ratio / 20)
    mixed = call + night * loudness
    level: Signal = mixed / np.abs(mixed).max() * random.uniform(0.2, 0.95)
    return level


def recordings(count: int, seed: int) -> Iterator[tuple[str, Signal]]:
    """COUNT recordings of each species in turn, the same ones for the same SEED."""
    random = RandomState(seed)
    for _ in range(count):
        for species in CALLS:
            yield species, record(species, random)


def _robin(random: RandomState) -> Signal:
    """Whistled syllables that glide up or down between 2 and 5 kHz."""
    call = np.zeros(SAMPLES)
    for start, length in _syllables(random, random.randint(2, 5), 0.05, 0.12):
        low, high = random.uniform(1900, 3200), random.uniform(3000, 5200)
        begin, end = (low, high) if random.uniform() < 0.5 else (high, low)
        _add(call, start, _glide(begin, end, length, random) * _swell(length))
    return call


def _owl(random: RandomState) -> Signal:
    """One or two long hoots around 450 Hz, with few overtones."""
    call = np.zeros(SAMPLES)
    for start, length in _syllables(random, random.randint(1, 3), 0.14, 0.3):
        pitch = random.uniform(320, 620)
        hoot = _glide(pitch * 1.06, pitch, length, random)
        hoot += random.uniform(0.05, 0.3) * _glide(pitch * 2.12, pitch * 2, length, random)
        _add(call, start, hoot * _swell(length))
    return call


def _fox(random: RandomState) -> Signal:
    """Hoarse barks: a falling tone with many overtones and much breath, sudden and soon gone."""
    call = np.zeros(SAMPLES)
    for start, length in _syllables(random, random.randint(1, 4), 0.06, 0.16):
        pitch = random.uniform(550, 950)
        bark = sum(_glide(pitch * n * 1.2, pitch * n * 0.8, length, random) / n for n in range(1, 5))
        bark += random.uniform(0.6, 1.6) * _band(random.standard_normal(length), 700, 2600)
        _add(call, start, bark * np.exp(-np.arange(length) / (0.035 * RATE)))
    return call


def _bat(random: RandomState) -> Signal:
    """A series of very short calls that fall from 7.5 to 3 kHz, as a detector makes them audible."""
    call = np.zeros(SAMPLES)
    gap = random.uniform(0.035, 0.09)
    for start in np.arange(random.uniform(0, 0.05), SECONDS - 0.03, gap):
        length = int(random.uniform(0.006, 0.018) * RATE)
        pulse = _glide(random.uniform(6200, 7600), random.uniform(2800, 4200), length, random)
        _add(call, int(start * RATE), pulse * _swell(length))
    return call


def _boar(random: RandomState) -> Signal:
    """Grunts: pulses at 60 to 120 Hz that ring in a throat below 700 Hz."""
    call = np.zeros(SAMPLES)
    for start, length in _syllables(random, random.randint(1, 4), 0.09, 0.2):
        pulses = np.zeros(length)
        pulses[:: int(RATE / random.uniform(60, 120))] = 1.0
        throat = _band(pulses, 90, random.uniform(420, 760))
        breath = _band(random.standard_normal(length), 90, 900)
        grunt = throat / np.abs(throat).max() + random.uniform(0.1, 0.5) * breath / np.abs(breath).max()
        _add(call, start, grunt * _swell(length))
    return call


def _cricket(random: RandomState) -> Signal:
    """A pure carrier near 4.7 kHz, chopped 25 to 60 times a second, all the time."""
    carrier = random.uniform(4000, 5400)
    chopping = 0.5 - 0.5 * np.cos(2 * np.pi * random.uniform(25, 60) * _time(SAMPLES) + random.uniform(0, 6.28))
    return np.asarray(_glide(carrier, carrier * random.uniform(0.99, 1.01), SAMPLES, random) * chopping**2)


CALLS: dict[str, Callable[[RandomState], Signal]] = {
    "bat": _bat,
    "boar": _boar,
    "cricket": _cricket,
    "fox": _fox,
    "owl": _owl,
    "robin": _robin,
}


def _syllables(random: RandomState, count: int, shortest: float, longest: float) -> Iterator[tuple[int, int]]:
    """Start and length in samples of COUNT syllables, each in its own part of the recording."""
    part = SAMPLES // count
    for number in range(count):
        length = min(int(random.uniform(shortest, longest) * RATE), part)
        yield number * part + random.randint(0, part - length + 1), length


def _glide(begin: float, end: float, length: int, random: RandomState) -> Signal:
    """A tone that goes from BEGIN to END hertz."""
    frequency = np.linspace(begin, end, length)
    return np.asarray(np.sin(2 * np.pi * np.cumsum(frequency) / RATE + random.uniform(0, 6.28)))


def _swell(length: int) -> Signal:
    return np.asarray(np.hanning(length + 2)[1:-1])


def _band(signal: Signal, low: float, high: float) -> Signal:
    """SIGNAL with only what lies between LOW and HIGH hertz."""
    spectrum = np.fft.rfft(signal)
    frequency = np.fft.rfftfreq(len(signal), 1 / RATE)
    spectrum[(frequency < low) | (frequency > high)] = 0
    return np.asarray(np.fft.irfft(spectrum, len(signal)))


def _night(random: RandomState) -> Signal:
    """Wind and leaves: noise that falls with frequency, more or less steeply."""
    spectrum = np.fft.rfft(random.standard_normal(SAMPLES))
    frequency = np.maximum(np.fft.rfftfreq(SAMPLES, 1 / RATE), 40.0)
    return np.asarray(np.fft.irfft(spectrum / frequency ** random.uniform(0.0, 0.7), SAMPLES))


def _add(call: Signal, start: int, syllable: Signal) -> None:
    room = max(0, len(call) - start)
    call[start : start + len(syllable)] += syllable[:room]


def _time(length: int) -> Signal:
    return np.asarray(np.arange(length) / RATE)
