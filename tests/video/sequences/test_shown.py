"""Pictures that lie upside down, or with red for blue, are shown as the user says they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sofdata.corpora.base import Listing
from sofdata.corpora.config import SequenceConfig
from sofdata.corpora.entry import Entry
from sofdata.corpora.registry import find_corpus, list_source
from sofdata.corpora.sequences.shown import shown_as
from sofdata.errors import ConfigError, ContractError
from sofdata.storage.tree import Tree
from sofdata.storage.uris import Location, parse
from sofdata.video.config import VideoConfig
from sofdata.video.sampling import Sampling
from sofdata.video.sequences.place import SequencePlace
from sofdata.video.sequences.stream import SequenceStream
from tests.conformance.barcode import TURNS, draw, read
from tests.helpers import ingest
from tests.lerobot_pictures import write_pictures
from tests.lerobots import grey_episodes, write_v2
from tests.sequences import HEIGHT, WIDTH, image_bytes, samples


def shown(folder: Path, **options: str | None) -> NDArray[np.uint8]:
    """The first frame of a folder of pictures."""
    place = SequencePlace.of("frames", "frame_*.png", fps=10.0, **options)
    stream = SequenceStream(f"{folder}/", place, VideoConfig(), Sampling(96, 0.1))
    first: NDArray[np.uint8] = next(iter(stream)).rgb[0]
    return first


def write(folder: Path, picture: NDArray[np.uint8]) -> None:
    for number in range(2):
        data = image_bytes(np.ascontiguousarray(picture), "PNG")
        (folder / f"frame_{number}.png").write_bytes(data)


@pytest.mark.parametrize(("turn", "held"), [("flip", "flipped"), ("rotate", "upside down")])
def test_turned_pictures_are_made_upright(tmp_path: Path, turn: str, held: str) -> None:
    write(tmp_path, TURNS[held](draw(7, WIDTH, HEIGHT)))
    assert read(shown(tmp_path)).held == held
    assert read(shown(tmp_path, turn=turn)) == read(draw(7, WIDTH, HEIGHT))


def test_exchanged_colours_are_exchanged_back(tmp_path: Path) -> None:
    picture = draw(7, WIDTH, HEIGHT)
    write(tmp_path, picture)
    meant = shown(tmp_path).astype(int)
    write(tmp_path, picture[..., ::-1])
    back = shown(tmp_path, channels="bgr")
    assert read(back) == read(picture)
    assert np.abs(back - meant).max() <= 4  # what resizing rounds differently
    assert np.abs(shown(tmp_path) - meant).max() > 100


def test_the_settings_reach_every_sequence_of_a_source() -> None:
    place = SequencePlace.of("rlds", "a/b", fps=5.0).text
    kept = Entry("film", "film.mp4", 1)
    listing = Listing.of([Entry("a", Location("a", sequence=place).uri, 1), kept], {})
    assert shown_as(listing, SequenceConfig()) is listing
    found = shown_as(listing, SequenceConfig(turn="flip", channels="bgr")).entries
    assert parse(found[0].uri).sequence == "rlds:a/b?channels=bgr&fps=5.0&turn=flip"
    assert found[1] == kept


def test_the_settings_turn_what_is_ingested(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(8):
        data = image_bytes(np.ascontiguousarray(draw(number, WIDTH, HEIGHT)[::-1]), "PNG")
        (source / f"frame_{number}.png").write_bytes(data)
    settings = ("sequences.fps=10", "windows.length=4", "flow.step_s=0.1", "flow.size=96")
    ingest(source, tmp_path / "d", *settings, "sequences.turn=flip")
    assert {read(sample.first).held for sample in samples(tmp_path / "d")} == {"upright"}


def test_an_unknown_turn_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, draw(7, WIDTH, HEIGHT))
    with pytest.raises(ContractError, match="unknown turn"):
        shown(tmp_path, turn="left")


def test_settings_that_nothing_heeds_are_refused_and_videos_beside_pictures_are_told() -> None:
    place = SequencePlace.of("frames", "*.jpg", fps=5.0).text
    pictures, video = Entry("a", Location("a/", sequence=place).uri, 1), Entry("b", "b.mp4", 1)
    lost = Entry("c", "c.mp4", 1, problem="missing")
    config = SequenceConfig(turn="flip")
    found = shown_as(Listing.of([pictures, video, lost], {}), config)
    assert found.notes == ("sequences.turn means nothing for 1 video files beside the pictures",)
    with pytest.raises(ConfigError, match=r"sequences\.turn is set, but all .* video files"):
        shown_as(Listing.of([video, lost], {}), config)
    assert shown_as(Listing.of([lost], {}), config).notes == ()


def test_pictures_of_lerobot_may_be_turned_and_its_videos_not(tmp_path: Path) -> None:
    source = Tree(str(write_pictures(tmp_path / "p")))
    config = SequenceConfig(turn="flip")
    corpus, _ = find_corpus(source, sequences=config)
    found = list_source(corpus, source, with_actions=False, sequences=config)
    assert {
        SequencePlace.parse(parse(each.uri).sequence).get("turn") for each in found.entries
    } == {"flip"}
    with pytest.raises(ConfigError, match=r"sequences\.fps is set, .*lerobot.*counts here: .*turn"):
        find_corpus(source, sequences=SequenceConfig(fps=5))
    films = Tree(str(write_v2(tmp_path / "v", grey_episodes())))
    with pytest.raises(ConfigError, match="video files"):
        list_source(find_corpus(films, sequences=config)[0], films, False, sequences=config)
