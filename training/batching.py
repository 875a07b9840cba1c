"""Texts to padded batches of similar length: padding is what a short log line would otherwise be mostly made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tokenizer import MAX_TOKENS

MAX_CHARS = 512
Inputs = dict[str, NDArray[np.int64]]


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Token ids of each text, cut as the host cuts: 512 code points, then 512 tokens with the closing one kept."""
    encodings = tokenizer.encode_batch([text[:MAX_CHARS] for text in texts])
    return [ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], ids[-1]] for ids in (e.ids for e in encodings)]


def batches_by_length(rows: list[list[int]], padded_tokens: int = 512) -> Iterator[list[int]]:
    """Indices of `rows`, shortest first, cut so that a batch holds at most `padded_tokens` (or a single row)."""
    batch: list[int] = []
    for index in sorted(range(len(rows)), key=lambda index: len(rows[index])):
        if batch and (len(batch) + 1) * len(rows[index]) > padded_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def pad(rows: list[list[int]]) -> Inputs:
    """The three inputs of a BERT graph; [PAD] is token 0."""
    width = max(map(len, rows))
    input_ids = np.zeros((len(rows), width), dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for row, ids in enumerate(rows):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": np.zeros_like(input_ids)}
