#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_corpus.py FOLDER: the seeds of the reader fuzzers, a few dozen tiny files in FOLDER/onnx,
FOLDER/text and FOLDER/data. Needs numpy, onnx and Pillow; the files are committed, so tests do
not."""
import gzip
import io
import lzma
import os
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from PIL import Image

root = sys.argv[1]
rng = np.random.default_rng(1)


def put(path, data):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def values(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def model(name, nodes, opset=13, ir=8, x=(1, 2, 6, 6), dtype=T.FLOAT, functions=(), **constants):
    """x -> y through the nodes."""
    init = [nh.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", dtype, x)],
                         [h.make_tensor_value_info("y", T.FLOAT, None)], init)
    domains = [h.make_opsetid("", opset)] + [h.make_opsetid("mine", 1)] * bool(functions)
    m = h.make_model(graph, opset_imports=domains, ir_version=ir, functions=functions)
    put(f"onnx/{name}.onnx", m.SerializeToString())


def one(name, op, inputs=(), outputs=("y",), **kw):
    options = {k: kw.pop(k) for k in ("opset", "x", "constants") if k in kw}
    constants = options.pop("constants", {})
    model(name, [h.make_node(op, ["x", *inputs], outputs, name=name, **kw)], **options, **constants)


def models():
    ints = lambda *v: np.array(v, np.int64)
    w = values(4, 2, 3, 3)
    one("conv", "Conv", ["w", "b"], pads=[1, 1, 1, 1], strides=[2, 2],
        constants={"w": w, "b": values(4)})
    one("conv_auto", "Conv", ["w"], auto_pad="SAME_UPPER", group=2,
        constants={"w": values(4, 1, 3, 3)})
    one("deconv", "ConvTranspose", ["w"], output_padding=[1, 1], strides=[2, 2],
        constants={"w": values(2, 3, 3, 3)})
    one("norm", "BatchNormalization", ["s", "b", "m", "v"],
        constants={k: values(2) ** 2 for k in "sbmv"})
    one("maxpool", "MaxPool", outputs=("y", "i"), kernel_shape=[2, 2], ceil_mode=1, strides=[2, 2])
    one("avgpool", "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    one("reshape", "Reshape", ["s"], constants={"s": ints(0, -1)})
    one("slice", "Slice", ["a", "b", "c", "d"], constants={
        "a": ints(1, -5), "b": ints(9, 5), "c": ints(1, 3), "d": ints(1, 2)})
    one("pad", "Pad", ["p"], mode="reflect", constants={"p": ints(0, 0, 1, 1, 0, 0, 1, 2)})
    one("gather", "Gather", ["i"], axis=2, constants={"i": ints(0, -1, 2)})
    one("resize", "Resize", ["", "s"], mode="linear", constants={
        "s": np.array([1, 1, 2, 1.5], np.float32)})
    one("tile", "Tile", ["r"], constants={"r": ints(1, 2, 1, 3)})
    one("expand", "Expand", ["s"], constants={"s": ints(3, 1, 2, 6, 6)})
    one("reduce", "ReduceMean", axes=[2, -1], keepdims=0)
    one("topk", "TopK", ["k"], outputs=("y", "i"), axis=1, constants={"k": ints(1)})
    one("split", "Split", ["s"], outputs=("y", "z"), axis=2, constants={"s": ints(2, 4)})
    one("transpose", "Transpose", perm=[0, 2, 3, 1])
    one("einsum", "Einsum", ["w"], equation="nchw,dc->ndhw", constants={"w": values(3, 2)})
    one("softmax", "Softmax", axis=-1)
    one("clip6", "Clip", opset=6, min=0.0, max=6.0)
    one("space", "SpaceToDepth", blocksize=2)
    one("quant", "QuantizeLinear", ["s", "z"], constants={
        "s": np.float32(0.1), "z": np.uint8(3)})
    model("shape_sum", [
        h.make_node("Shape", ["x"], ["s"]), h.make_node("Gather", ["s", "zero"], ["n"]),
        h.make_node("Unsqueeze", ["n", "zeros"], ["n1"]),
        h.make_node("Concat", ["n1", "rest"], ["to"], axis=0),
        h.make_node("Reshape", ["x", "to"], ["f"]), h.make_node("Gemm", ["f", "w", "b"], ["y"],
                                                                 transB=1)],
        zero=np.int64(0), zeros=ints(0), rest=ints(-1), w=values(3, 72), b=values(3))
    model("residual", [
        h.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4), h.make_node("Relu", ["c"], ["r"]),
        h.make_node("Add", ["r", "x"], ["s"]), h.make_node("GlobalAveragePool", ["s"], ["p"]),
        h.make_node("Flatten", ["p"], ["y"])], w=values(2, 2, 3, 3))
    model("range", [
        h.make_node("Range", ["a", "b", "c"], ["r"]), h.make_node("Cast", ["r"], ["f"], to=1),
        h.make_node("ConstantOfShape", ["s"], ["o"],
                    value=h.make_tensor("v", T.FLOAT, [1], [2.0])),
        h.make_node("Add", ["f", "o"], ["t"]), h.make_node("Add", ["x", "t"], ["y"])],
        a=np.int64(0), b=np.int64(6), c=np.int64(1), s=ints(6))
    branch = lambda op: h.make_graph([h.make_node(op, ["x"], ["z"])], op, [],
                                     [h.make_tensor_value_info("z", T.FLOAT, None)])
    model("if", [h.make_node("If", ["c"], ["y"], then_branch=branch("Relu"),
                             else_branch=branch("Neg"))], c=np.array(True))
    f = h.make_function("mine", "Twice", ["a"], ["b"], [
        h.make_node("Constant", [], ["two"], value_float=2.0),
        h.make_node("Mul", ["a", "two"], ["b"])], [h.make_opsetid("", 13)])
    model("function", [h.make_node("Twice", ["x"], ["y"], domain="mine")], functions=[f])
    model("open", [h.make_node("Relu", ["x"], ["y"])], x=("N", 2, "H", "W"))
    put("onnx/tensor.pb", nh.from_array(values(2, 3), "t").SerializeToString())


TEXTS = {
    "conv": """%0 = input {name="x"} : f32[1,2,6,6]
%1 = const splat(0.5) : f32[4,2,3,3]
%2 = conv %0, %1 {strides=[2,1] pads=[1,1,1,1] dilations=[1,1] groups=1} : f32[1,4,3,6]
""",
    "views": """%0 = input {name="x"} : f64[1,2,6]
%1 = transpose %0 {perm=[0,2,1]} : f64[1,6,2]
%2 = slice %1 {start=[0,1,0] size=[1,2,2] step=[1,2,1]} : f64[1,2,2]
%3 = pad %2 {low=[0,1,0] high=[0,0,2] inner=[0,0,1] value=-1.5} : f64[1,3,5]
%4 = reverse %3 {axes=[1]} : f64[1,3,5]
%5 = reshape %4 : f64[1,15]
%6 = broadcast %5 : f64[2,15]
""",
    "reduce": """%0 = input {name="x"} : f32[1,4]
%1 = max %0 {axes=[1]} : f32[1,1]
%2 = argmax %0 {axes=[1]} : i64[1,1]
%3 = cast %2 : f32[1,1]
%4 = add %1, %3 : f32[1,1]
""",
    "select": """%0 = input {name="x"} : bf16[1,3]
%1 = const [1, -0, nan] : bf16[1,3]
%2 = lt %0, %1 : bool[1,3]
%3 = not %2 : bool[1,3]
%4 = select %3, %0, %1 : bf16[1,3]
""",
    "window": """%0 = input {name="x"} : f32[1,1,5]
%1 = window %0 {size=[2] strides=[1] dilations=[2]} : f32[1,1,3,2]
%2 = fold %1 {in=[5] strides=[1] dilations=[2]} : f32[1,1,5]
""",
    "index": """%0 = input {name="x"} : f32[1,5]
%1 = argsort %0 {axis=1 k=2} : i64[1,2]
%2 = gather %0, %1 {axis=1 batch=1} : f32[1,2]
""",
}


def texts():
    for name, body in TEXTS.items():
        last = body.rstrip().rsplit("\n", 1)[-1].split()[0]
        put(f"text/{name}.adj", f"graph g {{\n{body}return y={last}\n}}\n".encode())


def npy(a):
    f = io.BytesIO()
    np.save(f, a)
    return f.getvalue()


def idx(a):
    head = struct.pack(">BBBB", 0, 0, 8, a.ndim) + struct.pack(f">{a.ndim}I", *a.shape)
    return head + a.astype(np.uint8).tobytes()


def image(kind, mode, **options):
    f = io.BytesIO()
    size = (5, 4)
    pixels = rng.integers(0, 256, size[::-1] + (len(Image.new(mode, (1, 1)).getbands()),))
    picture = Image.fromarray(pixels.astype(np.uint8).squeeze(), mode if mode != "P" else None)
    picture.convert(mode).save(f, kind, **options)
    return f.getvalue()


def data():
    bytes_ = rng.integers(0, 256, (2, 3, 4)).astype(np.uint8)
    for name, dtype in {"f4": "<f4", "f8": "<f8", "i8": "<i8", "u1": "|u1", "f2": "<f2"}.items():
        put(f"data/{name}.npy", npy(bytes_.astype(dtype)))
    put("data/fortran.npy", npy(np.asfortranarray(values(2, 3))))
    put("data/labels.npy", npy(np.array([0, 3], np.int64)))
    put("data/npy.gz", gzip.compress(npy(values(2, 3)), mtime=0))
    put("data/images.idx", idx(bytes_))
    put("data/labels.idx.gz", gzip.compress(idx(np.array([1, 2])), mtime=0))
    record = bytes([3]) + bytes(range(256)) * 12
    put("data/cifar.bin.xz", lzma.compress(record * 2))
    put("data/cifar.bin.gz", gzip.compress(record, mtime=0))
    put("data/rgb.png", image("PNG", "RGB"))
    put("data/grey.png", image("PNG", "L"))
    put("data/alpha.png", image("PNG", "RGBA"))
    put("data/rgb.jpg", image("JPEG", "RGB"))
    put("data/grey.jpg", image("JPEG", "L", progressive=True))
    put("data/labels.txt", b"1\n2\n-3\n")


models()
texts()
data()
