"""A short scene with people and sound for whoever has no footage at hand, drawn and played by numbers alone."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from clipstream.media.demo.park import Park
from clipstream.media.demo.script import DURATION_S, MOMENTS, Moment, draw_people
from clipstream.media.demo.sound import RATE_HZ, make_sound

__all__ = ["MOMENTS", "DemoTruth", "Moment", "make_demo"]

_WIDTH_PX, _HEIGHT_PX, _RATE_HZ = 640, 360, 30
_OVERSAMPLING = 2
_SAMPLES = 1024
_SEED = 2


@dataclass(frozen=True, slots=True)
class DemoTruth:
    """What is in the demo.

    Attributes:
        duration_s: How long it is.
        moments: What is worth keeping in it.
    """

    duration_s: Fraction
    moments: tuple[Moment, ...]


def make_demo(path: Path) -> DemoTruth:
    """Write the scene as MP4, 640×360 at 30 frames a second in H.264, mono AAC. The same every time.

    Raises:
        OSError: It cannot be written.
    """
    park = Park(_WIDTH_PX * _OVERSAMPLING, _HEIGHT_PX * _OVERSAMPLING, np.random.default_rng(_SEED))
    sound = make_sound(np.random.default_rng(_SEED))
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.metadata["title"] = "clipstream demo"
        video = container.add_stream("libx264", rate=_RATE_HZ, options={"preset": "veryfast", "crf": "20"})
        video.width, video.height, video.pix_fmt = _WIDTH_PX, _HEIGHT_PX, "yuv420p"
        video.gop_size = 2 * _RATE_HZ
        audio = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        audio.bit_rate = 128_000
        played = 0
        for number in range(int(DURATION_S * _RATE_HZ)):
            picture = park.at(number / _RATE_HZ)
            draw_people(picture, number / _RATE_HZ)
            small = cv2.resize(picture, (_WIDTH_PX, _HEIGHT_PX), interpolation=cv2.INTER_AREA).astype(
                np.uint8, copy=False
            )
            frame = av.VideoFrame.from_ndarray(small, "bgr24")
            frame.pts, frame.time_base = number, Fraction(1, _RATE_HZ)
            container.mux(video.encode(frame))
            while played * _RATE_HZ < (number + 1) * RATE_HZ and played < len(sound):
                samples = av.AudioFrame.from_ndarray(sound[None, played : played + _SAMPLES], "fltp", "mono")
                samples.sample_rate, samples.pts = RATE_HZ, played
                container.mux(audio.encode(samples))
                played += samples.samples
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return DemoTruth(DURATION_S, MOMENTS)
