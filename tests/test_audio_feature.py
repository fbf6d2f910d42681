"""What the audio feature says, against librosa, annotated onsets and sounds of known level."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as testing
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import wavfile
from scipy.signal import find_peaks, resample_poly
from scipy.stats import spearmanr

from clipstream.features import audio
from clipstream.media.slices import AudioRequest, MediaNeeds, Slice
from clipstream.settings import Settings
from clipstream.timing import AUDIO_RATE_HZ

FEATURE = audio.create(Settings())
LOUDNESS, ONSET, CHANGE = range(3)

Samples = NDArray[np.float32]
SliceMaker = Callable[..., list[Slice]]
SliceReading = Callable[[Path, MediaNeeds], list[Slice]]


def noise(duration_s: float, level: float = 0.1, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).normal(0, level, round(duration_s * AUDIO_RATE_HZ)).astype(np.float32)


def tone(duration_s: float, level: float = 0.1, frequency_hz: float = 440) -> Samples:
    t = np.arange(round(duration_s * AUDIO_RATE_HZ)) / AUDIO_RATE_HZ
    return (level * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


@pytest.fixture(scope="module")
def said_of(make_slices: SliceMaker) -> Callable[[Samples], NDArray[np.float32]]:
    return lambda samples: FEATURE.extract(make_slices(FEATURE.needs, samples=samples))


Said = Callable[[Samples], NDArray[np.float32]]


def test_a_full_scale_sine_is_3_db_below_full_scale(said_of: Said) -> None:
    assert said_of(tone(2, level=1))[:, LOUDNESS] == pytest.approx(-10 * math.log10(2), abs=0.01)


def test_digital_silence_is_100_db_down_and_nothing_begins_or_changes_in_it(said_of: Said) -> None:
    assert said_of(np.zeros(AUDIO_RATE_HZ, np.float32))[1].tolist() == pytest.approx([-100, 0, 0], abs=1e-5)


def test_without_sound_every_number_is_missing() -> None:
    assert np.isnan(FEATURE.extract([Slice("s", 3)])).all()


def test_a_recording_that_begins_is_neither_an_onset_nor_a_change(said_of: Said) -> None:
    said = said_of(noise(1, 0.1))
    assert said[0, LOUDNESS] == pytest.approx(-20, abs=0.2)
    assert np.isnan(said[0, [ONSET, CHANGE]]).all()


def test_a_click_moves_the_onset_of_its_own_slice_alone(said_of: Said) -> None:
    sound = noise(5, 0.01)
    sound[round(2.7 * AUDIO_RATE_HZ) :][:80] += 0.8
    onset = said_of(sound)[1:, ONSET]
    spread = max(np.median(np.abs(onset - np.median(onset))) * 1.4826, FEATURE.signals[ONSET].min_spread)
    assert np.flatnonzero(onset > np.median(onset) + 3 * spread).tolist() == [5 - 1]


def test_steady_noise_stays_within_what_is_worth_noticing(said_of: Said) -> None:
    said = said_of(noise(20))[1:]
    for column, signal in enumerate(FEATURE.signals):
        assert np.abs(said[:, column] - np.median(said[:, column])).max() < signal.min_spread


def test_another_sound_at_the_same_level_is_a_change_once(said_of: Said) -> None:
    said = said_of(np.concatenate([tone(2, 0.1, 300), tone(2, 0.1, 3000)]))[1:]
    assert np.ptp(said[:, LOUDNESS]) < 0.01
    assert np.flatnonzero(said[:, CHANGE] > 0.5).tolist() == [4 - 1]


@given(gain=st.floats(0.25, 4), seed=st.integers(0, 99))
@testing(max_examples=20, deadline=None)
def test_a_gain_shifts_loudness_and_nothing_else(said_of: Said, gain: float, seed: int) -> None:
    sound = noise(2, 0.05, seed) * np.linspace(0.2, 1, 2 * AUDIO_RATE_HZ, dtype=np.float32) + tone(2, 0.02)
    before, after = said_of(sound), said_of(sound * np.float32(gain))
    np.testing.assert_allclose(after[:, LOUDNESS] - before[:, LOUDNESS], 20 * math.log10(gain), atol=1e-3)
    np.testing.assert_allclose(after[:, [ONSET, CHANGE]], before[:, [ONSET, CHANGE]], atol=1e-2)


def test_a_slice_and_its_lead_give_the_very_frames_that_the_slice_before_had(make_slices: SliceMaker) -> None:
    mels = [
        audio._mel_power(piece.audio)
        for piece in make_slices(FEATURE.needs, samples=noise(4))
        if piece.audio is not None
    ]
    assert len(mels) == 8
    for before, now in pairwise(mels):
        np.testing.assert_array_equal(now[: audio._FRAMES], before[audio._FRAMES :])


def test_a_longer_lead_than_asked_for_changes_nothing(make_slices: SliceMaker, said_of: Said) -> None:
    longer = MediaNeeds(audio=AudioRequest(lead_samples=20_000))
    np.testing.assert_array_equal(FEATURE.extract(make_slices(longer, samples=noise(3))), said_of(noise(3)))


def test_the_order_and_number_of_slices_in_a_call_change_nothing(make_slices: SliceMaker) -> None:
    slices = make_slices(FEATURE.needs, samples=noise(3))
    one_by_one = np.concatenate([FEATURE.extract([piece]) for piece in slices])
    np.testing.assert_array_equal(FEATURE.extract(slices[::-1])[::-1], one_by_one)


def test_mel_filters_are_librosas() -> None:
    theirs = librosa.filters.mel(sr=AUDIO_RATE_HZ, n_fft=audio._FFT, n_mels=audio._BANDS)
    np.testing.assert_allclose(audio._mel_filters().toarray(), theirs, atol=1e-7)


@pytest.mark.parametrize("sound", [noise(1), tone(1), noise(1, 1e-4)], ids=["noise", "tone", "hiss"])
def test_mel_power_and_onset_strength_are_librosas(sound: Samples) -> None:
    theirs = librosa.feature.melspectrogram(
        y=sound, sr=AUDIO_RATE_HZ, n_fft=audio._FFT, hop_length=audio._HOP, n_mels=audio._BANDS, center=False
    )
    mine = audio._mel_power(sound)
    np.testing.assert_allclose(mine, theirs.T, rtol=1e-3, atol=1e-9)
    level_db = librosa.power_to_db(theirs, amin=audio._POWER_FLOOR, top_db=audio._TOP_DB)
    strength = librosa.onset.onset_strength(S=level_db, sr=AUDIO_RATE_HZ, lag=1, center=False)
    np.testing.assert_allclose(audio._onset_strength(mine), strength[1:], atol=1e-3)


def test_loudness_is_the_level_of_librosas_rms() -> None:
    sound = noise(0.5)
    theirs = librosa.feature.rms(y=sound, frame_length=len(sound), hop_length=len(sound), center=False)
    assert audio._loudness_db(sound) == pytest.approx(20 * np.log10(theirs.item()), abs=1e-4)


def test_onset_strength_peaks_where_people_heard_onsets_and_nowhere_else(real_media: Path) -> None:
    rate_hz, stored = wavfile.read(real_media / "sounds" / "madmom_sample.wav")
    sound = resample_poly(stored / 32768, AUDIO_RATE_HZ, rate_hz).astype(np.float32)
    strength = audio._onset_strength(audio._mel_power(sound))
    peaks, _ = find_peaks(strength, height=np.median(strength) + 1, distance=3)
    middles_s = ((peaks + 1) * audio._HOP + audio._FFT / 2) / AUDIO_RATE_HZ
    heard_s = np.loadtxt(real_media / "sounds" / "madmom_sample.onsets")
    np.testing.assert_allclose(middles_s, heard_s, atol=0.025)


def test_cheers_stand_out_where_they_begin(real_media: Path, read_slices: SliceReading) -> None:
    said = FEATURE.extract(read_slices(real_media / "synth" / "skate_with_cheer.mp4", FEATURE.needs))
    middle = np.nanmedian(said, axis=0)
    spread = np.maximum(
        1.4826 * np.nanmedian(np.abs(said - middle), axis=0), [signal.min_spread for signal in FEATURE.signals]
    )
    deviations = (said - middle) / spread
    begin = [16, 24, 44]  # at 8.4, 12.2 and 22.1 s
    assert (deviations[begin] > 5).all()
    assert np.nanmax(np.delete(deviations[:, ONSET], begin)) < 2


@pytest.mark.parametrize("name", ["pancake_flips.mkv", "shots_bbb_0_30_vp8.webm", "dance_musepose.mp4"])
def test_twice_the_level_leaves_the_order_of_moments(real_media: Path, read_slices: SliceReading, name: str) -> None:
    slices = read_slices(real_media / "videos" / name, FEATURE.needs)
    louder = [Slice(piece.stream, piece.n, audio=None if piece.audio is None else 2 * piece.audio) for piece in slices]
    before, after = FEATURE.extract(slices), FEATURE.extract(louder)
    for column in range(len(FEATURE.signals)):
        correlation = spearmanr(before[:, column], after[:, column], nan_policy="omit").statistic
        assert correlation == pytest.approx(1, abs=1e-3)
