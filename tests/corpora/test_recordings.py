"""`sofdata.corpora.recordings`: what shows the same thing has one name, whatever its file."""

from __future__ import annotations

import pytest

from sofdata.corpora.recordings import LABEL, recording_of
from sofdata.corpora.registry import CORPORA


@pytest.mark.parametrize(
    ("corpus", "one", "other"),
    [
        ("lerobot", {"camera": "top", "episode": "3"}, {"camera": "wrist", "episode": "3"}),
        ("kinetics", {"youtube_id": "x", "split": "train"}, {"youtube_id": "x", "split": "val"}),
        ("ego4d", {"video_uid": "u"}, {"video_uid": "u", "device": "d"}),
        ("panda70m", {"videoID": "v"}, {"videoID": "v", "match": "1"}),
        ("panda70m", {"key": "0000012_00003"}, {"key": "0000012_00004"}),
        ("video2dataset", {"key": "000001234_00000"}, {"key": "000001234_00001"}),
    ],
)
def test_clips_of_a_recording_and_cameras_of_an_episode_have_one_name(
    corpus: str, one: dict[str, str], other: dict[str, str]
) -> None:
    assert recording_of(corpus, one) == recording_of(corpus, other) != ""


@pytest.mark.parametrize(
    ("corpus", "labels"),
    [
        ("folder", {"folder": "a", "episode": "3"}),
        ("manifest", {"episode": "3", "key": "0000012_00003"}),
        ("kinetics", {"label": "abseiling"}),
        ("video2dataset", {"key": "000001234"}),
        ("a corpus of a later version", {}),
    ],
)
def test_elsewhere_the_file_is_all_that_is_known(corpus: str, labels: dict[str, str]) -> None:
    assert recording_of(corpus, labels) == ""


def test_the_corpora_are_those_that_there_are() -> None:
    assert {*LABEL, "video2dataset"} <= {corpus.name for corpus in CORPORA}
