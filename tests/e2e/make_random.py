#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes random.onnx: a small classifier of 28x28 images that draws random numbers in four places,
with weights of a fixed formula. attack_reference.py runs it with the same draws.

    make_random.py tests/e2e/random.onnx
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def weights(name, *shape):
    i = np.arange(np.prod(shape), dtype=np.float64)
    v = np.cos(2.3 * i + 0.7 * len(shape)) / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array(np.float32(2 * v.reshape(shape)), name)


def scalar(name, v):
    return numpy_helper.from_array(np.array(v), name)


node = helper.make_node
nodes = [
    node("RandomNormalLike", ["x"], ["noise"], mean=0.0, scale=0.1),
    node("Add", ["x", "noise"], ["noisy"]),
    node("RandomUniform", [], ["gain"], low=0.8, high=1.2, shape=[1, 1, 1, 1]),
    node("Mul", ["noisy", "gain"], ["bright"]),
    node("Conv", ["bright", "w1"], ["a"], kernel_shape=[4, 4], strides=[4, 4]),
    node("Relu", ["a"], ["b"]),
    node("Dropout", ["b", "ratio", "yes"], ["c"]),
    node("Flatten", ["c"], ["d"]),
    node("Constant", [], ["p"], value=numpy_helper.from_array(np.float32(0.9).reshape(1, 1))),
    node("Shape", ["d"], ["shape"]),
    node("Expand", ["p", "shape"], ["ps"]),
    node("Bernoulli", ["ps"], ["mask"]),
    node("Mul", ["d", "mask"], ["e"]),
    node("Gemm", ["e", "w2", "bias"], ["logits"], transB=1),
]
image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 28, 28])
logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])
constants = [weights("w1", 6, 1, 4, 4), weights("w2", 10, 294), weights("bias", 10),
             scalar("ratio", np.float32(0.25)), scalar("yes", True)]
graph = helper.make_graph(nodes, "random", [image], [logits], constants)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, sys.argv[1])
