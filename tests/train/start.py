# SPDX-License-Identifier: Apache-2.0
"""start.py RELU.onnx START.onnx: START is RELU with half-Huber ReLU and fresh weights, the last
convolution of each block 0: spread as Kaiming says, and what ONNX Runtime makes of it is what its
own weights say."""
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

relu, start = (onnx.load(p) for p in sys.argv[1:])
onnx.checker.check_model(start, full_check=True)
assert not any(n.op_type == "Relu" for n in start.graph.node)
weights = {t.name: numpy_helper.to_array(t) for t in start.graph.initializer}
zeros = [k for k, v in weights.items() if v.ndim == 4 and not v.any()]
assert sorted(zeros) == ["stage1.block1.conv2.weight", "stage2.block1.conv2.weight"], zeros
for name, w in weights.items():
    if w.ndim == 4 and name not in zeros:
        bound = ((1 if name == "head.weight" else 6) / w[0].size) ** .5
        assert .8 * bound < abs(w).max() <= bound, (name, abs(w).max(), bound)

# The same net by hand: RELU's graph with these weights, each Relu's input kept as an output.
for t in relu.graph.initializer:
    t.CopyFrom(numpy_helper.from_array(weights[t.name], t.name))
x = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
run = lambda m: onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"x": x})  # noqa
for n in list(relu.graph.node):
    if n.op_type == "Relu":
        relu.graph.output.append(onnx.helper.make_empty_tensor_value_info(n.input[0]))
        start.graph.output.extend(onnx.helper.make_empty_tensor_value_info(t)
                                  for t in (n.input[0], n.output[0]))
given = run(start)[1:]
for before, after in zip(given[::2], given[1::2]):
    want = np.where(before <= 0, 0, np.where(before <= .5, before**2, before - .25))
    assert abs(after - want).max() < 1e-5
assert np.allclose(run(relu)[1], given[0], atol=1e-6)  # up to the first activation they are equal
