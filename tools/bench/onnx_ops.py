# SPDX-License-Identifier: Apache-2.0
"""ONNX models for the peers that have no reader of their own.

`load` reads a file and settles its batch; `Plan` walks the nodes once with example values, folds
what does not depend on the image, and keeps a list of calls. `torch_module` turns the list into a
torch.fx module, which is what one would have written by hand; `jax_function` into a function. Both
have a form for training: weights are parameters, batch normalisation takes the batch's statistics.
"""
import numpy as np
import onnx
from onnx import helper, numpy_helper


def attributes(node):
    out = {}
    for a in node.attribute:
        v = helper.get_attribute_value(a)
        out[a.name] = numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v
    return out


def _random_weights(shape, rng):
    """He-scaled, the last axes being the fan-in."""
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 0
    scale = (1.0 / fan_in) ** 0.5 if fan_in else 0.0
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def load(path, batch):
    """The model for `batch` images. Weights that the file makes with ConstantOfShape become random
    ones; a Reshape to a literal batch takes its first extent from what it reshapes."""
    model = onnx.load(path)
    g = model.graph
    known = {i.name: numpy_helper.to_array(i) for i in g.initializer}
    for n in g.node:
        if n.op_type == "Constant" and "value" in attributes(n):
            known[n.output[0]] = attributes(n)["value"]
    inputs = [i for i in g.input if i.name not in {t.name for t in g.initializer}]
    if len(inputs) != 1:
        raise ValueError(f"{path}: {len(inputs)} inputs; one image is what is measured")
    first = inputs[0].type.tensor_type.shape.dim[0]
    literal = first.dim_value or None
    rng, kept, added = np.random.default_rng(0), [], []
    for n in g.node:
        if n.op_type == "ConstantOfShape" and n.input[0] in known and known[n.input[0]].size > 0:
            shape = [int(d) for d in known[n.input[0]]]
            if len(shape) in (2, 4) and int(np.prod(shape)) > 256:
                added.append(numpy_helper.from_array(_random_weights(shape, rng), n.output[0]))
                continue
        if n.op_type == "Reshape" and literal and n.input[1] in known:
            shape = known[n.input[1]].copy()
            if shape.size > 1 and shape[0] == literal:
                shape[0] = 0
                name = n.output[0] + ".shape"
                added.append(numpy_helper.from_array(shape, name))
                n.input[1] = name
        kept.append(n)
    del g.node[:]
    g.node.extend(kept)
    g.initializer.extend(added)
    first.Clear()
    first.dim_value = batch
    for o in g.output:
        o.type.tensor_type.shape.dim[0].Clear()
    del g.value_info[:]
    return model


def image_shape(model):
    names = {t.name for t in model.graph.initializer}
    image = next(i for i in model.graph.input if i.name not in names)
    return [d.dim_value for d in image.type.tensor_type.shape.dim]


# ---- one operator on NumPy-like values of a backend ----
#
# A backend B has the few functions below that differ between torch and JAX. Operands that are
# known before the image is arrive as numpy arrays.


def _ints(v):
    return [int(i) for i in np.asarray(v).ravel()]


def _spatial_pads(attrs, k, shape, kernel, strides, dilations):
    auto = attrs.get("auto_pad", b"NOTSET").decode()
    if auto in ("NOTSET", "VALID"):
        pads = list(attrs.get("pads", [0] * 2 * k)) if auto == "NOTSET" else [0] * 2 * k
        return pads[:k], pads[k:]
    low, high = [], []
    for d in range(k):
        out = -(-shape[d] // strides[d])
        need = max(0, (out - 1) * strides[d] + (kernel[d] - 1) * dilations[d] + 1 - shape[d])
        small, large = need // 2, need - need // 2
        low.append(small if auto == "SAME_UPPER" else large)
        high.append(large if auto == "SAME_UPPER" else small)
    return low, high


def op_conv(B, a, x, w, b=None):
    k = len(w.shape) - 2
    strides = list(a.get("strides", [1] * k))
    dilations = list(a.get("dilations", [1] * k))
    low, high = _spatial_pads(a, k, x.shape[2:], w.shape[2:], strides, dilations)
    return B.conv(x, w, b, strides, low, high, dilations, a.get("group", 1))


def op_pool(kind):
    def pool(B, a, x):
        k = len(x.shape) - 2
        kernel = list(a["kernel_shape"])
        strides = list(a.get("strides", [1] * k))
        if a.get("ceil_mode") or any(d != 1 for d in a.get("dilations", [])):
            raise NotImplementedError(f"{kind} pooling with ceil_mode or dilations")
        low, high = _spatial_pads(a, k, x.shape[2:], kernel, strides, [1] * k)
        return B.pool(kind, x, kernel, strides, low, high, bool(a.get("count_include_pad", 0)))
    return pool


def op_batch_norm(B, a, x, scale, bias, mean, var):
    return B.batch_norm(x, scale, bias, mean, var, a.get("epsilon", 1e-5))


def op_gemm(B, a, x, w, c=None):
    x = B.transpose(x, [1, 0]) if a.get("transA") else x
    w = B.transpose(w, [1, 0]) if a.get("transB") else w
    y = B.matmul(x, w)
    y = y if a.get("alpha", 1.0) == 1.0 else y * a["alpha"]
    return y if c is None else y + (c if a.get("beta", 1.0) == 1.0 else c * a["beta"])


def op_div(B, a, x, y):
    return x // y if isinstance(x, np.ndarray) and x.dtype.kind in "iu" else x / y


def op_clip(B, a, x, lo=None, hi=None):
    lo = a.get("min") if lo is None else lo
    hi = a.get("max") if hi is None else hi
    return B.clip(x, None if lo is None else float(lo), None if hi is None else float(hi))


def op_reshape(B, a, x, shape=None):
    want = _ints(a["shape"] if shape is None else shape)
    return B.reshape(x, [x.shape[i] if d == 0 else d for i, d in enumerate(want)])


def op_flatten(B, a, x):
    axis = a.get("axis", 1)
    return B.reshape(x, [int(np.prod(x.shape[:axis])), -1])


def op_pad(B, a, x, pads=None, value=None):
    pads = _ints(a["pads"] if pads is None else pads)
    k = len(pads) // 2
    value = a.get("value", 0.0) if value is None else float(np.asarray(value).ravel()[0])
    return B.pad(x, pads[:k], pads[k:], value, a.get("mode", b"constant").decode())


def op_slice(B, a, x, starts=None, ends=None, axes=None, steps=None):
    starts = _ints(a["starts"] if starts is None else starts)
    ends = _ints(a["ends"] if ends is None else ends)
    axes = a.get("axes") if axes is None else _ints(axes)
    axes = list(axes) if axes is not None else list(range(len(starts)))
    steps = _ints(steps) if steps is not None else [1] * len(starts)
    index = [slice(None)] * len(x.shape)
    for axis, start, end, step in zip(axes, starts, ends, steps):
        index[axis] = slice(start, None if abs(end) > 1 << 30 else end, step)
    return x[tuple(index)]


def op_gather(B, a, x, index):
    axis, i = a.get("axis", 0), np.asarray(index)
    if isinstance(x, np.ndarray):
        return np.take(x, i, axis)
    return B.take(x, i, axis)


def op_unsqueeze(B, a, x, axes=None):
    for axis in sorted(_ints(a["axes"] if axes is None else axes)):
        x = np.expand_dims(x, axis) if isinstance(x, np.ndarray) else B.unsqueeze(x, axis)
    return x


def op_concat(B, a, *xs):
    return B.concat(xs, a["axis"])


def op_cast(B, a, x):
    return B.cast(x, helper.tensor_dtype_to_np_dtype(a["to"]))


def op_constant_of_shape(B, a, shape):
    v = np.asarray(a.get("value", np.zeros(1, np.float32))).ravel()[0]
    return np.full(_ints(shape), v)


OPS = {
    "Conv": op_conv,
    "BatchNormalization": op_batch_norm,
    "Relu": lambda B, a, x: B.relu(x),
    "Add": lambda B, a, x, y: x + y,
    "Sub": lambda B, a, x, y: x - y,
    "Mul": lambda B, a, x, y: x * y,
    "Div": op_div,
    "Clip": op_clip,
    "Cast": op_cast,
    "Gather": op_gather,
    "Reshape": op_reshape,
    "Flatten": op_flatten,
    "Pad": op_pad,
    "AveragePool": op_pool("average"),
    "MaxPool": op_pool("max"),
    "GlobalAveragePool": lambda B, a, x: B.mean(x, list(range(2, len(x.shape)))),
    "Gemm": op_gemm,
    "MatMul": lambda B, a, x, y: B.matmul(x, y),
    "Slice": op_slice,
    "Transpose": lambda B, a, x: B.transpose(x, list(a["perm"])),
    "Shape": lambda B, a, x: np.array(x.shape, np.int64),
    "Concat": op_concat,
    "Unsqueeze": op_unsqueeze,
    "ConstantOfShape": op_constant_of_shape,
    "Identity": lambda B, a, x: x,
}


def _constant(node):
    a = attributes(node)
    for key, dtype in (("value", None), ("value_float", np.float32), ("value_floats", np.float32),
                       ("value_int", np.int64), ("value_ints", np.int64)):
        if key in a:
            return np.asarray(a[key], dtype)
    raise NotImplementedError("Constant without a value")


class NumpyBackend:
    """For what is known before the image."""
    relu = staticmethod(lambda x: np.maximum(x, 0))
    clip = staticmethod(np.clip)
    cast = staticmethod(lambda x, d: np.asarray(x).astype(d))
    reshape = staticmethod(np.reshape)
    transpose = staticmethod(np.transpose)
    matmul = staticmethod(np.matmul)
    concat = staticmethod(lambda xs, axis: np.concatenate(xs, axis))


class Plan:
    """The calls that depend on the image: (output, operator, attributes, operands), where an
    operand is the name of a value or a numpy array."""

    def __init__(self, model, backend, example):
        g = model.graph
        known = {t.name: numpy_helper.to_array(t) for t in g.initializer}
        image = next(i.name for i in g.input if i.name not in known)
        live, self.image, self.calls = {image: example}, image, []
        for n in g.node:
            if n.op_type == "Constant":
                known[n.output[0]] = _constant(n)
                continue
            if n.op_type not in OPS:
                raise NotImplementedError(f"{n.op_type} ({n.name})")
            op, a = OPS[n.op_type], attributes(n)
            operands = [None if not i else known[i] if i in known else i for i in n.input]
            if not any(isinstance(i, str) for i in operands):
                known[n.output[0]] = np.asarray(op(NumpyBackend, a, *operands))
                continue
            value = op(backend, a, *[live[i] if isinstance(i, str) else backend.of(i, n.op_type)
                                     for i in operands])
            if isinstance(value, np.ndarray):  # Shape
                known[n.output[0]] = value
                continue
            live[n.output[0]] = value
            self.calls.append((n.output[0], n.op_type, a, operands))
        self.output = g.output[0].name
        if self.output not in live:
            raise ValueError("the model's output does not depend on its input")


# Operands of these are lists of integers or bounds, and stay numpy.
STATIC = ("Reshape", "Pad", "Slice", "Gather", "Unsqueeze", "Clip", "ConstantOfShape")

# Which operands are trained: those of `adjoint train`.
TRAINED = {"Conv": (1, 2), "Gemm": (1, 2), "MatMul": (0, 1), "BatchNormalization": (1, 2)}


def is_trained(op, j, v):
    return j in TRAINED.get(op, ()) and isinstance(v, np.ndarray)


# ---- torch ----


def torch_backend(training=False):
    import torch
    import torch.nn.functional as F

    class Torch:
        @staticmethod
        def of(v, op):
            return v if v is None or op in STATIC else torch.from_numpy(np.array(v))

        @staticmethod
        def conv(x, w, b, strides, low, high, dilations, groups):
            pad = low
            if low != high:
                pad = [0] * len(low)
                x = F.pad(x, [p for d in reversed(range(len(low))) for p in (low[d], high[d])])
            f = (F.conv1d, F.conv2d, F.conv3d)[len(low) - 1]
            return f(x, w, b, strides, pad, dilations, groups)

        @staticmethod
        def pool(kind, x, kernel, strides, low, high, include):
            if low != high:
                if kind == "average":
                    raise NotImplementedError("average pooling with unequal pads")
                pads = [p for d in reversed(range(len(low))) for p in (low[d], high[d])]
                x, low = F.pad(x, pads, value=float("-inf")), [0] * len(low)
            if kind == "max":
                return F.max_pool2d(x, kernel, strides, low)
            return F.avg_pool2d(x, kernel, strides, low, count_include_pad=include)

        @staticmethod
        def batch_norm(x, scale, bias, mean, var, eps):
            if training:
                return F.batch_norm(x, None, None, scale, bias, True, 0.0, eps)
            return F.batch_norm(x, mean, var, scale, bias, False, 0.0, eps)

        @staticmethod
        def take(x, i, axis):
            if i.ndim == 0:
                return torch.select(x, axis, int(i))
            if i.ndim == 1:
                return torch.index_select(x, axis, torch.from_numpy(i.astype(np.int64)))
            raise NotImplementedError("Gather with indices of a higher rank")

        @staticmethod
        def pad(x, low, high, value, mode):
            if mode != "constant":
                raise NotImplementedError(f"Pad of mode {mode}")
            return F.pad(x, [p for d in reversed(range(len(low))) for p in (low[d], high[d])],
                         value=value)

        @staticmethod
        def cast(x, dtype):
            return x.to(getattr(torch, np.dtype(dtype).name))

        relu = staticmethod(F.relu)
        clip = staticmethod(torch.clamp)
        reshape = staticmethod(torch.reshape)
        transpose = staticmethod(torch.permute)
        matmul = staticmethod(torch.matmul)
        mean = staticmethod(lambda x, axes: torch.mean(x, axes, keepdim=True))
        concat = staticmethod(lambda xs, axis: torch.cat(xs, axis))
        unsqueeze = staticmethod(torch.unsqueeze)

    return Torch


def torch_module(model, training=False):
    """A torch.nn.Module: straight-line Python, constants as buffers; for training, weights as
    parameters."""
    import torch

    backend = torch_backend(training)
    example = torch.zeros(image_shape(model))
    with torch.no_grad():
        plan = Plan(model, backend, example)

    # With the example's shapes every loop and attribute is resolved: what is left is a list of
    # calls of torch functions.
    net = torch.nn.Module()
    for k, (_, op, _, operands) in enumerate(plan.calls):
        for j, v in enumerate(operands):
            if training and is_trained(op, j, v):
                weight = torch.nn.Parameter(torch.from_numpy(np.array(v)))
                net.register_parameter(f"c{k}_{j}", weight)
            elif isinstance(v, np.ndarray) and op not in STATIC:
                net.register_buffer(f"c{k}_{j}", torch.from_numpy(np.array(v)))
    shapes = {plan.image: tuple(example.shape)}
    with torch.no_grad():
        value = {plan.image: example}
        for k, (out, op, a, operands) in enumerate(plan.calls):
            value[out] = OPS[op](backend, a, *[
                value[v] if isinstance(v, str) else backend.of(v, op) for v in operands])
            shapes[out] = tuple(value[out].shape)
    del value
    graph, nodes = torch.fx.Graph(), {}
    tracer = torch.fx.proxy.GraphAppendingTracer(graph)
    nodes[plan.image] = graph.placeholder("x")
    for k, (out, op, a, operands) in enumerate(plan.calls):
        args = []
        for j, v in enumerate(operands):
            if isinstance(v, str):
                args.append(_Shaped(torch.fx.Proxy(nodes[v], tracer), shapes[v]))
            elif isinstance(v, np.ndarray) and op not in STATIC:
                constant = torch.fx.Proxy(graph.get_attr(f"c{k}_{j}"), tracer)
                args.append(_Shaped(constant, v.shape))
            else:
                args.append(v)
        result = OPS[op](_unwrapping(backend), a, *args)
        nodes[out] = result.proxy.node
    graph.output(nodes[plan.output])
    return torch.fx.GraphModule(net, graph).train(training)


class _Shaped:
    """A torch.fx proxy; of an operand the shape is known, so that operators can look at it."""

    def __init__(self, proxy, shape=None):
        self.proxy, self.shape = proxy, shape

    def __getitem__(self, index):
        return _Shaped(self.proxy[index])

    def _with(self, other, f):
        return _Shaped(f(self.proxy, other.proxy if isinstance(other, _Shaped) else other))

    def __add__(self, other):
        return self._with(other, lambda a, b: a + b)

    def __sub__(self, other):
        return self._with(other, lambda a, b: a - b)

    def __mul__(self, other):
        return self._with(other, lambda a, b: a * b)

    def __truediv__(self, other):
        return self._with(other, lambda a, b: a / b)


def _unwrapping(backend):
    def bare(v):
        if isinstance(v, _Shaped):
            return v.proxy
        return tuple(map(bare, v)) if isinstance(v, tuple) else v

    class Unwrapping:
        def __getattr__(self, name):
            f = getattr(backend, name)
            return lambda *args: _Shaped(f(*map(bare, args)))

    return Unwrapping()


# ---- JAX ----


def jax_function(model, training=False):
    """f(x), or for training f(weights, x) and the list of weights."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    def window(x, init, op, kernel, strides, low, high):
        return lax.reduce_window(x, init, op, (1, 1, *kernel), (1, 1, *strides),
                                 [(0, 0), (0, 0), *zip(low, high)])

    class Jax:
        @staticmethod
        def of(v, op):
            return v if v is None or op in STATIC else jnp.asarray(v)

        @staticmethod
        def conv(x, w, b, strides, low, high, dilations, groups):
            y = lax.conv_general_dilated(x, w, strides, list(zip(low, high)),
                                         rhs_dilation=dilations, feature_group_count=groups)
            return y if b is None else y + jnp.reshape(b, (1, -1) + (1,) * len(strides))

        @staticmethod
        def pool(kind, x, kernel, strides, low, high, include):
            if kind == "max":
                return window(x, -jnp.inf, lax.max, kernel, strides, low, high)
            total = window(x, 0.0, lax.add, kernel, strides, low, high)
            if include or not any(low + high):
                return total / float(np.prod(kernel))
            ones = jnp.ones_like(x[:1, :1])
            return total / window(ones, 0.0, lax.add, kernel, strides, low, high)

        @staticmethod
        def batch_norm(x, scale, bias, mean, var, eps):
            shape = (1, -1) + (1,) * (len(x.shape) - 2)
            if training:
                over = (0, *range(2, len(x.shape)))
                mean, var = jnp.mean(x, over), jnp.var(x, over)
            s = scale / jnp.sqrt(var + eps)
            return x * jnp.reshape(s, shape) + jnp.reshape(bias - mean * s, shape)

        @staticmethod
        def pad(x, low, high, value, mode):
            if mode != "constant":
                raise NotImplementedError(f"Pad of mode {mode}")
            return jnp.pad(x, list(zip(low, high)), constant_values=value)

        take = staticmethod(lambda x, i, axis: jnp.take(x, i, axis))
        cast = staticmethod(lambda x, d: x.astype(d))
        relu = staticmethod(jax.nn.relu)
        clip = staticmethod(jnp.clip)
        reshape = staticmethod(jnp.reshape)
        transpose = staticmethod(jnp.transpose)
        matmul = staticmethod(jnp.matmul)
        mean = staticmethod(lambda x, axes: jnp.mean(x, tuple(axes), keepdims=True))
        concat = staticmethod(lambda xs, axis: jnp.concatenate(xs, axis))
        unsqueeze = staticmethod(jnp.expand_dims)

    plan = Plan(model, Jax, jnp.zeros(image_shape(model), jnp.float32))

    place, weights = {}, []
    for k, (_, op, _, operands) in enumerate(plan.calls):
        for j, v in enumerate(operands):
            if training and is_trained(op, j, v):
                place[k, j] = len(weights)
                weights.append(jnp.asarray(v))

    def run(weights, x):
        value = {plan.image: x}
        for k, (out, op, a, operands) in enumerate(plan.calls):
            value[out] = OPS[op](Jax, a, *[
                value[v] if isinstance(v, str) else
                weights[place[k, j]] if (k, j) in place else Jax.of(v, op)
                for j, v in enumerate(operands)])
        return value[plan.output]

    return (run, weights) if training else lambda x: run(weights, x)
