"""Static quantisation to 8 bits: the scales are fixed here, so that a row's score cannot depend on its batch mates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from batching import Inputs, batches_by_length, pad
from graph import EMBEDDING_LOOKUPS
from smooth import smooth


class _Batches(CalibrationDataReader):
    """Calibration texts, batched as in use."""

    def __init__(self, rows: list[list[int]]) -> None:
        self._batches: Iterator[Inputs] = (pad([rows[index] for index in batch]) for batch in batches_by_length(rows))

    def get_next(self) -> Inputs | None:
        return next(self._batches, None)


def quantise(source: Path, destination: Path, rows: list[list[int]]) -> None:
    """Writes the 8-bit twin of `source`, its activation ranges taken from `rows` of token ids."""
    even = onnx.load(source)
    smooth(even, rows)
    quantize_static(
        even,
        destination,
        _Batches(rows),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        # Seven bits of weight: processors without VNNI add pairs of products in 16 bits, which eight would overflow.
        reduce_range=True,
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
    )
    model = onnx.load(destination)
    _quantise_embeddings(model.graph)
    onnx.save(model, destination)


def _quantise_embeddings(graph: onnx.GraphProto) -> None:
    """Half of the model's bytes: rows are looked up as int8, then scaled by dimension."""
    for table, vectors in EMBEDDING_LOOKUPS.items():
        initializer = next(tensor for tensor in graph.initializer if tensor.name == table)
        values = numpy_helper.to_array(initializer)
        scale = abs(values).max(axis=0) / 127
        constants = {
            table: np.rint(values / scale).astype(np.int8),
            f"{table}.scale": scale,
            f"{table}.zero_point": np.zeros(len(scale), dtype=np.int8),
        }
        graph.initializer.remove(initializer)
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
        position, lookup = next((p, node) for p, node in enumerate(graph.node) if node.output[0] == vectors)
        lookup.output[0] = f"{vectors}.int8"
        inputs = [lookup.output[0], f"{table}.scale", f"{table}.zero_point"]
        dequantise = helper.make_node("DequantizeLinear", inputs, [vectors], name=f"{vectors}.dequantise", axis=-1)
        graph.node.insert(position + 1, dequantise)
