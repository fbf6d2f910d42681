"""Settings: one definition that flags, environment, TOML and documentation agree on."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipstream.cli.options import load_settings
from clipstream.errors import UsageError
from clipstream.settings import Settings, options
from clipstream.settings.configuration import read_environment, read_toml
from clipstream.settings.option import Option, duration_text, parse_duration
from clipstream.settings.pages import options_page

PROMPTS = (("a goal, late", 2.0), ("a", 1.0), ("=b", 1.0))

# A value other than the default for every option: as text, as TOML, and as it ends up in the settings.
GIVEN: dict[str, tuple[str, str, Any]] = {
    "preset": ("talk", '"talk"', "talk"),
    "top": ("4", "4", 4),
    "target_duration": ("1m30s", '"1m30s"', 90.0),
    "percentile": ("75", "75", 75.0),
    "floor": ("2.5", "2.5", 2.5),
    "policy": ("running", '"running"', "running"),
    "horizon": ("1:30", "90", 90.0),
    "weight": ("motion=1,audio=0.5", "{motion = 1, audio = 0.5}", (("audio", 0.5), ("motion", 1.0))),
    "prompt": ("a goal, late=2;a; =b", '{"a goal, late" = 2, a = 1, "=b" = 1}', PROMPTS),
    "avoid": ("an advertisement", '["an advertisement"]', (("an advertisement", 1.0),)),
    "smoothing": ("median", '"median"', "median"),
    "smoothing_width": ("2s", "2", 2.0),
    "context_before": ("0", "0.0", 0.0),
    "context_after": ("3", "3", 3.0),
    "min_length": ("1.5s", "1.5", 1.5),
    "max_length": ("1m", '"1m"', 60.0),
    "merge_gap": ("2", "2", 2.0),
    "window": ("10", "10", 10.0),
    "hop": ("2.5", "2.5", 2.5),
    "features": ("motion,audio", '["motion", "audio"]', ("motion", "audio")),
    "analysis_fps": ("0", "0", 0.0),
    "scan": ("true", "true", True),
    "pose_fps": ("10", "10", 10.0),
    "pose_size": ("1280", "1280", 1280),
    "embedding_fps": ("0.1", "0.1", 0.1),
    "pose_model": ("people.pt", '"people.pt"', "people.pt"),
    "embedding_model": ("ViT-B-32:mine.pt", '"ViT-B-32:mine.pt"', "ViT-B-32:mine.pt"),
    "cut": ("copy", '"copy"', "copy"),
    "crf": ("23", "23", 23),
    "codec": ("hevc", '"hevc"', "hevc"),
    "container": ("mkv", '"mkv"', "mkv"),
    "join": ("true", "true", True),
    "out": ("elsewhere", '"elsewhere"', "elsewhere"),
    "save": ("poses,embeddings", '["poses", "embeddings"]', ("poses", "embeddings")),
    "force": ("yes", "true", True),
    "workers": ("2", "2", 2),
    "device": ("cpu", '"cpu"', "cpu"),
    "decode_threads": ("3", "3", 3),
    "epoch": ("1s", "1", 1.0),
    "log_level": ("debug", '"debug"', "debug"),
    "log_format": ("json", '"json"', "json"),
    "for": ("2h", '"2h"', 7200.0),
    "keep": ("30m", "1800", 1800.0),
    "keep_size": ("0.5", "0.5", 0.5),
    "record": ("tapes", '"tapes"', "tapes"),
    "rtsp_transport": ("udp", '"udp"', "udp"),
    "stall": ("10", "10", 10.0),
    "credentials": ("cameras.txt", '"cameras.txt"', "cameras.txt"),
    "allow_private": ("true", "true", True),
    "on_clip": ("say 'one, two'\nls", """["say 'one, two'", "ls"]""", ("say 'one, two'", "ls")),
    "webhook": ("http://a/b", '["http://a/b"]', ("http://a/b",)),
    "metrics": ("9100", '"9100"', "9100"),
}

# A preset sets others as well: tests/test_presets.py has what can be said of it.
SINGLE = [option for option in options() if option.key != "preset"]

# What has to be given beside an option, for it to make sense.
BESIDE: dict[str, dict[str, Any]] = {"codec": {"cut": "encode"}}


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in options():
        monkeypatch.delenv(option.variable, raising=False)


def test_the_table_of_values_above_names_every_option() -> None:
    assert GIVEN.keys() == {option.key for option in options()}


@pytest.mark.parametrize("option", SINGLE, ids=lambda option: option.key)
def test_an_option_can_be_given_as_flag_as_variable_and_in_toml(
    option: Option, no_variables: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text, toml, value = GIVEN[option.key]
    config = tmp_path / "options.toml"
    config.write_text(f"{option.key} = {toml}\n")
    beside = BESIDE.get(option.key, {})
    wanted = Settings(**beside, **{option.name: value})
    assert wanted != Settings(**beside)

    flag: Any = value if option.kind == "bool" else text.split(option.separator) if option.repeatable else text
    assert load_settings({**beside, option.name: flag}, None) == wanted
    assert load_settings(beside, config) == wanted
    monkeypatch.setenv(option.variable, text)
    assert load_settings(beside, None) == wanted


@pytest.mark.parametrize(
    ("toml", "variable", "flags", "wins"),
    [
        ("", None, {}, "highlights"),
        ("out = 'file'", None, {}, "file"),
        ("out = 'file'", "variable", {}, "variable"),
        ("out = 'file'", "variable", {"out": "flag"}, "flag"),
        ("out = 'file'", "", {}, "file"),
    ],
)
@pytest.mark.usefixtures("no_variables")
def test_flag_wins_over_variable_over_file_over_default(
    toml: str,
    variable: str | None,
    flags: dict[str, str],
    wins: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / "options.toml"
    config.write_text(toml)
    if variable is not None:
        monkeypatch.setenv("CLIPSTREAM_OUT", variable)
    assert load_settings(flags, config).out == wins


def test_toml_keys_may_have_dashes_and_tables(tmp_path: Path) -> None:
    config = tmp_path / "options.toml"
    config.write_text("target-duration = 60\n[weight]\nmotion = 2\n")
    assert read_toml(config, options()) == {"target_duration_s": 60.0, "weight": (("motion", 2.0),)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1m30s", 90),
        ("1m30", 90),
        ("1:30", 90),
        ("1:02:03.5", 3723.5),
        ("2h", 7200),
        ("1.5h", 5400),
        ("0.25", 0.25),
        ("0", 0),
    ],
)
def test_a_duration_is_written_as_people_do(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "1s1m", "1:60", "1:75:00", "-1", "1e3", "1 m", "nan", "five", "1:2:3:4", "٣"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@given(st.integers(0, 10**8))
def test_a_duration_reads_back_from_its_text(duration_ms: int) -> None:
    assert parse_duration(duration_text(duration_ms / 1000)) == duration_ms / 1000


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"top": "0"}, "--top is 0; the smallest allowed is 1."),
        ({"top": "many"}, "--top is 'many'; give a whole number."),
        ({"crf": "52"}, "--crf is 52; the largest allowed is 51."),
        ({"target_duration_s": "soon"}, "--target-duration is 'soon'; give seconds, or a time such as 90s, 1m30s"),
        ({"horizon_s": "5s"}, "--horizon is 5s; the smallest allowed is 10s."),
        ({"smoothing": "gausian"}, "--smoothing is 'gausian'; did you mean 'gaussian'?"),
        ({"policy": "x"}, "--policy is 'x'; choose one of auto, whole, running."),
        ({"weight": ("motion",)}, "--weight is 'motion'; give NAME=NUMBER."),
        ({"weight": ("motion=-1",)}, "--weight has motion=-1; give 0 or more."),
        ({"prompt": ("a goal", "")}, "--prompt: a prompt is empty; say in a few words what to look for."),
        ({"prompt": ("  ",)}, "--prompt: a prompt is empty; say in a few words what to look for."),
        ({"avoid": ("=2",)}, "--avoid: a prompt is empty; say in a few words what to look for."),
        ({"prompt": ("a", "b", "a=3")}, "--prompt has 'a' more than once; give it once, with one weight."),
        ({"on_clip": (" ",)}, "--on-clip is ''; give one or more texts."),
        ({"floor": "nan"}, "--floor is nan; give a finite number."),
        ({"out": ""}, "--out is ''; give a text."),
        ({"min_length_s": "40"}, "min_length is 40s and max_length is 30s; make the minimum the smaller."),
        ({"target_duration_s": "1"}, "target_duration is 1s and min_length is 2s: not one clip would fit"),
        ({"hop_s": "6"}, "hop is 6s and window is 5s: windows would leave gaps"),
        ({"hop_s": "0.7"}, "hop is 0.7s: windows are made of half-second slices; use a multiple of 0.5s."),
        ({"policy": "running", "top": "3"}, "top and target_duration choose among all highlights"),
        ({"codec": "hevc"}, "codec is hevc and cut is smart, which keeps the source's; add --cut encode"),
        ({"codec": "av1", "cut": "copy"}, "codec is av1 and cut is copy, which keeps the source's; add --cut encode"),
        ({"codec": "h264", "cut": "encode", "container": "webm"}, "codec is h264 and container is webm, which cannot"),
    ],
)
def test_a_wrong_flag_is_one_line_that_names_it(flags: dict[str, Any], message: str, no_variables: None) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(flags, None)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_variables")
def test_the_text_of_one_flag_is_one_prompt_or_command_whatever_it_holds() -> None:
    settings = load_settings({"prompt": ("a man; then a cheer=2", "rain"), "on_clip": ("say one\nsay two",)}, None)
    assert settings.prompt == (("a man; then a cheer", 2.0), ("rain", 1.0))
    assert settings.on_clip == ("say one\nsay two",)


def test_what_is_written_of_who_is_told_is_hosts_and_programs_alone() -> None:
    settings = Settings(
        on_clip=("/opt/upload --key 'T0 KEN' {clip}", "ls", "say 'T0KEN"),
        webhook=("https://me:T0KEN@chat.test:8443/T0KEN?a=T0KEN", "http://host"),
    )
    written = settings.as_dict()
    assert written["on_clip"] == ["upload …", "ls", "…"]
    assert written["webhook"] == ["https://chat.test:8443/…", "http://host/…"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("CLIPSTREAM_PROMPT", "a; b; a=2", "CLIPSTREAM_PROMPT has 'a' more than once; give it once, with one weight."),
        ("CLIPSTREAM_TOP", "0", "CLIPSTREAM_TOP is 0; the smallest allowed is 1."),
        ("CLIPSTREAM_SCAN", "maybe", "CLIPSTREAM_SCAN is 'maybe'; give true or false."),
        ("CLIPSTREAM_TOPP", "3", "CLIPSTREAM_TOPP: there is no such variable; did you mean 'CLIPSTREAM_TOP'?"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_environment({name: text, "PATH": "/bin"}, options())
    assert str(caught.value) == message


def test_the_folder_of_weights_is_no_unknown_variable() -> None:
    assert read_environment({"CLIPSTREAM_WEIGHTS": "/weights"}, options()) == {}


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("topp = 3", "there is no option 'topp'; did you mean 'top'?"),
        ("zzz = 3", "there is no option 'zzz'; 'clipstream --help' lists them."),
        ("target_duration_s = 3", "there is no option 'target_duration_s'; did you mean 'target_duration'?"),
        ("top = 2.5", "top is 2.5; give a whole number."),
        ("top = true", "top is True; give a whole number."),
        ("top = inf", "top is inf; give a whole number."),
        ("scan = 1", "scan is 1; give true or false."),
        ("features = [1]", "features is [1]; give one or more names."),
        ("weight = {motion = true}", "weight is {'motion': True}; give NAME=NUMBER."),
        ("window = -1", "window is -1s; the smallest allowed is 0.5s."),
        ("top 3", "no TOML file ("),
    ],
)
def test_a_wrong_file_is_named(toml: str, message: str, tmp_path: Path) -> None:
    config = tmp_path / "options.toml"
    config.write_text(toml)
    with pytest.raises(UsageError) as caught:
        read_toml(config, options())
    assert str(caught.value).startswith(f"{config}: {message}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: there is no such configuration file"):
        read_toml(tmp_path / "none.toml", options())
    with pytest.raises(UsageError, match="the configuration file cannot be read"):
        read_toml(tmp_path, options())


def test_the_fingerprint_changes_with_what_shapes_the_result_and_with_nothing_else() -> None:
    for option in SINGLE:
        usual = Settings(**BESIDE.get(option.key, {}))
        changed = dataclasses.replace(usual, **{option.name: GIVEN[option.key][2]})
        assert (changed.fingerprint() != usual.fingerprint()) == option.shapes_result, option.name


def test_a_mapping_of_raw_values_makes_settings() -> None:
    assert Settings.from_mapping({"top": 3, "window": "10s"}) == Settings(top=3, window_s=10.0)
    with pytest.raises(UsageError, match="did you mean 'window'"):
        Settings.from_mapping({"windows": 3})


def test_the_documented_table_of_options_is_up_to_date() -> None:
    documented = Path(__file__).parents[1] / "docs" / "options.md"
    assert documented.read_text(encoding="utf-8") == options_page()
