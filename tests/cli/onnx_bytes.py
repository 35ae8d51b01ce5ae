# SPDX-License-Identifier: Apache-2.0
"""ONNX files by hand. ONNX is protobuf: a field is number * 8 + wire type, then a varint, or a
length and bytes."""
import struct

FLOAT, INT64, STRING = 1, 7, 8


def varint(v):
    v &= (1 << 64) - 1
    out = b""
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, dims, data=b"", dtype=FLOAT, location=None):
    t = b"".join(field(1, d) for d in dims) + field(2, dtype) + field(8, name)
    if location is None:
        return field(5, t + field(9, data))
    entry = field(1, "location") + field(2, location)
    return field(5, t + field(13, entry) + field(14, 1))


def floats(n):
    return struct.pack(f"<{n}f", *[i / 8 for i in range(n)])


def ints(name, *v):
    return tensor(name, [len(v)], struct.pack(f"<{len(v)}q", *v), INT64)


def scalar(name, v):
    return tensor(name, [], struct.pack("<q", v), INT64)


def node(op, inputs, output):
    n = b"".join(field(1, i) for i in inputs) + field(2, output) + field(3, f"the {op}")
    return field(1, n + field(4, op))


def value(number, name, dims):
    shape = b"".join(field(1, field(1, d)) for d in dims)
    return field(number, field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape))))


X = (1, 1, 4, 4)


def model(body, opset=13, dims=X):
    graph = body + field(2, "g") + value(11, "x", dims) + value(12, "y", (1, 4))
    return field(1, 8) + field(8, field(2, opset)) + field(7, graph)
