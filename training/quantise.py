"""Static quantisation to 8 bits: the scales are fixed here, so that a row's score cannot depend on its batch mates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from batching import Inputs, batches_by_length, pad
from graph import CONTRIB, EMBEDDING_LOOKUPS

EXTRA_OPTIONS = {"OpTypesToExcludeOutputQuantization": ["MatMul"], "ActivationSymmetric": False, "WeightSymmetric": True}


class _Batches(CalibrationDataReader):
    """Calibration texts, batched as in use."""

    def __init__(self, rows: list[list[int]]) -> None:
        self._batches: Iterator[Inputs] = (pad([rows[index] for index in batch]) for batch in batches_by_length(rows))

    def get_next(self) -> Inputs | None:
        return next(self._batches, None)


def quantise(source: Path, destination: Path, rows: list[list[int]], **options: object) -> None:
    """Writes the 8-bit twin of `source`, its activation ranges taken from `rows` of token ids."""
    quantize_static(
        source,
        destination,
        _Batches(rows),
        **{
            "quant_format": QuantFormat.QDQ,
            "op_types_to_quantize": ["MatMul"],
            "per_channel": True,
            "reduce_range": True,
            "activation_type": QuantType.QUInt8,
            "weight_type": QuantType.QInt8,
            "calibrate_method": CalibrationMethod.MinMax,
            "extra_options": EXTRA_OPTIONS,
        }
        | options,
    )
    model = onnx.load(destination)
    _keep_residuals(model.graph)
    _quantise_embeddings(model.graph)
    onnx.save(model, destination)


def _keep_residuals(graph: onnx.GraphProto) -> None:
    """Lets residual sums read the float tensor itself, not its rounded copy, which only matrix products need."""
    producers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.domain != CONTRIB and node.op_type != "Slice":
            continue
        for position, name in enumerate(node.input):
            dequantise = producers.get(name)
            if dequantise is not None and dequantise.op_type == "DequantizeLinear":
                node.input[position] = producers[dequantise.input[0]].input[0]


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
