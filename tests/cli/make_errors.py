#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_errors.py FOLDER: the models of docs/errors.md, as exporters write them."""
import os
import sys

from onnx_bytes import *

CONV = [("kernel_shape", [3, 3]), ("pads", [1, 1, 1, 1])]
WEIGHTS = tensor("w", [4, 3, 3, 3], floats(108))


def attribute(name, v):
    if isinstance(v, int):
        return field(5, field(1, name) + field(3, v) + field(20, 2))
    return field(5, field(1, name) + b"".join(field(8, i) for i in v) + field(20, 7))


def named(name, op, inputs, output, attributes=(), domain=""):
    n = b"".join(field(1, i) for i in inputs) + field(2, output) + field(3, name) + field(4, op)
    n += b"".join(attribute(*a) for a in attributes)
    return field(1, n + (field(7, domain) if domain else b""))


def dim(d):
    return field(1, field(2, d) if isinstance(d, str) else field(1, d))


def shaped(number, name, dims, dtype):
    t = field(1, dtype) + field(2, b"".join(dim(d) for d in dims))
    return field(number, field(1, name) + field(2, field(1, t)))


def whole(body, opset=13, dims=("N", 3, 8, 8), dtype=FLOAT, domain=""):
    graph = body + field(2, "g") + shaped(11, "x", dims, dtype) + shaped(12, "y", ("N", 4), dtype)
    imports = field(8, field(2, opset))
    if domain:
        imports += field(8, field(1, domain) + field(2, 1))
    return field(1, 8) + imports + field(7, graph)


def head(from_):
    return (named("head/pool", "GlobalAveragePool", [from_], "p") +
            named("head/flat", "Flatten", ["p"], "y"))


def conv(attributes=CONV, weights=WEIGHTS, group=1):
    given = list(attributes) + [("group", group)]
    return named("stem/conv", "Conv", ["x", "w"], "c", given) + head("c") + weights


def batch_norm():
    inputs = ["x", "s", "s", "s", "s"]
    train = named("stem/bn", "BatchNormalization", inputs, "b", [("training_mode", 1)])
    return train + head("b") + tensor("s", [3], floats(3))


def cropped():
    return (named("find", "ReduceMax", ["x"], "m", [("keepdims", 0)]) +
            named("to_int", "Cast", ["m"], "k", [("to", INT64)]) +
            named("as_list", "Unsqueeze", ["k", "zero"], "end") +
            named("crop", "Slice", ["x", "zero", "end"], "c") + head("c") + ints("zero", 0))


models = {
    "custom": whole(named("stem/conv", "FancyConv", ["x", "w"], "c", (), "com.acme") + head("c") +
                    WEIGHTS, domain="com.acme"),
    "recurrent": whole(named("rnn", "LSTM", ["x", "w", "w"], "c") + head("c") + WEIGHTS),
    "detector": whole(named("find", "NonZero", ["x"], "i") +
                      named("to_float", "Cast", ["i"], "y", [("to", FLOAT)])),
    "loop": whole(named("again", "Loop", ["n", "t"], "c") + head("c") + scalar("n", 3)),
    "old": whole(named("act", "Relu", ["x"], "c") + head("c"), opset=5),
    "future": whole(conv(), opset=99),
    "open": whole(conv(), dims=("N", 3, "height", "width")),
    "external": whole(conv(weights=tensor("w", [4, 3, 3, 3], location="weights.bin"))),
    "training": whole(batch_norm(), opset=15),
    "features": whole(named("act", "Relu", ["x"], "y")),
    "labels": whole(head("x").replace(b"\x12\x01y", b"\x12\x01f") +
                    named("top", "ArgMax", ["f"], "y", [("axis", 1), ("keepdims", 0)])),
    "mixed": whole(conv(group=2)),
    "crop": whole(cropped()),
    "text": whole(named("as_is", "Identity", ["x"], "y"), dtype=STRING),
    "good": whole(conv()),
}
for name, data in models.items():
    with open(os.path.join(sys.argv[1], name + ".onnx"), "wb") as f:
        f.write(data)
