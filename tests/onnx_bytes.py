"""ONNX graphs as bytes, for tests that need one that no exporter writes; the field numbers are those of onnx.proto."""

from __future__ import annotations

import struct

FLOAT, INT32, INT64, STRING, FLOAT16 = 1, 6, 7, 8, 10
OPSET, IR_VERSION = 17, 8


def varint(number: int) -> bytes:
    """A number in groups of seven bits, the lowest first; negative ones as of 64 bits."""
    number %= 1 << 64
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def field(number: int, *values: int | str | bytes) -> bytes:
    """A field once for each value."""
    encoded = b""
    for value in values:
        if isinstance(value, int):
            encoded += varint(number << 3) + varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            encoded += varint(number << 3 | 2) + varint(len(content)) + content
    return encoded


def node(operator: str, inputs: list[str], output: str, **integers: int) -> bytes:
    """One operator."""
    attributes = [field(1, name) + field(3, value) + field(20, 2) for name, value in integers.items()]
    return field(1, *inputs) + field(2, output) + field(4, operator) + field(5, *attributes)


def tensor(name: str, kind: int, shape: list[int], content: bytes = b"", location: str | None = None) -> bytes:
    """A constant, its content inside or in a file named by `location`."""
    head = field(1, *shape) + field(2, kind) + field(8, name)
    if location is None:
        return head + field(9, content)
    return head + field(13, field(1, "location") + field(2, location)) + field(14, 1)


def floats(name: str, rows: list[list[float]]) -> bytes:
    """A table of numbers."""
    content = b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)
    return tensor(name, FLOAT, [len(rows), len(rows[0])], content)


def integers(name: str, values: list[int]) -> bytes:
    """A list of whole numbers."""
    return tensor(name, INT64, [len(values)], struct.pack(f"<{len(values)}q", *values))


def value(name: str, kind: int | None, shape: list[int | str]) -> bytes:
    """An input or an output: a tensor, or, where there is no kind, a sequence of tensors."""
    dimensions = [field(1, size) if isinstance(size, int) else field(2, size) for size in shape]
    if kind is None:
        return field(1, name) + field(2, field(4, field(1, field(1, field(1, FLOAT)))))
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, field(1, *dimensions) if shape else b"")))


def model(nodes: list[bytes], inputs: list[bytes], outputs: list[bytes], constants: list[bytes]) -> bytes:
    """The whole file."""
    graph = field(1, *nodes) + field(2, "words") + field(5, *constants) + field(11, *inputs) + field(12, *outputs)
    return field(1, IR_VERSION) + field(7, graph) + field(8, field(2, OPSET))


IDS = value("input_ids", INT64, ["batch", "sequence"])


def classifier(
    weights: list[list[float]] | bytes,
    *,
    inputs: list[bytes] | None = None,
    before: list[bytes] = (),
    after: list[bytes] = (),
    ids: str = "input_ids",
    output: bytes | None = None,
    constants: list[bytes] = (),
) -> bytes:
    """Logits as the sum of one row of `weights` a token, with operators before (that make `ids`) or after (that make
    the output of `logits`)."""
    table = weights if isinstance(weights, bytes) else floats("weights", weights)
    summed = "logits" if not after else "sum"
    nodes = [
        *before,
        node("Gather", ["weights", ids], "rows", axis=0),
        node("ReduceSum", ["rows", "middle"], summed, keepdims=0),
        *after,
    ]
    output = output or value("logits", FLOAT, ["batch", "labels"])
    return model(nodes, inputs or [IDS], [output], [table, integers("middle", [1]), *constants])
