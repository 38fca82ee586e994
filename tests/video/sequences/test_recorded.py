"""Pictures of a topic: which clock counts, and packets of video with what is lost of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from sofdata.errors import ContractError, DecodeError
from sofdata.video.probe import Unusable
from sofdata.video.sequences.clocks import (
    NOT_SET,
    MessageTimes,
    as_int64,
    clocked,
    on_clock_of,
)
from sofdata.video.sequences.images import DamagedImage, picture
from sofdata.video.sequences.messages import known_type
from sofdata.video.sequences.recorded import RecordedPictures
from sofdata.video.sequences.topics import rate_of
from tests.conformance.barcode import read
from tests.robots import proto, video_packets

S = 10**9


def times(
    log: Sequence[float], stamp: Sequence[float | None] = (), publish: Sequence[float] = ()
) -> MessageTimes:
    """Messages of these times, s."""
    stamps = [*stamp] or [None] * len(log)
    return MessageTimes(
        np.array([round(each * S) for each in log], np.int64),
        np.array([round(each * S) for each in publish or log], np.int64),
        np.array([NOT_SET if each is None else round(each * S) for each in stamps], np.int64),
    )


@pytest.mark.parametrize(
    ("stamp", "clock"),
    [
        ([5.0, 5.1, 5.2, 5.3], "stamp"),
        ([105.0, 105.1, 105.2, 105.3], "stamp"),
        ([0.0, 0.1, 0.2, 0.3], "stamp"),
        ([0.0, 0.0, 0.0, 0.0], "log"),
        ([5.0, 5.1, None, 5.3], "log"),
        ([5.0, 5.2, 5.1, 5.3], "log"),
        ([5.0, 5.0, 5.0, 5.3], "log"),
        ([], "log"),
    ],
)
def test_stamps_count_where_they_increase(stamp: list[float | None], clock: str) -> None:
    found = clocked(times([1.0, 1.2, 1.25, 1.4], stamp))
    assert found.clock == clock
    wanted = [0, 0.1, 0.2, 0.3] if clock == "stamp" else [0, 0.2, 0.25, 0.4]
    assert found.times_s().tolist() == pytest.approx(wanted)


def test_a_stamp_that_stands_still_now_and_then_is_a_stamp_all_the_same() -> None:
    stamp: list[float | None] = [each / 10 for each in range(20)]
    stamp[7] = stamp[6]
    found = clocked(times([1 + each / 10 for each in range(20)], stamp))
    assert found.clock == "stamp"
    assert np.diff(found.times_s()).min() == 0  # which sampling leaves out, and counts


def test_a_stamp_of_0_beside_dates_was_never_set() -> None:
    """A driver that had no time yet: the video does not begin in 1970."""
    log = [1.7e9 + each / 10 for each in range(20)]
    stamp: list[float | None] = [0.0, *(each - 0.03 for each in log[1:])]
    found = clocked(times(log, stamp))
    assert found.clock == "log"
    assert found.times_s()[[0, 1, 19]].tolist() == pytest.approx([0, 0.1, 1.9])
    assert found.doubt.startswith("of its 20 stamps 1 are not set, 0 go back")
    asked = clocked(times(log, stamp), "stamp").times_s()
    assert np.isnan(asked[0])
    assert asked[[1, 19]].tolist() == pytest.approx([0, 1.8])


def test_it_is_told_why_stamps_do_not_count_of_which_most_are_good() -> None:
    log = [each / 10 for each in range(1, 9)]
    back: list[float | None] = [*log[:6], log[3], log[7]]
    assert clocked(times(log, back)).doubt == (
        "of its 8 stamps 0 are not set, 1 go back in the order of the log and 0 repeat the one "
        "before; the log's times count, unless sequences.clock says otherwise"
    )
    assert clocked(times(log, back), "log").doubt == ""
    still: list[float | None] = [*log[:6], log[5], log[5]]
    assert "and 2 repeat the one before; the log's" in clocked(times(log, still)).doubt
    assert clocked(times(log, [None] * 8)).doubt == ""
    assert clocked(times(log, [0.0] * 8)).doubt == ""


def test_messages_come_in_the_order_of_the_log() -> None:
    found = clocked(times([1.0, 1.2, 1.1, 1.3], [5.0, 5.2, 5.1, 5.3]))
    assert found.order.tolist() == [0, 2, 1, 3]
    assert found.clock == "stamp"


def test_publishing_counts_where_the_log_stands_still() -> None:
    found = clocked(times([1.0, 1.0], publish=[1.0, 1.5]))
    assert found.clock == "publish"
    with pytest.raises(Unusable, match="logged at one time") as refused:
        clocked(times([1.0, 1.0]))
    assert refused.value.reason == "no_times"


def test_a_clock_may_be_asked_for() -> None:
    given = times([1.0, 1.2, 1.4], [5.0, None, 5.2], [0.9, 1.1, 1.2])
    assert clocked(given, "log").times_s().tolist() == pytest.approx([0, 0.2, 0.4])
    assert clocked(given, "publish").times_s().tolist() == pytest.approx([0, 0.2, 0.3])
    assert np.isnan(clocked(given, "stamp").times_s()).tolist() == [False, True, False]
    with pytest.raises(ContractError, match="no clock 'sun'"):
        clocked(given, "sun")


def test_stamps_and_log_that_run_at_other_rates_are_told() -> None:
    given = times([1.0, 1.001, 1.002], [5.0, 5.1, 5.2])
    found = clocked(given)
    assert found.clock == "stamp"
    assert found.doubt.startswith("its stamps cover 0.2 s and the log 0.0 s; the stamps count")
    assert clocked(given, "stamp").doubt == ""
    assert clocked(times([1.0, 1.15, 1.3], [5.0, 5.1, 5.2])).doubt == ""


def test_actions_are_put_on_the_clock_of_the_pictures() -> None:
    near, far = times([1.0, 2.0], [0.9, 1.9]), times([1.0, 2.0], [700.0, 701.0])
    bare, stamped = times([1.5, 2.5]), times([1.5, 2.5], [700.5, 701.5])
    assert on_clock_of(clocked(near), bare, near, "/cmd").clock == "log"
    assert on_clock_of(clocked(near), bare, near, "/cmd").times_s(
        clocked(near).zero_ns
    ).tolist() == pytest.approx([0.6, 1.6])
    assert on_clock_of(clocked(far), stamped, far, "/cmd").clock == "stamp"
    assert on_clock_of(clocked(far, "log"), stamped, far, "/cmd").clock == "log"
    with pytest.raises(Unusable, match=r"699\.0 s from the times of the log, and /cmd has no st"):
        on_clock_of(clocked(far), bare, far, "/cmd")
    with pytest.raises(Unusable, match=r"sequences\.clock=log"):
        on_clock_of(clocked(far), times([1.5, 2.5], [1.4, 2.4]), far, "/cmd")


def test_a_stamp_that_is_not_set_overlaps_with_nothing() -> None:
    far = times([1.0, 2.0, 3.0], [700.0, None, 702.0])
    with pytest.raises(Unusable, match="from the times of the log"):
        on_clock_of(clocked(far, "stamp"), times([1.5, 2.5], [1.4, 2.4]), far, "/cmd")


def test_times_that_no_int64_holds_do_not_upset_the_others() -> None:
    near = times([1.0, 2.0, 3.0], [0.9, 1.9, 2.9])
    near.log[2] = NOT_SET
    bare = times([1.5, 2.5])
    assert on_clock_of(clocked(near), bare, near, "/cmd").clock == "log"
    assert as_int64(1 << 62) == as_int64(-(1 << 70)) == NOT_SET
    assert as_int64(5) == 5


def test_a_clock_that_was_set_back_is_told() -> None:
    """Its pictures cannot be told from those that were written late, and would be mixed."""
    log = [*(each / 10 for each in range(10, 40)), *(each / 10 for each in range(25, 60))]
    given = times(log, log)
    assert "its messages lie in the file up to 1.4 s out of the" in clocked(given).doubt
    assert clocked(given, "log").doubt == ""
    late = [1.0, 1.2, 1.1, 1.3]
    assert clocked(times(late, late)).doubt == ""


@pytest.mark.parametrize("burst", [1, 2, 4])
def test_a_rate_is_that_of_messages_that_come_in_bursts(burst: int) -> None:
    """Twenty a second, kept back by a network and logged several at almost one time."""
    ns = [(each // burst * burst) * 50_000_000 + each % burst * 1000 for each in range(200)]
    assert rate_of([ns]) == pytest.approx(20, rel=0.01)
    assert rate_of([ns[:80], ns[120:]]) == pytest.approx(20, rel=0.01)
    assert rate_of([ns[:3]]) > 0
    assert rate_of([ns[:1], []]) == rate_of([[5, 5, 5]]) == 0


def pictures(kind: str, packets: Sequence[bytes | None]) -> RecordedPictures:
    """Packets of video at 10 a second; None: a message that is lost."""
    type_ = known_type("foxglove.CompressedVideo", "protobuf")
    assert type_ is not None
    messages = [
        packet and proto("CompressedVideo", 1, format=kind, data=packet).SerializeToString()
        for packet in packets
    ]
    ordered = clocked(times([each / 10 for each in range(len(packets))]))
    return RecordedPictures(type_, ordered, messages.__getitem__, (0, ()), lambda: None)


def number(image: object) -> int | None:
    """The number on a picture, None where there is none."""
    try:
        return read(picture(image, None).frame.to_ndarray(format="rgb24")).number
    except DamagedImage:
        return None


@pytest.mark.parametrize("kind", ["h264", "h265", "vp9", "av1"])
def test_packets_give_their_pictures_in_whatever_steps(kind: str) -> None:
    found = pictures(kind, video_packets(kind, 40, 25))
    assert found.codec == {"h265": "hevc"}.get(kind, kind) + " by log times"
    assert [number(image) for image in found.images(range(25))] == list(range(40, 65))
    assert [number(image) for image in found.images([3, 4, 17])] == [43, 44, 57]
    assert [number(image) for image in found.images([2])] == [42]


@pytest.mark.parametrize("kind", ["h264", "h265", "vp9", "av1"])
def test_what_comes_before_the_first_key_frame_is_left_out_and_told(kind: str) -> None:
    found = pictures(kind, video_packets(kind, 40, 25)[5:])
    assert found.times_s.tolist() == pytest.approx([each / 10 for each in range(5, 20)])
    assert found.damage == (5, ("5 pictures before the first key frame cannot be decoded",))
    assert [number(image) for image in found.images([0, 14])] == [50, 64]


@pytest.mark.parametrize("kind", ["h264", "h265", "vp9", "av1"])
@pytest.mark.parametrize("lost", [None, b"", b"\0\0\1nothing"])
def test_a_lost_packet_costs_the_pictures_up_to_the_next_key_frame(
    kind: str, lost: bytes | None
) -> None:
    packets = [*video_packets(kind, 40, 30)]
    packets[13:14] = [lost]  # type: ignore[list-item]
    found = pictures(kind, packets)
    shown = [number(image) for image in found.images(range(30))]
    assert shown == [*range(40, 53), *[None] * 7, *range(60, 70)]


def test_damage_does_not_make_it_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    packets = [*video_packets("h264", 40, 30)]
    packets[1:2] = [b"nothing"]
    found = pictures("h264", packets)
    asked: list[int] = []
    fetch = found._fetch

    def counted(each: int) -> bytes | None:
        asked.append(each)
        return fetch(each)

    monkeypatch.setattr(found, "_fetch", counted)
    for each in range(30):  # as sampling does, which asks again after each that fails
        list(found.images([each]))
    assert len(asked) == len(set(asked))


def test_b_frames_are_an_error() -> None:
    found = pictures("h264", video_packets("h264", 40, 20, b_frames=2))
    with pytest.raises(Unusable, match="B-frames"):
        list(found.images(range(20)))


def test_packets_without_a_key_frame_are_an_error() -> None:
    with pytest.raises(DecodeError, match="none of 5 packets can be decoded: Invalid data"):
        pictures("h264", video_packets("h264", 40, 25)[3:8])
