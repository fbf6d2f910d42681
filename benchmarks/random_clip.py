"""Write a CLIP model of random weights, whose speed is that of a trained one: no package carries one.

python benchmarks/random_clip.py ViT-B-32 FILE.pt
"""

import sys
from pathlib import Path

import open_clip
import torch

__all__ = ["write_random_clip"]


def write_random_clip(architecture: str, path: Path) -> None:
    """Write the weights of an architecture of open_clip, drawn anew, whole or not at all."""
    torch.manual_seed(0)
    part = path.with_stem(f"{path.stem}.part")
    torch.save(open_clip.create_model(architecture).state_dict(), part)
    part.rename(path)


if __name__ == "__main__":
    write_random_clip(sys.argv[1], Path(sys.argv[2]))
