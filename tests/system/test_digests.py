"""Digests that name stored things stay what they are, as these values of earlier versions do."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from sofdata.ingest.libraries import libraries_digest
from sofdata.ingest.units import unit_id, video_inputs
from sofdata.loading.split import Sides
from sofdata.system.digests import json_digest
from sofdata.types import VideoRef

VIDEO = VideoRef(
    id="clip-é",
    uri="a.mp4",
    size_bytes=7,
    fingerprint="f" * 32,
    text="push a cup",
    labels={"split": "train", "b": "ü"},
)
SETTINGS = {"b": [1, 2.5, None, True], "a": {"z": "é", "y": 1e-9}}
SETTINGS_SHA256 = "b8247518307acd60a0f5b83e80e94ac90d5f7f017abcff444c871912e4a56ca0"


def test_units_and_the_inputs_of_videos_keep_their_names() -> None:
    assert unit_id([VIDEO], "c" * 64) == "1d4bc1295ceaeb04"
    assert video_inputs(VIDEO) == "c29897dd2cb20c0c"


def test_configurations_libraries_and_sides_keep_their_digests() -> None:
    assert json_digest(SETTINGS) == SETTINGS_SHA256
    assert libraries_digest({"opencv": "4.11", "av": "17.1", "x": "é"}) == "a9b69843dfd95df7"
    sides = Sides("by hash", ("a/1.tar", "b/é.tar"), ("c.tar",))
    assert sides.sha256 == "3a57a6e1f62ab1bef88e6059f0482e144babdd0e1234a09e8948c4cc0f5a10a1"


def test_the_order_of_keys_and_the_kind_of_mapping_do_not_count() -> None:
    other = MappingProxyType({"a": {"y": 1e-9, "z": "é"}, "b": (1, 2.5, None, True)})
    assert json_digest(other) == SETTINGS_SHA256
    assert json_digest(other, 24) == SETTINGS_SHA256[:24]


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="set has no counterpart"):
        json_digest({"names": {"a", "b"}})
