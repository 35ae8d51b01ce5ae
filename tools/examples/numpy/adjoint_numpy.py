# SPDX-License-Identifier: Apache-2.0
"""A compiled model from NumPy, by ctypes alone: adjoint compile m.onnx -o m --emit so"""
import ctypes as c
import numpy as np

TYPES = [np.float64, np.float32, np.float16, None, np.int64, np.int32, np.int8, np.uint8, np.bool_]
p, i32, u32, i64, u64 = c.c_void_p, c.c_int32, c.c_uint32, c.c_int64, c.c_uint64


def record(*fields):
    return type("Record", (c.Structure,), {"_fields_": list(fields)})


Tensor = record(("name", c.c_char_p), ("dtype", i32), ("rank", i32), ("dim", i64 * 6),
                ("output", i32), ("optional", i32))
Entry = record(("name", c.c_char_p), ("run", c.CFUNCTYPE(c.c_int, p, p)),
               ("io", c.POINTER(Tensor)), ("hyper", p), ("nio", i32), ("nhyper", i32),
               ("slots", i32), ("steps", i32), ("shared", u64), ("worker", u64), ("stack", u64))
Model = record(("abi", u32), ("nentry", u32), ("name", c.c_char_p), ("target", c.c_char_p),
               ("cpu", c.c_char_p), ("entry", c.POINTER(Entry)), ("weights", u64), ("hash", u64))
Call = record(("size", u32), ("flags", u32), ("n", i64), ("seed", u64), ("first_id", u64),
              ("ids", p), ("steps", i32), ("hyper_each", u32), ("weights", p), ("io", p),
              ("hyper", p), ("arena", p), ("arena_bytes", c.c_size_t), ("status", p))


def run(library, prefix, entry, steps=10, **inputs):
    """Outputs by name; inputs by name, each [n, ...]. Hyperparameters keep their defaults."""
    model = Model.in_dll(library, prefix + "_model")
    e = next(e for e in model.entry[:model.nentry] if e.name.decode() == entry)
    n, arrays = len(next(iter(inputs.values()))), {}
    for t in e.io[:e.nio]:
        name, dtype, dims = t.name.decode(), TYPES[t.dtype], tuple(t.dim[:t.rank])
        if t.output:
            arrays[name] = np.empty((n,) + dims, dtype)
        elif name in inputs:
            arrays[name] = np.ascontiguousarray(inputs[name], dtype).reshape((n,) + dims)
    io = (p * e.nio)(*[arrays[t.name.decode()].ctypes.data if t.name.decode() in arrays else None
                       for t in e.io[:e.nio]])
    arena = np.empty(e.shared + e.worker + 64, np.uint8)  # of one worker, 64-byte aligned
    call = Call(size=c.sizeof(Call), n=n, steps=steps, io=c.addressof(io),
                arena=(arena.ctypes.data + 63) // 64 * 64, arena_bytes=e.shared + e.worker)
    code = e.run(None, c.addressof(call))
    if code:
        raise RuntimeError(f"{entry} returned {code}")
    return {t.name.decode(): arrays[t.name.decode()] for t in e.io[:e.nio] if t.output}
