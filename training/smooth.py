"""Evening out activations before quantisation.

A few channels of a transformer's activations are many times larger than the rest, and one scale for all of them leaves
the rest a handful of steps. Dividing each channel by a factor, and multiplying the weights that meet it by the same
factor, changes no result, and lets 8 bits serve every channel (Xiao et al., "SmoothQuant", 2022). Residual sums go on
reading the undivided tensor, which thereby stays unrounded.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from batching import batches_by_length, pad

STRENGTH = 0.7
"""How much of the unevenness goes to the weights, which have a scale per column to bear it: 0 none, 1 all."""


def smooth(model: onnx.ModelProto, rows: list[list[int]]) -> None:
    """Evens out, in place, each tensor that a `MatMul` multiplies with weights, as seen on `rows` of token ids."""
    products = defaultdict(list)
    for node in model.graph.node:
        if node.op_type == "MatMul":
            products[node.input[0]].append(node)
    for operand, largest in _channel_maxima(model, rows, list(products)).items():
        _divide(model.graph, operand, products[operand], largest)


def _channel_maxima(model: onnx.ModelProto, rows: list[list[int]], names: list[str]) -> dict[str, NDArray[np.float32]]:
    """The largest magnitude of each tensor's channels over `rows`."""
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    observed.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(observed.SerializeToString(), providers=["CPUExecutionProvider"])
    maxima: dict[str, NDArray[np.float32]] = {}
    for batch in batches_by_length(rows):
        tensors = session.run(names, pad([rows[index] for index in batch]))
        for name, tensor in zip(names, tensors, strict=True):
            largest = abs(tensor.reshape(-1, tensor.shape[-1])).max(axis=0)
            maxima[name] = np.maximum(maxima.get(name, largest), largest)
    return maxima


def _divide(graph: onnx.GraphProto, operand: str, products: list[onnx.NodeProto], largest: NDArray[np.float32]) -> None:
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    weights = {node.input[1]: numpy_helper.to_array(tensors[node.input[1]]) for node in products}
    heaviest = np.max([abs(weight).max(axis=1) for weight in weights.values()], axis=0)
    factor = np.maximum(largest, 1e-3) ** STRENGTH / np.maximum(heaviest, 1e-5) ** (1 - STRENGTH)
    for name, weight in weights.items():
        tensors[name].CopyFrom(numpy_helper.from_array(weight * factor[:, None], name))
    smoothed, divisor = f"{operand}.smoothed", f"{operand}.divisor"
    graph.initializer.append(numpy_helper.from_array(1 / factor, divisor))
    for node in products:
        node.input[0] = smoothed
    position = min(p for p, node in enumerate(graph.node) if node.input and smoothed in node.input)
    graph.node.insert(position, helper.make_node("Mul", [operand, divisor], [smoothed], name=smoothed))
