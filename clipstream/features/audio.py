"""Audio: how loud it is, how suddenly sounds begin, and how the sound changes.

librosa's definitions on a grid of frames that slices share: a slice and its lead give exactly the frames that the whole
stream would. In numpy, because importing librosa takes seconds.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from clipstream.features.base import Feature, Signal
from clipstream.media.slices import AudioRequest, MediaNeeds, Slice
from clipstream.settings import Settings
from clipstream.timing import AUDIO_RATE_HZ, SAMPLES_PER_SLICE

__all__ = ["create"]

_FFT = 1024  # samples: 64 ms
_HOP = 320  # samples: 20 ms, the nearest to librosa's 23 ms that divides a slice
_FRAMES = SAMPLES_PER_SLICE // _HOP
_LEAD = SAMPLES_PER_SLICE + _FFT - _HOP  # the frames of the slice before
_BANDS = 64

_SILENCE_DB = -100.0
_POWER_FLOOR = 1e-8  # of a mel band: what the rounding of 16-bit samples makes
_TOP_DB = 80.0


def create(settings: Settings) -> Feature:  # noqa: ARG001 - every feature is made with the settings
    """Return the audio feature."""
    return _Audio()


class _Audio:
    name = "audio"
    weight = 0.2
    signals: tuple[Signal, ...] = (
        Signal("audio_loudness", "loudness", "dB", weight=0.5, min_spread=1.5),
        Signal("audio_onset", "suddenness of sound", "dB", weight=0.3, min_spread=1.0),
        Signal("audio_change", "change in the kind of sound", "", weight=0.2, min_spread=0.03),
    )
    needs = MediaNeeds(audio=AudioRequest(lead_samples=_LEAD))

    def extract(self, slices: Sequence[Slice]) -> NDArray[np.float32]:
        """Return (len(slices), 3) float32: `audio_loudness`, `audio_onset` and `audio_change`; NaN without sound.

        `audio_loudness` is the root mean square in decibels below full scale, -100 for silence. `audio_onset` is the
        largest onset strength in the slice: the mean over 64 mel bands of what a frame of 64 ms has gained on the one
        20 ms before, in decibels. `audio_change` is the cosine distance, 0 to 1, of the mean mel spectrum from that of
        the half second before. Neither depends on the level, and neither is known in the first slice of a stream.
        """
        return np.array([_of(piece) for piece in slices], dtype=np.float32)


def _of(piece: Slice) -> tuple[float, float, float]:
    if piece.audio is None:
        return np.nan, np.nan, np.nan
    loudness = _loudness_db(piece.audio[-SAMPLES_PER_SLICE:])
    if piece.n == 0:  # a recording that begins is no sound that begins
        return loudness, np.nan, np.nan
    mel = _mel_power(piece.audio[-SAMPLES_PER_SLICE - _LEAD :])
    onset = _onset_strength(mel[-_FRAMES - 1 :]).max()
    return loudness, float(onset), _spectral_change(mel[:_FRAMES], mel[_FRAMES:])


def _loudness_db(samples: NDArray[np.float32]) -> float:
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return 10 * float(np.log10(max(power, 10 ** (_SILENCE_DB / 10))))


def _mel_power(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (frames, bands) like `librosa.feature.melspectrogram(center=False)`."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FFT)[::_HOP]
    spectrum = np.fft.rfft(frames * _window())
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    mel: NDArray[np.float32] = (_mel_filters() @ power.T).T
    return mel


def _onset_strength(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (frames - 1,) like `librosa.onset.onset_strength(lag=1, center=False)`, from the second frame on."""
    level_db = 10 * np.log10(np.maximum(mel, _POWER_FLOOR))
    gain_db = np.diff(np.maximum(level_db, level_db.max() - _TOP_DB), axis=0)
    strength: NDArray[np.float32] = np.maximum(gain_db, 0).mean(axis=1)
    return strength


def _spectral_change(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    a, b = (np.sqrt(mel + _POWER_FLOOR).mean(axis=0) for mel in (before, now))
    return max(0.0, 1 - float(a @ b / np.sqrt((a @ a) * (b @ b))))


@cache
def _window() -> NDArray[np.float32]:
    return np.hanning(_FFT + 1)[:-1].astype(np.float32)


@cache
def _mel_filters() -> csr_array:
    """Return (bands, bins) float32 triangles of unit area on Slaney's mel scale, as in `librosa.filters.mel`.

    Sparse: a third of the cost of a dense product, and no second thread, as BLAS would start beside the decoder's.
    """
    edges_hz = _hz(np.linspace(0, _mel(AUDIO_RATE_HZ / 2), _BANDS + 2))[:, None]
    low, middle, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    bins_hz = np.fft.rfftfreq(_FFT, 1 / AUDIO_RATE_HZ)
    rise, fall = (bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)
    filters = np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low)
    return csr_array(filters.astype(np.float32))


# Slaney's scale (Auditory Toolbox, 1998): linear to 1 kHz, then 27 mel for every factor of 6.4.
def _mel(hz: float) -> float:
    return 15 + 27 * float(np.log(hz / 1000) / np.log(6.4)) if hz > 1000 else 3 * hz / 200


def _hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel > 15, 1000 * 6.4 ** ((mel - 15) / 27), 200 * mel / 3)
