"""The classifier as an ONNX graph, written node by node.

An exporter would trace PyTorch's many small operators and leave their fusion to an optimiser's pattern matching. The
encoder is regular enough to be spelt out in the fused operators that ONNX Runtime's CPU provider has
(`MultiHeadAttention`, `SkipLayerNormalization`, `BiasGelu`), with every matrix product a plain `MatMul` that
quantisation can take.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from base_model import LogClassifier

CONTRIB = "com.microsoft"
OPSETS = (("", 17), (CONTRIB, 1))
IR_VERSION = 8
EMBEDDING_LOOKUPS = {"embeddings.word": "embeddings.word_vectors", "embeddings.position": "embeddings.position_vectors"}
"""The two large tables, and the nodes that read them."""


def build_graph(model: LogClassifier) -> onnx.ModelProto:
    """`input_ids`, `attention_mask`, `token_type_ids` (int64, batch x sequence) to `logits` (float32, batch x labels)."""
    return _GraphBuilder(model).build()


class _GraphBuilder:
    def __init__(self, model: LogClassifier) -> None:
        self.config = model.config
        self.weights = {name: tensor.detach().float().numpy() for name, tensor in model.state_dict().items()}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def build(self) -> onnx.ModelProto:
        hidden = self._embeddings()
        mask = self._node("Cast", "attention_mask.int32", ["attention_mask"], to=TensorProto.INT32)
        for layer in range(self.config.num_hidden_layers):
            hidden = self._layer(layer, hidden, mask)
        self._head(hidden)
        return self._model()

    def _embeddings(self) -> str:
        prefix = "bert.embeddings."
        words = self._weight("embeddings.word", f"{prefix}word_embeddings.weight")
        types = self._weight("embeddings.type", f"{prefix}token_type_embeddings.weight")
        positions = self._weight("embeddings.position", f"{prefix}position_embeddings.weight")
        word_vectors = self._node("Gather", "embeddings.word_vectors", [words, "input_ids"])
        type_vectors = self._node("Gather", "embeddings.type_vectors", [types, "token_type_ids"])
        length = self._node("Shape", "sequence_length", ["input_ids"], start=1, end=2)
        position_vectors = self._node(
            "Slice", "embeddings.position_vectors", [positions, self._index("zero", 0), length, self._index("zero", 0)]
        )
        places = self._node("Add", "embeddings.places", [type_vectors, position_vectors])
        return self._normalised_sum("embeddings", f"{prefix}LayerNorm", word_vectors, places)

    def _layer(self, layer: int, hidden: str, mask: str) -> str:
        name, prefix = f"layer{layer}", f"bert.encoder.layer.{layer}."
        parts = ("query", "key", "value")
        projected = [self._product(f"{name}.{part}", f"{prefix}attention.self.{part}", hidden) for part in parts]
        bias = self._constant(
            f"{name}.projection.bias",
            np.concatenate([self.weights[f"{prefix}attention.self.{part}.bias"] for part in parts]),
        )
        context = self._node(
            "MultiHeadAttention", f"{name}.context", [*projected, bias, mask],
            domain=CONTRIB, num_heads=self.config.num_attention_heads,
        )  # fmt: skip
        attended = self._product(f"{name}.attended", f"{prefix}attention.output.dense", context)
        attended = self._normalised_sum(
            f"{name}.attention",
            f"{prefix}attention.output.LayerNorm",
            attended,
            hidden,
            f"{prefix}attention.output.dense.bias",
        )
        inner = self._product(f"{name}.inner", f"{prefix}intermediate.dense", attended)
        inner_bias = self._weight(f"{name}.inner.bias", f"{prefix}intermediate.dense.bias")
        inner = self._node("BiasGelu", f"{name}.gelu", [inner, inner_bias], domain=CONTRIB)
        outer = self._product(f"{name}.outer", f"{prefix}output.dense", inner)
        return self._normalised_sum(
            f"{name}.output", f"{prefix}output.LayerNorm", outer, attended, f"{prefix}output.dense.bias"
        )

    def _head(self, hidden: str) -> None:
        """The mean of the vectors that the mask lets through, classified."""
        mask = self._node("Cast", "attention_mask.float", ["attention_mask"], to=TensorProto.FLOAT)
        column = self._node("Unsqueeze", "mean.mask", [mask, self._index("last", -1)])
        masked = self._node("Mul", "mean.masked", [hidden, column])
        total = self._node("ReduceSum", "mean.total", [masked, self._index("one", 1)], keepdims=0)
        count = self._node("ReduceSum", "mean.count", [column, self._index("one", 1)], keepdims=0)
        mean = self._node("Div", "mean", [total, count])
        weight, bias = (
            self._weight("classifier.weight", "classifier.weight"),
            self._weight("classifier.bias", "classifier.bias"),
        )
        self._node("Gemm", "logits", [mean, weight, bias], transB=1)

    def _product(self, name: str, parameter: str, operand: str) -> str:
        """`operand` times the weight; the bias joins in the fused node that follows."""
        return self._node(
            "MatMul", name, [operand, self._constant(f"{name}.weight", self.weights[f"{parameter}.weight"].T)]
        )

    def _normalised_sum(self, name: str, parameter: str, operand: str, skip: str, bias: str | None = None) -> str:
        scale = self._weight(f"{name}.norm.scale", f"{parameter}.weight")
        shift = self._weight(f"{name}.norm.shift", f"{parameter}.bias")
        inputs = [operand, skip, scale, shift] + ([self._weight(f"{name}.bias", bias)] if bias else [])
        return self._node("SkipLayerNormalization", name, inputs, domain=CONTRIB, epsilon=self.config.layer_norm_eps)

    def _node(self, operator: str, output: str, inputs: list[str], domain: str = "", **attributes: int | float) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def _weight(self, name: str, parameter: str) -> str:
        return self._constant(name, self.weights[parameter])

    def _index(self, name: str, value: int) -> str:
        return self._constant(name, np.array([value], dtype=np.int64))

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def _model(self) -> onnx.ModelProto:
        names = ("input_ids", "attention_mask", "token_type_ids")
        graph = helper.make_graph(
            self.nodes,
            "log_classifier",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in names],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", self.config.num_labels])],
            list(self.initializers.values()),
            # Shape inference does not know the fused operators; calibration needs the type of what they yield.
            value_info=[
                helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
                for node in self.nodes
                if node.domain == CONTRIB
            ],
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="sqlite-anomaly")
