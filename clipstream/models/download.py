"""Fetch weights: verified, whole or not at all, and only when somebody asks for it."""

import hashlib
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.models.weights import (
    CATALOGUE,
    WEIGHTS_VARIABLE,
    Found,
    Weights,
    find_weights,
    published,
    sha256_file,
    weights_folder,
)

__all__ = ["Progress", "fetch_weights", "fetchable"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and, if known, all there will be."""

_TIMEOUT_S = 30
_CHUNK_BYTES = 1 << 20
_REDIRECTED = range(300, 400)
_CLIP_FILE = "open_clip_model.safetensors"
"""What every open_clip model on the Hugging Face hub calls the form of its weights that holds no code."""


def fetchable(name: str) -> Weights:
    """Return what to download for `name`: weights of the catalogue, a YOLO pose model, or `MODEL:TAG` of open_clip.

    Raises:
        UsageError: Nobody knows the name, or what is known cannot be had as a file that holds no code.
    """
    if weights := published(name):
        return weights
    model, colon, tag = name.partition(":")
    if not colon:
        known = ", ".join(one.name for one in CATALOGUE)
        raise UsageError(
            f"there is nothing to fetch by the name {name!r}; known are {known}, YOLO pose models such as "
            "yolo11s-pose, and MODEL:TAG of open_clip."
        )
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model  # noqa: PLC0415 - loads torch

    config = get_pretrained_cfg(model, tag)
    if not config:
        tags = ", ".join(list_pretrained_tags_by_model(model))
        raise UsageError(
            f"open_clip knows no weights {name}; "
            + (f"the tags of {model} are {tags}." if tags else f"there is no model {model}, either.")
        )
    repository, _, file = str(config.get("hf_hub", "")).rpartition("/")
    if not repository or (file and not file.endswith(".safetensors")):
        raise UsageError(f"{name} is not published as safetensors; download it and name it as {model}:PATH.")
    return Weights(
        name=name,
        purpose="what a picture shows, and prompts",
        file=f"{name.replace(':', '--')}.safetensors",
        url=f"https://huggingface.co/{repository}/resolve/main/{file or _CLIP_FILE}",
        licence=f"as https://huggingface.co/{repository} says",
    )


def fetch_weights(weights: Weights, progress: Progress = lambda _done, _all: None) -> Found:
    """Download weights into the folder of weights unless they are on this machine already, and return where they are.

    The file appears under its name only when its SHA-256 is the one in the catalogue, or, where that has none, the one
    that the server publishes for it, which is kept beside it. A file there with another checksum is replaced.

    Raises:
        FeatureUnavailableError: The network, the server or the disk fails, or what arrives is not what was published.
    """
    with suppress(FeatureUnavailableError):
        return find_weights(weights.name)
    if weights.url is None:
        return find_weights(weights.name)  # raises what is wrong, and what to do
    target = weights_folder() / weights.file
    part = target.with_name(f".{target.name}.part")
    try:
        expected = weights.sha256 or _published_sha256(weights.url)
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        seen = _download(weights.url, part, progress)
        if seen != expected:
            raise FeatureUnavailableError(
                f"{weights.url}: what arrived is not {weights.name}: its SHA-256 begins {seen[:12]} and should begin "
                f"{expected[:12]}; nothing was kept, try again later."
            )
        with _writing(target):
            sha256_file(target).write_text(f"{seen}  {target.name}\n", encoding="utf-8")
            part.replace(target)
    except (OSError, HTTPException) as error:  # URLError is an OSError, and so is a timeout
        raise FeatureUnavailableError(
            f"{weights.url}: cannot be downloaded ({_said(error)}); check the network, or put the file into "
            f"{target.parent} as {target.name}."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return find_weights(weights.name)


def _download(url: str, part: Path, progress: Progress) -> str:
    digest, done = hashlib.sha256(), 0
    with _open(url) as response:
        length = response.headers.get("Content-Length") or ""
        total = int(length) if length.isdecimal() else None
        with _writing(part):
            file = part.open("wb")
        with file:
            while chunk := response.read(_CHUNK_BYTES):
                with _writing(part):
                    file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress(done, total)
    if total is not None and done < total:
        raise ConnectionError("the connection broke off")
    return digest.hexdigest()


def _published_sha256(url: str) -> str:
    """Ask the hub for the checksum of a large file: it stands in the headers of the redirection to it."""
    try:
        with _open(url, _StayHere, method="HEAD") as response:
            published = response.headers.get("X-Linked-ETag")
    except HTTPError as error:
        if error.code not in _REDIRECTED:
            raise
        published = error.headers.get("X-Linked-ETag")
    published = (published or "").strip('"')
    if not re.fullmatch("[0-9a-f]{64}", published):
        raise FeatureUnavailableError(
            f"{url}: the server publishes no checksum, so what arrives could not be verified; download it yourself and "
            "name it by its path."
        )
    return published


def _open(url: str, *handlers: type[urllib.request.BaseHandler], method: str = "GET") -> HTTPResponse:
    request = urllib.request.Request(url, method=method)  # noqa: S310 - the catalogue and open_clip name no files
    response = urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT_S)
    assert isinstance(response, HTTPResponse)
    return response


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow nothing: the redirection itself is the answer."""


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Tell a disk that fails from a network that fails."""
    try:
        yield
    except OSError as error:
        raise FeatureUnavailableError(
            f"{target}: cannot be written ({error.strerror or error}); free some space, allow writing there, or name "
            f"another folder in {WEIGHTS_VARIABLE}."
        ) from error


def _said(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(getattr(reason, "strerror", None) or reason).split()) or type(error).__name__
