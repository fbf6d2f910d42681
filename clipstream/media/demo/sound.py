"""The sound of the demo scene: air and birds throughout, a crowd where something happens, a tune to dance to."""

import numpy as np
from numpy.typing import NDArray

from clipstream.media.demo.script import DURATION_S, MOMENTS

__all__ = ["RATE_HZ", "make_sound"]

RATE_HZ = 48_000

_Wave = NDArray[np.float64]

_TUNE_HZ = (523.3, 659.3, 784.0, 659.3, 587.3, 698.5, 880.0, 698.5, 523.3, 784.0, 1046.5, 1046.5)
_NOTE_S = 0.2


def make_sound(random: np.random.Generator) -> NDArray[np.float32]:
    """Return (samples,) mono float32 in [-1, 1] at `RATE_HZ`, as long as the scene."""
    sound = 0.004 * _band(random, float(DURATION_S), 80, 900)
    sound *= 1 + 0.3 * np.sin(2 * np.pi * 0.11 * np.arange(len(sound)) / RATE_HZ)
    for start_s in np.cumsum(random.uniform(0.8, 2.2, 16)):
        _add(sound, float(start_s), 0.006 * _chirp(random))
    for moment in MOMENTS:
        start_s, end_s = float(moment.start_s) + 0.5, float(moment.end_s) + 0.9
        if moment.name == "dance":
            for number, pitch_hz in enumerate(_TUNE_HZ):
                _add(sound, float(moment.start_s) + number * _NOTE_S, 0.16 * _note(pitch_hz))
            start_s = float(moment.end_s) - 0.7
        _add(sound, start_s, _crowd(random, end_s - start_s))
    return np.clip(sound, -1, 1).astype(np.float32)


def _crowd(random: np.random.Generator, length_s: float) -> _Wave:
    """Cheering (noise in the bands of voices, and a few calls) and clapping (short bursts), swelling and ebbing."""
    time_s = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    swell: _Wave = np.minimum(1, time_s / 0.35) * np.minimum(1, (length_s - time_s) / 0.8)
    sound = np.zeros(len(time_s))
    for low_hz, high_hz, level in ((350, 900, 0.09), (1000, 1900, 0.063), (2300, 3200, 0.027)):
        sound += level * _band(random, length_s, low_hz, high_hz)
    for _ in range(5):
        _add(sound, random.uniform(0, 0.5 * length_s), 0.035 * _call(random))
    clap_time_s = np.arange(round(0.06 * RATE_HZ)) / RATE_HZ
    for start_s in random.uniform(0.1, length_s - 0.1, round(38 * length_s)):
        clap = _band(random, 0.06, 900, 2800) * np.exp(-clap_time_s / 0.009)
        _add(sound, float(start_s), random.uniform(0.05, 0.16) * clap)
    return sound * swell


def _call(random: np.random.Generator) -> _Wave:
    """A 'woo': a voice that glides up and falls."""
    length_s = random.uniform(0.45, 0.8)
    share = np.arange(round(length_s * RATE_HZ)) / (length_s * RATE_HZ)
    pitch_hz = random.uniform(330, 620) * (1 + 0.55 * np.sin(np.pi * share**0.7))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    wave: _Wave = np.sin(np.pi * share) * (np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.15 * np.sin(3 * phase))
    return wave


def _chirp(random: np.random.Generator) -> _Wave:
    """A bird: a few short notes that fall in pitch."""
    note_s = random.uniform(0.06, 0.1)
    share = np.arange(round(note_s * RATE_HZ)) / (note_s * RATE_HZ)
    pitch_hz = random.uniform(3000, 4600) * (1.15 - 0.3 * share)
    note = np.sin(np.pi * share) ** 2 * np.sin(2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ)
    return np.tile(np.concatenate([note, np.zeros(len(note) // 2)]), int(random.integers(2, 5)))


def _note(pitch_hz: float) -> _Wave:
    """A bar of a marimba: a fundamental and its fourth harmonic, struck."""
    time_s = np.arange(round(0.5 * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * pitch_hz * time_s
    tone = np.sin(phase) * np.exp(-time_s / 0.13) + 0.3 * np.sin(4 * phase) * np.exp(-time_s / 0.04)
    struck: _Wave = np.minimum(1, time_s / 0.003) * tone
    return struck


def _band(random: np.random.Generator, length_s: float, low_hz: float, high_hz: float) -> _Wave:
    """Noise of standard deviation 1 between two frequencies, with soft edges."""
    count = round(length_s * RATE_HZ)
    spectrum = np.fft.rfft(random.standard_normal(count))
    frequency_hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    spectrum *= 1 / (1 + (low_hz / np.maximum(frequency_hz, 1)) ** 6) / (1 + (frequency_hz / high_hz) ** 6)
    noise = np.fft.irfft(spectrum, count)
    scaled: _Wave = noise / noise.std()
    return scaled


def _add(sound: _Wave, start_s: float, part: _Wave) -> None:
    first = round(start_s * RATE_HZ)
    length = max(0, min(len(part), len(sound) - first))
    sound[first : first + length] += part[:length]
