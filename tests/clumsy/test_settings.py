"""Settings mean what a person means by them, or are refused with the reason, before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sofdata.bench.study.config import load_bench_config
from sofdata.config.overrides import once
from sofdata.config.section import Section
from sofdata.errors import ConfigError
from sofdata.ingest.config import load_config
from sofdata.train.config import load_train_config
from tests.helpers import sofdata

Load = Callable[..., Section]
LOADERS: tuple[Load, ...] = (load_config, load_train_config, load_bench_config)


def value(key: str, config: Section) -> Any:
    found: Any = config
    for part in key.split("."):
        found = getattr(found, part)
    return found


def given(override: str, load: Load = load_config) -> Any:
    return value(override.partition("=")[0].strip(), load(None, [override]))


def refusal(*overrides: str, load: Load = load_config, recipe: str | None = None) -> str:
    with pytest.raises(ConfigError) as error:
        load(recipe, list(overrides))
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str | bytes], str]:
    def write(text: str | bytes) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("windows.length=010", 10),  # 8 to YAML 1.1
        ("windows.length=1_0", 10),
        ("windows.length=1e1", 10),  # a text to YAML 1.1
        ("windows.length = 12 ", 12),
        ('windows.length="9"', 9),
        ("flow.step_s=1e-1", 0.1),
        ("flow.model_size=[0512, 640]", (512, 640)),
        ("flow.model_args={splits: [1, 010], rate: 1e-3, on: yes}", None),
    ],
)
def test_numbers_are_read_as_a_person_writes_them(override: str, meant: Any) -> None:
    found = given(override)
    assert found == (meant or {"splits": [1, 10], "rate": 0.001, "on": "yes"})


@pytest.mark.parametrize("number", ["0x10", "0o17", "1:30", "8.5", "true", "1,5", "eight", "[8]"])
def test_what_is_no_plain_number_is_refused_with_what_was_got(number: str) -> None:
    message = refusal(f"windows.length={number}")
    assert message.startswith("'windows.length': ")
    assert "got" in message


@pytest.mark.parametrize("number", ["inf", "-inf", ".inf", "nan", ".nan", "NaN", "1e999"])
@pytest.mark.parametrize("load", LOADERS)
def test_no_setting_takes_a_number_that_is_not_finite(number: str, load: Load) -> None:
    for key in _keys(load(None), float):
        assert "finite number" in refusal(f"{key}={number}", load=load), key


@pytest.mark.parametrize("load", LOADERS)
def test_no_setting_takes_a_number_that_a_later_step_cannot_store(load: Load) -> None:
    for key in _keys(load(None), int):
        refusal(f"{key}={10**20}", load=load)
        refusal(f"{key}={-(10**20)}", load=load)
    for key in _keys(load(None), float):
        refusal(f"{key}=1e300", load=load)


@pytest.mark.parametrize("load", LOADERS)
def test_no_number_takes_a_truth_value(load: Load) -> None:
    for key in _keys(load(None), (int, float)):
        assert "number" in (message := refusal(f"{key}=true", load=load)) or "integer" in message


def _keys(section: Section, kind: Any, prefix: str = "") -> list[str]:
    """The settings whose default is a number of this kind."""
    found = []
    for name in type(section).model_fields:
        inner = getattr(section, name)
        if isinstance(inner, Section):
            found += _keys(inner, kind, f"{prefix}{name}.")
        elif isinstance(inner, kind) and not isinstance(inner, bool):
            found.append(prefix + name)
    assert found or prefix
    return found


@pytest.mark.parametrize("word", ["none", "None", "null", "~"])
def test_no_limit_is_said_by_a_word(word: str) -> None:
    assert given(f"flow.max_step_s={word}") is None
    assert given(f"skill.optim.epochs={word}", load_train_config) is None


def test_infinity_in_the_place_of_no_limit_is_told_the_word_for_it() -> None:
    assert "or null" in refusal("flow.max_step_s=inf")


@pytest.mark.parametrize(("word", "meant"), [("off", False), ("No", False), ("on", True)])
def test_words_of_yes_and_no_are_truth_values_where_one_is_wanted(word: str, meant: bool) -> None:
    assert given(f"run.isolate={word}") is meant
    assert given("windows.camera=off") == "off"


@pytest.mark.parametrize(
    "text",
    [
        "'push' in text",
        'text == "push: left # 3"',
        "label = 'it''s'",
        "a = 'b' and c = 'd'",
        "0123",
        "yes",
        "{a}_{b}.mp4",
        "[x]",
        "",
    ],
)
def test_a_text_is_taken_as_it_stands(text: str) -> None:
    assert given(f"skill.data.where={text}", load_train_config) == text


def test_a_text_in_quotes_of_its_own_is_read_without_them() -> None:
    assert given("manifest.id='010'") == "010"
    assert given('manifest.text=""') == ""


def test_a_seed_has_up_to_63_bits() -> None:
    assert given(f"machine.seed={2**63 - 1}", load_train_config) == 2**63 - 1
    for seed in (2**63, 2**64, -1):
        assert "'machine.seed'" in refusal(f"machine.seed={seed}", load=load_train_config)


def test_a_window_that_its_codec_cannot_store_is_refused_before_work() -> None:
    message = refusal("windows.length=512", "windows.size=256")
    assert "codec.name float16" in message
    assert load_config(None, ["windows.length=512", "windows.size=256", "codec.name=float16"])


def test_more_codes_than_can_be_numbered_are_refused() -> None:
    levels = "skill.model.levels=[1000, 1000, 1000, 1000]"
    assert "more codes than can be numbered" in refusal(levels, load=load_train_config)


@pytest.mark.parametrize("load", [load_train_config, load_bench_config])
def test_one_setting_changes_no_other(load: Load) -> None:
    """A stage has defaults of its own, which a neighbour's setting once put back to the general."""
    plain, changed = load(None), load(None, ["skill.optim.lr=0.004", "planner.data.loaders=0"])
    for key in _keys(plain, (int, float)):
        if key not in ("skill.optim.lr", "planner.data.loaders"):
            assert value(key, plain) == value(key, changed), key


def test_a_setting_that_is_given_two_values_is_refused_with_both(tmp_path: Path) -> None:
    twice = ("--set", "flow.size=64", "--set", "flow.size=128")
    done = sofdata("ingest", tmp_path, tmp_path / "d", *twice)
    assert done.returncode == 2
    assert "'flow.size' is given twice, as '64' and as '128'" in done.stderr
    assert once(["flow.size=64", "flow.size = 64"])


def test_an_option_and_a_setting_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    arguments = ("--workers", "2", "--set", "run.workers=3")
    done = sofdata("ingest", tmp_path, tmp_path / "d", *arguments)
    assert done.returncode == 2
    assert "'run.workers' is given twice" in done.stderr


def test_settings_of_a_section_and_of_its_keys_are_joined() -> None:
    config = load_config(None, ["flow.step_s=0.2", "flow={size: 64}"])
    assert (config.flow.step_s, config.flow.size) == (0.2, 64)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("flow", "needs the form key=value"),
        ("=3", "needs the form key=value"),
        ("flow..size=3", "needs the form key=value"),
        ("flow.size=", "has no value"),
        ("windows.length=~", "a value is missing"),
        ("flow=5", "this is a section: its keys are estimator, quality, size"),
        ("flow.model_size=512", "a list is expected, as in [1, 2]"),
        ("FLOW.SIZE=64", "did you mean 'flow'"),
        ("windows.lenght=8", "did you mean 'windows.length'"),
        ("windows.length={a: 1}", "'windows.length'"),
        ("windows.length=!!python/object/apply:os.getcwd []", "settings are plain values"),
    ],
)
def test_a_setting_that_cannot_be_read_is_refused_with_the_reason(
    override: str, message: str
) -> None:
    assert message in refusal(override)


@pytest.mark.parametrize(
    "text",
    [
        "flow.size: 64\nwindows.length: 12\n",
        "flow: {size: 64}\nwindows.length: 012\n",
        "\ufeffflow:\r\n  size: 64\r\nwindows:\r\n  length: 12\r\n",
        '{"flow": {"size": 64}, "windows": {"length": 12}}',
        "flow:\n  size: 64\nwindows: &w\n  length: 12\nimages:\n",
    ],
)
def test_a_recipe_is_read_however_it_is_written(text: str, recipe: Callable[[str], str]) -> None:
    config = load_config(recipe(text))
    assert (config.flow.size, config.windows.length) == (64, 12)
    assert config.images == load_config(None).images


BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flow:\n  size: 64\n  size: 65\n", "line 3: the key 'size' stands there a second time"),
        ("flow: {size: 64}\nflow.size: 65\n", "line 2: the key 'flow.size' stands"),
        ("flow:\n  size: 1\nvideo: {}\nflow:\n  step_s: 1\n", "line 4: the key 'flow' stands"),
        ("flow:\n\tsize: 64\n", "line 2, a tab: indent with spaces"),
        ("- flow\n", "must hold keys and values, as in 'flow:', not a list"),
        ("flow\n", "must hold keys and values"),
        ("[a]: 3\n", "a key must be a word"),
        ("1: 2\n", "unknown key '1'"),
        ("flow: {size: 64\n", "is not YAML"),
        ("flow: !!python/object:os.system {}\n", "line 1: the tag !!python/object:os.system is"),
        ("---\nflow: {}\n---\nflow: {}\n", "expected a single document"),
        (BOMB, "there are too many values"),
        ("a: &a [*a]\n", "there are too many values"),
        ("[" * 10_000, "is nested too deeply"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not YAML"),
        (b" " * (2 << 20), "is larger than 1 MiB"),
    ],
    ids=lambda text: str(text)[:20],
)
def test_a_recipe_that_cannot_be_meant_is_refused_with_the_line(
    text: str | bytes, message: str, recipe: Callable[[str | bytes], str]
) -> None:
    assert message in refusal(recipe=recipe(text))


@pytest.mark.parametrize("name", ["", ".", "/dev/null/x", "/proc/self/mem", "a\0b"])
def test_a_recipe_that_is_no_file_is_refused(name: str) -> None:
    assert "cannot read recipe" in refusal(recipe=name)
