"""Makes the 8-bit twin of an exported model, with scales fixed beforehand: quantise.py MODEL TEXTS TWIN

MODEL is the folder that holds model.onnx, TEXTS a file of a few hundred typical lines, TWIN the folder to make.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantType, quant_pre_process, quantize_static
from tokenizers import Tokenizer

LONGEST = 512  # tokens


class Texts(CalibrationDataReader):
    """Typical texts, by which the range of every activation is found."""

    def __init__(self, folder: Path, texts: list[str]) -> None:
        session = onnxruntime.InferenceSession(folder / "model.onnx")
        self._names = {each.name for each in session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(LONGEST)
        self._texts = iter(texts)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The inputs for one text; None after the last."""
        return next((self._inputs(text) for text in self._texts), None)

    def _inputs(self, text: str) -> dict[str, np.ndarray]:
        encoding = self._tokenizer.encode(text)
        values = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        return {name: np.array([value], dtype=np.int64) for name, value in values.items() if name in self._names}


def quantise(folder: Path, texts: list[str], twin: Path) -> None:
    """Writes the twin of the model in `folder`."""
    shutil.copytree(folder, twin, ignore=shutil.ignore_patterns("*.onnx*", "onnx"))
    prepared = twin / "prepared.onnx"
    quant_pre_process(folder / "model.onnx", prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        twin / "model.onnx",
        Texts(folder, texts),
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        # Processors without VNNI add pairs of products in 16 bits, which eight bits of weight would overflow.
        reduce_range=True,
    )
    prepared.unlink()


if __name__ == "__main__":
    model, lines, made = map(Path, sys.argv[1:])
    quantise(model, lines.read_text(encoding="utf-8").splitlines(), made)
