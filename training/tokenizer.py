"""The tokenizer, with the text normalisation inside its own file, so that every host of the model masks alike.

What repeats differently in every line (identifiers, addresses, counters) becomes one plain token. The classifier then
cannot learn it by heart, and the lines of one template become one token sequence, which a host has to classify once.
The patterns use nothing that Oniguruma and Rust's regex engines read differently, and no look-around.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.normalizers import BertNormalizer, Replace, Sequence

from base_model import BASE_FOLDER

MAX_TOKENS = 512
MASKS = (
    # 0x numbers, UUIDs, digests and other long runs of hexadecimal digits; times, MAC and IPv6 addresses.
    (
        r"\b0[xX][0-9a-fA-F]+\b"
        r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
        r"|\b[0-9a-fA-F]{8,}\b"
        r"|\b[0-9a-fA-F]{1,4}(?::{1,2}[0-9a-fA-F]{1,4}){2,7}\b",
        " # ",
    ),
    # IPv4 addresses, with or without a port.
    (r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]+)?\b", " ip "),
    # No loss is no loss, however many decimals it has.
    (r"\b0\.0+\b", "0"),
    # Dates, versions, decimals and compound ids, then long numbers. One and two digits stay (exit codes, signals,
    # percentages), as do 400 to 599 (HTTP errors).
    (r"[0-9]+(?:[.,:_T+-][0-9]+)+|[0-9]{4,}|[0-36-9][0-9]{2}", "#"),
)
"""Pattern and what stands in for it, applied in this order."""


def build_tokenizer(masks: tuple[tuple[str, str], ...] = MASKS) -> Tokenizer:
    """MiniLM's word pieces behind our masks; how much to cut or pad is left to the host."""
    tokenizer = Tokenizer.from_file(str(BASE_FOLDER / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    replaced = [Replace(Regex(pattern), content) for pattern, content in masks]
    tokenizer.normalizer = Sequence([*replaced, BertNormalizer(lowercase=True)])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json and the two small files that transformers reads beside it."""
    special = {name: f"[{name[:-6].upper()}]" for name in ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token")}
    # Not BertTokenizer: that class may rebuild the normaliser from its own options and lose the masks.
    settings = special | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": MAX_TOKENS,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    for name, content in (("tokenizer_config.json", settings), ("special_tokens_map.json", special)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
