"""CLIP models with random weights, made from a configuration: small, but everything in them is really run."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch

NAME = "tiny-clip"

_CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def make_tiny_clip(folder: Path, suffix: str = ".pt", name: str = NAME, **more: Any) -> tuple[Path, Any]:
    """Let open_clip know the model `name`, and write random weights of it; return their path and the model."""
    (folder / f"{name}.json").write_text(json.dumps(_CONFIG | more))
    open_clip.add_model_config(folder / f"{name}.json")
    torch.manual_seed(1)
    model = open_clip.create_model(name).eval()
    path = folder / f"tiny{suffix}"
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path)
    return path, model
