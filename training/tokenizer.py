"""The tokenizer, with the text normalisation inside its own file, so that every host of the model masks alike.

What repeats differently in every line (identifiers, addresses, counters) becomes one plain token. The classifier then
cannot learn it by heart, and the lines of one template become one token sequence, which a host has to classify once.
The patterns use ASCII classes and single characters of look-around only, which Oniguruma (the tokenizers package of
Python) and fancy-regex (that of Rust) read alike.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.normalizers import BertNormalizer, Replace, Sequence

from base_model import BASE_FOLDER

MAX_TOKENS = 512
TOP_LEVEL = "com|org|net|edu|gov|io|cloud|local|internal|lan|corp|cn|de|eu|fr|hk|jp|kr|nl|ru|tw|uk|us"
IDENTIFIERS = (
    # 0x numbers, UUIDs, digests and other long runs of hexadecimal digits; times, MAC and IPv6 addresses.
    r"\b0[xX][0-9a-fA-F]+\b"
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|\b[0-9a-fA-F]{8,}\b"
    r"|\b[0-9a-fA-F]{1,4}(?::{1,2}[0-9a-fA-F]{1,4}){2,7}\b",
    " # ",
)
# With or without a port.
IPV4 = (r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]+)?\b", " ip ")
# Domain names, with or without a port. Not where a further part follows: java.net.BindException is a class.
DOMAIN = (
    rf"\b(?:[a-z0-9-]+\.){{1,8}}(?:{TOP_LEVEL})(?:(?![a-zA-Z0-9_.-])|(?=\.(?![a-zA-Z0-9_-])))(?::[0-9]+)?",
    " host ",
)
# No loss is no loss, however many decimals it has.
ZERO = (r"\b0\.0+\b", "0")
# Dates, versions, decimals and compound ids; then numbers of three digits and more, but for those of HTTP errors.
COMPOUND = r"[0-9]+(?:[.,:_T+-][0-9]+)+|[0-9]{4,}"
TRAINING_MASKS = (IDENTIFIERS, IPV4, ZERO, (rf"{COMPOUND}|[0-36-9][0-9]{{2}}", "#"))
"""What the runs are trained with: they see more of the numbers and all of the names, and rely on them less."""

MASKS = (
    IDENTIFIERS,
    IPV4,
    DOMAIN,
    ZERO,
    (rf"{COMPOUND}|[0-36-9][0-9]{{2}}|4[13-9][0-9]|42[0-8]|5[1-9][0-9]", "#"),
    # The number in a name: eth0 stays, node17 is any node. Alone, one and two digits stay (exit codes, signals, shares).
    (r"(?<=[A-Za-z_])[1-9][0-9]?(?![0-9])", "#"),
)
"""Pattern and what stands in for it, applied in this order: what the model ships with."""


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
    special = {
        name: f"[{name[:-6].upper()}]" for name in ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token")
    }
    # Not BertTokenizer: that class may rebuild the normaliser from its own options and lose the masks.
    settings = special | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": MAX_TOKENS,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    for name, content in (("tokenizer_config.json", settings), ("special_tokens_map.json", special)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
