"""The rooms of the house: which folder may import what, and that all but one live without Bytewax."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenes import LIGHT, clip_digests, make_scene

import clipstream
from clipstream.media.inputs import Input
from clipstream.run.run import run_job
from clipstream.settings import Settings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "clipstream"
NEVER = {
    "media": {"bytewax", "torch"},
    "models": {"av", "bytewax"},
    "features": {"av", "bytewax"},
    "detect": {"av", "bytewax", "cv2", "torch"},
    "testing": {"bytewax", "cv2", "torch"},
}
BELOW = {
    "media": {"errors", "media", "settings", "timing"},
    "media/recording": {"errors", "media.cut", "media.cutter", "media.probe", "media.recording"},
    "models": {"errors", "memory", "models"},
    "features": {"errors", "features", "media.slices", "models", "settings", "timing"},
    "detect": {
        "detect",
        "errors",
        "failures",
        "features.base",
        "media.slices",
        "results",
        "settings",
        "timing",
    },
    "testing": {"errors", "media", "testing"},
}
"""What of clipstream each of the lower rooms may use; of media, the others know only what a slice is."""


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of every module that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def files(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((PACKAGE / room).rglob("*.py"))]


@pytest.mark.parametrize("room", NEVER)
def test_a_room_keeps_out_the_libraries_of_others(room: str) -> None:
    seen = {(path.name, name) for path in files(room) for name in imports(path) if name.split(".")[0] in NEVER[room]}
    assert seen == set()


@pytest.mark.parametrize("room", BELOW)
def test_a_lower_room_knows_nothing_of_what_is_built_on_it(room: str) -> None:
    own = {(path.name, name) for path in files(room) for name in imports(path) if name.startswith("clipstream.")}
    allowed = tuple(f"clipstream.{name}" for name in BELOW[room])
    assert {
        (file, name) for file, name in own if not (name + ".").startswith(tuple(f"{one}." for one in allowed))
    } == set()


def test_only_the_media_room_and_the_test_kit_import_pyav() -> None:
    users = {path for path in PACKAGE.rglob("*.py") if any(name.split(".")[0] == "av" for name in imports(path))}
    assert {path.relative_to(PACKAGE).parts[0] for path in users} == {"media", "testing"}


def test_nothing_in_the_program_leans_on_the_test_kit() -> None:
    users = {
        path for path in PACKAGE.rglob("*.py") if any(name.startswith("clipstream.testing") for name in imports(path))
    }
    assert {path.relative_to(PACKAGE).parts[0] for path in users} == {"testing"}


def test_only_the_dataflow_room_imports_bytewax() -> None:
    users = {path for path in PACKAGE.rglob("*.py") if any(name.split(".")[0] == "bytewax" for name in imports(path))}
    assert {path.relative_to(PACKAGE).parts[0] for path in users} == {"dataflow"}


def test_flows_use_the_public_names_alone() -> None:
    own = {name for path in (ROOT / "flows").glob("*.py") for name in imports(path) if name.startswith("clipstream")}
    assert own == {"clipstream"}


@pytest.mark.slow
def test_without_bytewax_a_plain_loop_makes_the_same_clips(tmp_path: Path) -> None:
    path = make_scene(tmp_path / "scene.mp4", rate_hz=10)
    blocked = "import sys, runpy; sys.modules['bytewax'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    arguments = map(str, (Path(__file__).with_name("plain_run.py"), tmp_path / "plain", path))
    program = [sys.executable, "-c", blocked, *arguments]
    process = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
    assert process.stdout == "complete\n", process.stderr

    class Silent:
        def __getattr__(self, _: str) -> object:
            return lambda *_: None

    settings = Settings(features=LIGHT, out=str(tmp_path / "flow"), top=2)
    (outcome,) = run_job([Input("scene", path)], settings, Silent())  # type: ignore[arg-type]  # takes every call
    assert outcome.state == "done"
    assert len(clip_digests(tmp_path / "plain")) == 2
    assert clip_digests(tmp_path / "plain") == clip_digests(tmp_path / "flow")


def test_every_public_name_is_there_and_no_other_is_offered() -> None:
    assert list(clipstream.__all__) == sorted(clipstream.__all__)
    for name in clipstream.__all__:
        assert getattr(clipstream, name) is not None
    assert dir(clipstream) == clipstream.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = clipstream.Nonsense


def test_readme_and_docs_name_only_what_is_public() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    imported = re.findall(r"^from clipstream import (.+)$", "\n".join(texts), re.MULTILINE)
    named = {name.strip() for line in imported for name in line.split(",")}
    named |= set(re.findall(r"\bclipstream\.([A-Z]\w+)\b", "\n".join(texts)))
    assert named, "the README shows how the library is used"
    assert named <= set(clipstream.__all__)
