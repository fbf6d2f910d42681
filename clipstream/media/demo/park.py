"""The place of the demo scene: sky, hills, trees, a path, and the clouds that drift over it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clipstream.media.demo.figure import Colour, Picture, shade

__all__ = ["Park"]

_SKY_TOP, _SKY_LOW = (232, 190, 132), (222, 236, 250)
_GRASS_FAR, _GRASS_NEAR = (118, 190, 150), (72, 142, 96)
_PATH, _PATH_EDGE = (176, 208, 226), (146, 182, 204)
_HORIZON = 0.56


class Park:
    """Draws the empty scene.

    Args:
        width_px: Width of the picture.
        height_px: Height of the picture.
        random: Decides where leaves and flowers are.
    """

    def __init__(self, width_px: int, height_px: int, random: np.random.Generator) -> None:
        self._width, self._height, self._random = width_px, height_px, random
        self._picture = self._sky()
        self._hills()
        self._meadow()
        for x, base, size in ((0.07, 0.63, 0.33), (0.9, 0.62, 0.38), (0.74, 0.59, 0.2), (0.235, 0.585, 0.17)):
            self._tree(x, base, size)
        self._flowers()
        self._clouds = [self._cloud(scale) for scale in (1.0, 0.7, 0.55)]

    def at(self, time_s: float) -> Picture:
        """Return a fresh picture of the scene at a time."""
        picture = self._picture.copy()
        for (light, clear), x, y, speed in zip(
            self._clouds, (0.1, 0.46, 0.76), (0.09, 0.2, 0.07), (0.006, 0.004, 0.005), strict=True
        ):
            self._paste(picture, light, clear, round((x + speed * time_s) * self._width), round(y * self._height))
        return picture

    def _sky(self) -> Picture:
        down = np.linspace(0, 1 / _HORIZON, self._height)[:, None, None].clip(0, 1)
        sky = np.array(_SKY_TOP) * (1 - down) + np.array(_SKY_LOW) * down
        rows, columns = np.mgrid[: self._height, : self._width]
        distance = np.hypot(columns - 0.8 * self._width, rows - 0.2 * self._height) / self._height
        glow = np.exp(-((distance / 0.22) ** 2))[..., None]
        picture: Picture = (sky * (1 - 0.55 * glow) + np.array((190, 238, 255)) * 0.55 * glow).astype(np.uint8)
        cv2.circle(
            picture, (round(0.8 * self._width), round(0.2 * self._height)), round(0.055 * self._height),
            (202, 244, 255), cv2.FILLED, cv2.LINE_AA,
        )  # fmt: skip
        return picture

    def _hills(self) -> None:
        x = np.linspace(0, 1, 200)
        for height, waves, phase, colour in (
            (0.16, 2.1, 0.4, (206, 196, 158)),
            (0.105, 3.3, 2.2, (176, 190, 140)),
            (0.06, 4.6, 4.0, (146, 188, 134)),
        ):
            top = _HORIZON - height * (0.55 + 0.3 * np.sin(waves * 2 * x + phase) + 0.15 * np.sin(7 * x + phase))
            self._fill(np.concatenate([np.stack([x, top], 1), [(1, 0.7), (0, 0.7)]]), colour)

    def _meadow(self) -> None:
        first = round(_HORIZON * self._height)
        down = np.linspace(0, 1, self._height - first)[:, None, None]
        grass = np.array(_GRASS_FAR) * (1 - down) + np.array(_GRASS_NEAR) * down
        noise = self._random.normal(0, 1, (self._height - first, self._width))
        grain = cv2.GaussianBlur(noise, (0, 0), sigmaX=3, sigmaY=1)
        self._picture[first:] = (grass + 9 * grain[..., None]).clip(0, 255).astype(np.uint8)
        x = np.linspace(0, 1, 60)
        bend = 0.008 * np.sin(5 * x)
        for top, bottom, colour in ((0.735, 0.885, _PATH_EDGE), (0.742, 0.878, _PATH)):
            upper, lower = np.stack([x, top + bend], 1), np.stack([x, bottom - bend], 1)
            self._fill(np.concatenate([upper, lower[::-1]]), colour)
        for _ in range(260):
            spot = self._at(self._random.uniform(0, 1), self._random.uniform(0.752, 0.868))
            cv2.ellipse(self._picture, (spot, (5, 2), 0), shade(_PATH, self._random.uniform(0.93, 1.04)), cv2.FILLED)

    def _tree(self, x: float, base: float, size: float) -> None:
        foot = self._at(x, base)
        tall = size * self._height
        trunk = [(-0.06, 0), (-0.035, -0.55), (0.035, -0.55), (0.06, 0)]
        points = np.array([(foot[0] + a * tall, foot[1] + b * tall) for a, b in trunk]).round().astype(np.int32)
        cv2.ellipse(self._picture, (foot, (0.9 * tall, 0.09 * tall), 0), (92, 158, 118), cv2.FILLED, cv2.LINE_AA)
        cv2.fillPoly(self._picture, [points], (74, 100, 132), cv2.LINE_AA)
        for light in (0.86, 1.0, 1.13):
            for _ in range(16):
                angle, away = self._random.uniform(0, 2 * np.pi), self._random.uniform(0, 0.24)
                offset = light - 1
                spot = (
                    round(foot[0] + tall * (1.15 * away * np.cos(angle) + 0.35 * offset)),
                    round(foot[1] + tall * (-0.72 + 0.95 * away * np.sin(angle) - 0.6 * offset)),
                )
                radius = round(tall * self._random.uniform(0.1, 0.15))
                cv2.circle(self._picture, spot, radius, shade((92, 162, 104), light), cv2.FILLED, cv2.LINE_AA)

    def _flowers(self) -> None:
        colours: list[Colour] = [(120, 110, 240), (96, 210, 250), (250, 244, 250), (226, 150, 200)]
        for _ in range(70):
            y = self._random.choice([self._random.uniform(0.66, 0.72), self._random.uniform(0.91, 0.99)])
            spot = self._at(self._random.uniform(0, 1), float(y))
            radius = max(2, round(self._height * (0.003 if y < 0.8 else 0.0055)))
            colour = colours[self._random.integers(len(colours))]
            cv2.circle(self._picture, spot, radius, colour, cv2.FILLED, cv2.LINE_AA)
            cv2.circle(self._picture, spot, max(1, radius // 3), (110, 190, 235), cv2.FILLED, cv2.LINE_AA)

    def _cloud(self, scale: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what a cloud adds to the picture, and what share of the picture it lets through."""
        height, width = round(0.13 * scale * self._height), round(0.24 * scale * self._width)
        shape = np.zeros((height, width), np.uint8)
        for x, y, radius in ((0.2, 0.66, 0.28), (0.4, 0.48, 0.42), (0.62, 0.56, 0.36), (0.8, 0.7, 0.24)):
            spot = (round(x * width), round(y * height))
            cv2.circle(shape, spot, round(radius * height), 255, cv2.FILLED, cv2.LINE_AA)
        shape[round(0.88 * height) :] = 0
        cover = np.float32(0.85 / 255) * cv2.GaussianBlur(shape, (0, 0), 3)[..., None].astype(np.float32)
        down = np.linspace(1, 0.93, height, dtype=np.float32)[:, None, None]
        return cover * down * np.array((255, 252, 250), np.float32), 1 - cover

    @staticmethod
    def _paste(picture: Picture, light: NDArray[np.float32], clear: NDArray[np.float32], x: int, y: int) -> None:
        place = picture[y : y + light.shape[0], x : x + light.shape[1]]
        inside = slice(place.shape[1])
        place[:] = place * clear[:, inside] + light[:, inside]

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return round(x * self._width), round(y * self._height)

    def _fill(self, points: NDArray[np.float64], colour: Colour) -> None:
        scaled = points * np.array((self._width, self._height)) * 16
        cv2.fillPoly(self._picture, [scaled.round().astype(np.int32)], colour, cv2.LINE_AA, 4)
