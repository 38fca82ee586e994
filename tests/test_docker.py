"""The images, as far as they can be checked unbuilt: what they name exists and fits."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sofdata.config.recipes import carried
from tests.cluster.compose import ENTRYPOINTS, health_check, read_services, substituted

FOLDER = carried("docker")
ROOT = FOLDER.parent
BIN = Path(sys.executable).parent
FILES = sorted(FOLDER.glob("*.Dockerfile"))
EXTRAS = {"cpu": ["cluster"], "cuda": ["all", "cluster", "ptlflow"]}


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, continued lines joined."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.M).replace("\\\n", " ")
    return [(line.split()[0], line.split(None, 1)[1]) for line in text.splitlines() if line]


def base_of(path: Path) -> str:
    """The one image that all stages of a Dockerfile start from."""
    bases = {words.split()[0] for what, words in instructions(path) if what == "FROM"}
    assert len(bases) == 1
    return bases.pop()


def sent(rel: str) -> bool:
    """Whether .dockerignore lets a path into the build's context: the last rule that fits wins."""
    verdict = True
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        if not rule or rule.startswith("#"):
            continue
        pattern = rule.removeprefix("!")
        if fnmatch(rel, pattern) or rel.startswith(f"{pattern}/"):
            verdict = rule.startswith("!")
    return verdict


def required(extras: list[str]) -> list[str]:
    """What the project asks for with extras, of which some are made of others."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found, waiting = list(project["dependencies"]), list(extras)
    while waiting:
        for line in project["optional-dependencies"][waiting.pop()]:
            requirement = Requirement(line)
            is_own = requirement.name == project["name"]
            waiting += requirement.extras if is_own else []
            found += [] if is_own else [line]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_dockerfile_passes_hadolint(path: Path) -> None:
    done = subprocess.run([BIN / "hadolint", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_its_base_is_pinned_and_its_user_is_not_root(path: Path) -> None:
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base_of(path))
    users = [words for what, words in instructions(path) if what == "USER"]
    assert users[-1] == "1000"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_it_copies_exists_and_is_sent_to_the_build(path: Path) -> None:
    copies = [words.split() for what, words in instructions(path) if what == "COPY"]
    sources = [s for words in copies if not words[0].startswith("--from") for s in words[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert sent(source), source


def test_nothing_else_is_sent_to_the_build() -> None:
    for rel in ("tests", "tests/conftest.py", ".git", ".venv", "docs", "sofdata/__pycache__"):
        assert not sent(rel), rel
    assert not sent("sofdata/__pycache__/cli.cpython-311.pyc")


@pytest.mark.parametrize("image", sorted(EXTRAS))
def test_the_layer_of_requirements_asks_for_the_extras_of_the_image(image: str) -> None:
    runs = [w for what, w in instructions(FOLDER / f"{image}.Dockerfile") if what == "RUN"]
    asked = next(re.findall(r"requirements\.py ([\w ]+) >", run)[0] for run in runs if ".py" in run)
    assert asked.split() == EXTRAS[image]
    done = subprocess.run(
        [sys.executable, FOLDER / "requirements.py", *EXTRAS[image]], capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert len(set(lines)) == len(lines)
    assert set(lines) == set(required(EXTRAS[image]))


def test_the_pins_cover_and_fit_what_the_project_requires() -> None:
    lines = (FOLDER / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines)
    for requirement in map(Requirement, required(EXTRAS["cuda"])):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), (
            requirement
        )


# Compose


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


def test_every_service_is_built_from_a_file_that_is_there(compose: Any) -> None:
    assert set(compose["services"]) == {"films", "head", "s3", "worker"}
    for service in compose["services"].values():
        build = service["build"]
        assert (FOLDER / build["context"] / build["dockerfile"]).is_file()
        kind = Path(build["dockerfile"]).name.split(".")[0]
        assert service["image"] == f"sofdata:{kind}"
        assert {*service.get("depends_on", ())} <= set(compose["services"])


def test_secrets_are_asked_for_and_never_stored(compose: Any) -> None:
    for service in compose["services"].values():
        for name in ("RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY"):
            value = service["environment"].get(name, "${:?}")
            assert re.match(r"\$\{\w*:\?", value)


def test_the_options_of_ray_exist(compose: Any) -> None:
    done = subprocess.run([BIN / "ray", "start", "--help"], capture_output=True, text=True)
    for name in ("head", "worker"):
        service = compose["services"][name]
        assert service["entrypoint"] == ["ray", "start"]
        for word in service["command"]:
            assert word.split("=")[0] in done.stdout


def test_the_program_that_renders_films_compiles(compose: Any) -> None:
    service = compose["services"]["films"]
    assert service["entrypoint"] == ["python", "-c"]
    compile(service["command"][0], "films", "exec")


# What runs the services without an engine


def test_services_are_read_with_their_variables_filled_in() -> None:
    variables = {"RAY_AUTH_TOKEN": "a-token", "AWS_SECRET_ACCESS_KEY": "a-secret"}
    services = read_services(FOLDER / "compose.yaml", variables)
    head, s3 = services["head"], services["s3"]
    assert head.image == "sofdata:cpu"
    assert head.command[:3] == ("ray", "start", "--head")
    assert head.environment["RAY_AUTH_TOKEN"] == "a-token"
    assert s3.environment["AWS_SECRET_ACCESS_KEY"] == "a-secret"
    assert health_check(FOLDER / "compose.yaml", "head")[:2] == ["ray", "health-check"]


def test_a_variable_that_is_not_set_is_an_error() -> None:
    with pytest.raises(KeyError, match="TOKEN"):
        substituted("${TOKEN:?set it}", {})


def test_a_service_without_entrypoint_runs_that_of_its_image() -> None:
    for name, entry in ENTRYPOINTS.items():
        stated = dict(instructions(FOLDER / f"{name}.Dockerfile"))["ENTRYPOINT"]
        assert json.loads(stated) == entry


def test_the_script_that_builds_images_names_each_of_them() -> None:
    script = (FOLDER / "images.sh").read_text()
    assert f"docker.io/library/{base_of(FILES[0])}" in script
    for path in FILES:
        assert re.search(rf"^  {path.name.split('.')[0]}\)", script, flags=re.M)
