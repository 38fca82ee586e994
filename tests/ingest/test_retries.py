"""`sofdata.ingest.retries`: what follows from an error over a video."""

from __future__ import annotations

import pytest

from sofdata.errors import ActionError, DecodeError, FlowError, InputError
from sofdata.ingest.retries import VideoAttempt, next_attempt, status_of
from sofdata.video.decord_reader import DecoderMisbehaved
from sofdata.video.isolate import DecoderDied
from sofdata.video.limits import OverLimit
from sofdata.video.probe import Unusable
from sofdata.video.ranges import RangesSpent

CRASH, HANG = DecoderDied("crash", "it crashed"), DecoderDied("timeout", "it hung")


def test_a_crash_is_retried_once_and_not_counted() -> None:
    first = next_attempt(VideoAttempt("pyav"), CRASH)
    assert first == VideoAttempt("pyav", tries=1, crash_retried=True)
    assert next_attempt(first, CRASH) is None


def test_decord_gives_way_to_pyav_after_its_second_crash() -> None:
    second = next_attempt(VideoAttempt("decord", crash_retried=True), CRASH)
    assert second == VideoAttempt("pyav", tries=2, crash_retried=True)


@pytest.mark.parametrize(
    "error", [HANG, DecoderMisbehaved("x.mp4", "times go back"), OverLimit("over_time", "slow")]
)
def test_what_may_be_decord_s_own_fault_is_tried_with_pyav_and_then_final(error: Exception) -> None:
    second = next_attempt(VideoAttempt("decord"), error)
    assert second == VideoAttempt("pyav", tries=2)
    assert next_attempt(second, error) is None


def test_a_file_that_ranges_do_not_serve_is_copied() -> None:
    attempt = next_attempt(VideoAttempt("pyav"), RangesSpent("enough"))
    assert attempt == VideoAttempt("pyav", copy_whole=True)


@pytest.mark.parametrize("error", [DecodeError("no key frame"), OSError("gone"), FlowError("nan")])
def test_what_is_wrong_with_the_file_itself_is_final(error: Exception) -> None:
    assert next_attempt(VideoAttempt("decord"), error) is None


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Unusable("not_a_video", "a text"), "rejected", "not_a_video"),
        (Unusable("changed", "it has changed"), "quarantined", "changed"),
        (Unusable("missing", "it is gone"), "quarantined", "missing"),
        (OverLimit("over_memory", "too large"), "quarantined", "over_memory"),
        (CRASH, "quarantined", "decoder_crash"),
        (HANG, "quarantined", "decoder_timeout"),
        (OSError("gone"), "quarantined", "unreadable"),
        (ActionError("no row"), "quarantined", "action_error"),
        (DecodeError("no key frame"), "quarantined", "decode_error"),
        (FlowError("nan"), "quarantined", "flow_error"),
        (InputError("the file has shrunk"), "quarantined", "changed"),
    ],
)
def test_only_what_no_other_run_can_change_is_rejected(
    error: Exception, status: str, reason: str
) -> None:
    assert status_of(error) == (status, reason)
