"""Running a model folder as the extension does: its own tokenizer, ONNX Runtime, rows sorted by length."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from batching import batches_by_length, encode, pad

ERRORS_ONLY = 3


class OnnxClassifier:
    """The model of one folder."""

    def __init__(self, folder: Path, threads: int = 2) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = ERRORS_ONLY
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        names = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
        self.labels = [names[str(index)] for index in range(len(names))]

    def logits(self, texts: list[str]) -> NDArray[np.float32]:
        """One row per text, in the order of `labels`."""
        rows = encode(self.tokenizer, texts)
        result = np.empty((len(rows), len(self.labels)), dtype=np.float32)
        for batch in batches_by_length(rows):
            result[batch] = self.session.run(["logits"], pad([rows[index] for index in batch]))[0]
        return result

    def probabilities(self, texts: list[str]) -> NDArray[np.float32]:
        """Softmax of `logits`, as calibrated in training."""
        return softmax(self.logits(texts))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Along the last axis, safe for large logits."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
