"""Makes the small models that the tests use: a few kilobytes each, their answers known beforehand.

Each is a graph that adds up one row of numbers per token, so that a text's logits can be worked out by hand:
the word `failed` speaks for ERROR, `ok` for INFO, and so on. Run it with the `onnx` package at hand; the folders it
writes are committed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ok", "slow", "failed", "denied", "nan", "infinite", "explode"]
OPSET = 17


def tokenizer() -> dict:
    """A word-level tokenizer in the manner of BERT: lower-cased, split at white space and punctuation."""
    special = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, token in enumerate(VOCABULARY[:4])
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {token: index for index, token in enumerate(VOCABULARY)},
            "unk_token": "[UNK]",
        },
    }


def graph(weights: np.ndarray, *, explode: bool = False) -> onnx.ModelProto:
    """Logits as the sum of `weights` over the tokens that the mask lets through.

    With `explode`, the token of that name makes the run itself fail, and its batch with it: it asks for an index
    beyond the table.
    """
    rows, labels = weights.shape
    nodes = [
        helper.make_node("Gather", ["weights", "ids"], ["summands"], axis=0),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["summands", "column"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "middle"], ["logits"], keepdims=0),
    ]
    constants = {"weights": weights.astype(np.float32), "last": np.array([-1]), "middle": np.array([1])}
    if explode:
        constants["bomb"] = np.array(VOCABULARY.index("explode"))
        constants["far"] = np.array(rows + 1)
        nodes[:0] = [
            helper.make_node("Equal", ["input_ids", "bomb"], ["is_bomb"]),
            helper.make_node("Where", ["is_bomb", "far", "input_ids"], ["ids"]),
        ]
    else:
        nodes.insert(0, helper.make_node("Identity", ["input_ids"], ["ids"]))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    return finished(nodes, inputs, constants, labels)


def unmasked(weights: np.ndarray) -> onnx.ModelProto:
    """Logits as the mean of `weights` over all tokens, padding included: there is no mask to tell it."""
    nodes = [
        helper.make_node("Gather", ["weights", "input_ids"], ["summands"], axis=0),
        helper.make_node("ReduceMean", ["summands"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["mean", "three"], ["logits"]),
    ]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])]
    return finished(nodes, inputs, {"weights": weights.astype(np.float32), "three": np.float32(3)}, weights.shape[1])


def narrow(weights: np.ndarray) -> onnx.ModelProto:
    """Token ids of 32 bits in, logits of 16 bits out."""
    nodes = [
        helper.make_node("Gather", ["weights", "input_ids"], ["summands"], axis=0),
        helper.make_node("ReduceSum", ["summands", "middle"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["logits"], to=TensorProto.FLOAT16),
    ]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT32, ["batch", "sequence"])]
    constants = {"weights": weights.astype(np.float32), "middle": np.array([1])}
    return finished(nodes, inputs, constants, weights.shape[1], TensorProto.FLOAT16)


def finished(nodes: list, inputs: list, constants: dict, labels: int, logits=TensorProto.FLOAT) -> onnx.ModelProto:
    """A checked model of these parts."""
    outputs = [helper.make_tensor_value_info("logits", logits, ["batch", labels])]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "words", inputs, outputs, initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model


def weights(labels: int, spoken: dict[str, list[float]]) -> np.ndarray:
    """One row a token: that of a word in `spoken`, else zeros."""
    table = np.zeros((len(VOCABULARY), labels))
    for word, row in spoken.items():
        table[VOCABULARY.index(word)] = row
    return table


def save(name: str, config: dict, model: onnx.ModelProto, weights_in: str | None = None) -> None:
    """Writes one model folder; the weights beside the graph where a file is named for them."""
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(), indent=1) + "\n")
    external = {"save_as_external_data": True, "location": weights_in, "size_threshold": 64} if weights_in else {}
    (folder / "model.onnx_data").unlink(missing_ok=True)
    onnx.save(model, folder / "model.onnx", **external)


def main() -> None:
    """Writes every folder."""
    levels = {"id2label": {"0": "info", "1": "warning", "2": "error"}}
    spoken = {
        "ok": [3, 0, 0],
        "slow": [0, 3, 0],
        "failed": [0, 0, 3],
        "denied": [0, 0, 1],
        "nan": [np.nan, 0, 0],
        "infinite": [0, np.inf, 0],
    }
    save("levels", levels, graph(weights(3, spoken), explode=True))
    save("all-nan", levels, graph(np.full((len(VOCABULARY), 3), np.nan)))
    save("no-mask", levels, unmasked(weights(3, spoken)))
    save("narrow", levels, narrow(weights(3, spoken)))
    save("external", levels, graph(weights(3, spoken)), weights_in="model.onnx_data")
    save("too-wide", {"id2label": {"0": "a", "1": "b"}}, graph(weights(3, {})))


if __name__ == "__main__":
    main()
