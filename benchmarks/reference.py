"""The way of the reference systems, to compare with: everything at full size, picture by picture, file by file.

    python benchmarks/reference.py cpu CLIP.pt POSE.pt FILE SECONDS

Highlights: two pictures a second, Farneback's flow between them at full size, and CLIP on each alone. Tricks: YOLO on
every second picture, in one program that finds movements and again in one that finds tricks among them. Each program
decodes the file anew. Nothing is made of what they see. The last line says what it took, without imports and loading:
{"wall_s": …, "cpu_s": …}.
"""

import json
import os
import sys
import time
from collections.abc import Iterator

os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}

import cv2
import numpy as np
import open_clip
import torch
from cv2.typing import MatLike
from PIL import Image
from ultralytics.models import YOLO

__all__ = ["highlights", "pictures", "tricks"]


def pictures(file: str, seconds: float, every_s: float) -> Iterator[MatLike]:
    """Yield a picture of full size, BGR, each `every_s` seconds of the first `seconds`; all are decoded."""
    capture = cv2.VideoCapture(file)
    rate_hz = capture.get(cv2.CAP_PROP_FPS)
    step = max(1, round(rate_hz * every_s))
    for index in range(round(rate_hz * seconds)):
        there, picture = capture.read()
        if there and index % step == 0:
            yield picture


def highlights(file: str, seconds: float, model: torch.nn.Module, preprocess: object, device: str) -> None:
    """See a file as the reference for highlights does."""
    before: MatLike | None = None
    for picture in pictures(file, seconds, 1 / 2):
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        if before is not None:
            none = np.empty((*grey.shape, 2), np.float32)
            cv2.calcOpticalFlowFarneback(before, grey, none, 0.5, 3, 15, 3, 5, 1.2, 0)
        before = grey
        image = preprocess(Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)))  # type: ignore[operator]
        with torch.inference_mode():
            model.encode_image(image[None].to(device)).cpu()  # type: ignore[operator]


def tricks(file: str, seconds: float, model: YOLO, device: str) -> None:
    """See a file as the reference for tricks does."""
    for _ in ("movements", "tricks"):
        for picture in pictures(file, seconds, 2 / 30):
            model(picture, verbose=False, device=device)


def main(device: str, clip: str, pose: str, file: str, seconds: str) -> None:
    """See the beginning of a file in both ways, and say what it took."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32", pretrained=clip, device=device)
    model.eval()
    yolo = YOLO(pose)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    highlights(file, float(seconds), model, preprocess, device)
    tricks(file, float(seconds), yolo, device)
    print(json.dumps({"wall_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s}))


if __name__ == "__main__":
    main(*sys.argv[1:])
