#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_hostile.py FOLDER: models that nobody exports, and one good one to differ from."""
import os
import struct
import sys

from onnx_bytes import *

root = sys.argv[1]


def put(name, data):
    with open(os.path.join(root, name), "wb") as f:
        f.write(data)


GEMM = node("Flatten", ["x"], "flat") + node("Gemm", ["flat", "w"], "y")
GOOD = model(GEMM + tensor("w", [16, 4], floats(64)))


def bombs():
    put("constant.onnx", model(node("ConstantOfShape", ["s"], "c") +
                               node("Add", ["x", "c"], "y") + ints("s", 1, 1 << 35, 4, 4)))
    tile = node("Tile", ["x", "r"], "y")
    put("tile.onnx", model(tile + ints("r", 1, 1 << 20, 1 << 20, 1 << 20)))
    put("tile_big.onnx", model(tile + ints("r", 1, 1, 1 << 18, 1 << 18)))
    put("range.onnx", model(node("Range", ["a", "b", "c"], "r") + node("Reshape", ["x", "r"], "y") +
                            scalar("a", 0) + scalar("b", 1 << 60) + scalar("c", 1)))
    put("expand.onnx", model(node("Expand", ["x", "s"], "y") +
                             ints("s", 1, 1 << 31, 1 << 31, 4, 4)))
    deep = b""
    for i in range(10000):  # graph > node > attribute > graph ...
        deep = field((1, 6, 5)[i % 3], deep)
    put("nested.onnx", field(8, field(2, 13)) + field(7, deep))
    put("claim.onnx", field(1, 8) + varint(7 << 3 | 2) + varint(10**9) + b"\x0a\x00" * 8)
    put("many.onnx", model(b"\x0a\x00" * 5000000))  # nodes of nothing, two bytes each


def shapes():
    w = lambda dims, n=64: model(GEMM + tensor("w", dims, floats(n)))
    put("rank.onnx", w([16, 2, 2]))
    put("negative.onnx", w([-16, 4]))
    put("huge.onnx", w([1 << 62, 4]))
    put("overflow.onnx", w([1 << 40, 1 << 40]))
    put("short.onnx", w([16, 4], 63))
    put("long.onnx", w([16, 4], 65))
    put("rank9.onnx", w([1, 1, 1, 1, 1, 1, 1, 16, 4]))
    put("input_negative.onnx", model(GEMM, dims=(1, 1, -4, 4)))
    put("input_huge.onnx", model(node("Relu", ["x"], "y"), dims=(1, 1 << 62, 4, 4)))
    put("input_overflow.onnx", model(node("Relu", ["x"], "y"), dims=(1, 1 << 31, 1 << 31, 4)))


def graphs():
    put("good.onnx", GOOD)
    put("empty.onnx", b"")
    put("garbage.onnx", bytes(range(255, 0, -1)) * 8)
    for k in range(1, 8):
        put(f"truncated{k}.onnx", GOOD[:len(GOOD) * k // 8])
    put("opset99.onnx", model(GEMM + tensor("w", [16, 4], floats(64)), opset=99))
    put("opset0.onnx", model(GEMM + tensor("w", [16, 4], floats(64)), opset=0))
    put("twice.onnx", model(node("Relu", ["x"], "y") + node("Neg", ["x"], "y")))
    put("weights_twice.onnx", model(GEMM + tensor("w", [16, 4], floats(64)) * 2))
    put("cycle.onnx", model(node("Add", ["x", "b"], "a") + node("Relu", ["a"], "b") +
                            node("Relu", ["b"], "y")))
    put("newline.onnx", model(node("Frob\nnicate", ["x"], "y")))


def external():
    out = lambda path: model(GEMM + tensor("w", [16, 4], location=path))
    for name, path in {"parent": "../secret.bin", "absolute": "/etc/passwd", "link": "link.bin",
                       "link_folder": "folder/secret.bin", "fifo": "fifo.bin", "folder": "sub",
                       "absent": "absent.bin", "device": "zero.bin", "inside": "inside.bin",
                       "few": "few.bin"}.items():
        put(f"ext_{name}.onnx", out(path))
    os.mkdir(os.path.join(root, "sub"))
    put("../secret.bin", floats(64))
    put("w.bin", floats(64))
    put("few.bin", floats(63))
    for link, to in {"link.bin": "../secret.bin", "folder": "..", "zero.bin": "/dev/zero",
                     "inside.bin": "w.bin"}.items():
        os.symlink(to, os.path.join(root, link))
    os.mkfifo(os.path.join(root, "fifo.bin"))
    os.mkfifo(os.path.join(root, "fifo.onnx"))
    os.mkfifo(os.path.join(root, "fifo.npy"))


def images():
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 4, 4), }"
    put("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + head.ljust(117) + b"\n" +
        struct.pack("<32f", *[i / 32 for i in range(32)]))


graphs()
shapes()
bombs()
external()
images()
