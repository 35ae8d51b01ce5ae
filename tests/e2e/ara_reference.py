#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sizes of L2-min and BTR perturbations by PyTorch, and how they compare with those of adjoint ara.

    ara_reference.py sizes model.onnx test_batch.bin order.txt COUNT OUT.csv [btr] [f64] [EPS]
    ara_reference.py compare A.csv,A.csv,... B.csv,B.csv,...

The first writes index and size of each image, by a transcription of algorithm 1 of Woods, Chen and
Teuscher 2019 (docs/attacks.md, section of the walks). Runs whose EPS (20) differs in the seventh
digit are draws of one quantity, as their rounding differs. The second compares two sets of draws:
areas, and the sizes image by image. Tests need neither this script nor Python.
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F

from attack_reference import Net

STEPS, MU = 450, 0.9


def walk(net, x, y, eps, btr):
    delta, momentum = torch.zeros_like(x), torch.zeros_like(x)
    best = torch.full(y.shape, np.inf, dtype=x.dtype)
    for t in range(STEPS + 1):
        leaf = delta.clone().requires_grad_()
        z = net(x + leaf)
        g, = torch.autograd.grad(F.cross_entropy(z, y, reduction="sum"), leaf)
        z = z.detach()
        own = z.softmax(1).gather(1, y[:, None])[:, 0]
        ok = own <= 1 / z.shape[1] if btr else z.argmax(1) != y
        rmse = (delta**2).mean((1, 2, 3)).sqrt()
        best = torch.where(ok & (rmse < best), rmse, best)
        d = torch.where(ok[:, None, None, None], -delta, g)
        d = d / (1e-8 + (d**2).mean((1, 2, 3), keepdim=True).sqrt())
        momentum = MU * momentum + (1 - MU) * d
        delta = delta + eps * (STEPS - t) / (STEPS * (STEPS + 1) / 2) * momentum
    return torch.where(best < np.inf, best, 0)


def sizes(model, images, order, count, out, *more):
    dtype = torch.float64 if "f64" in more else torch.float32
    eps = [float(w) for w in more if w not in ("f64", "btr")] or [20.0]
    torch.set_default_dtype(dtype)
    Net.tensor = staticmethod(lambda t: real(t, dtype))
    record = np.fromfile(images, np.uint8).reshape(-1, 3073)
    index = np.loadtxt(order, dtype=int)[: int(count)]
    x = torch.from_numpy(record[index, 1:].reshape(-1, 3, 32, 32).astype(np.float64) / 255)
    y = torch.from_numpy(record[index, 0].astype(np.int64))
    m = walk(Net(model), x.to(dtype), y, eps[0], "btr" in more)
    np.savetxt(out, np.stack([index, m.double().numpy()], 1), "%.0f,%.17g", header="index,rmse",
               comments="")


def real(t, dtype):
    from onnx import numpy_helper
    a = torch.from_numpy(numpy_helper.to_array(t).copy())
    return a.to(dtype) if a.is_floating_point() else a


# ---- comparing ----


def area(m):
    m = np.sort(m)
    left = (len(m) - np.arange(len(m))) / len(m) - 0.1
    return float(np.sum(np.diff(m, prepend=0) * np.maximum(left, 0)))


def read(paths):
    draws = []
    for path in paths.split(","):
        with open(path) as f:
            names = f.readline().strip().split(",")
            rows = np.loadtxt(f, delimiter=",", usecols=(0, names.index("rmse")))
        draws.append(rows)
    assert all((d[:, 0] == draws[0][:, 0]).all() for d in draws), "draws of different images"
    return draws[0][:, 0], np.array([d[:, 1] for d in draws])


def describe(name, draws):
    areas = np.array([area(m) for m in draws])
    spread = areas.std(ddof=1) if len(areas) > 1 else float("nan")
    print(f"{name}: {len(areas)} draws, area {areas.mean():.6f}, standard deviation of a draw "
          f"{spread:.6f} ({100 * spread / areas.mean():.1f}%), from {areas.min():.6f} to "
          f"{areas.max():.6f}")
    return areas


def compare(first, second):
    (index, a), (other, b) = read(first), read(second)
    assert (index == other).all(), "other images"
    x, y = describe("first", a), describe("second", b)
    error = np.sqrt(x.var(ddof=min(1, len(x) - 1)) / len(x) + y.var(ddof=min(1, len(y) - 1)) / len(y))
    print(f"ratio of the mean areas {x.mean() / y.mean():.4f}, standard error {error / y.mean():.4f}")
    print(f"images of size 0 on one side alone: {np.sum((a.mean(0) > 0) != (b.mean(0) > 0))}")
    k = (a.min(0) > 0) & (b.min(0) > 0)
    ratio = a[:, k].mean(0) / b[:, k].mean(0)
    print("mean size of an image, first over second, quantiles 0 5 25 50 75 95 100%:",
          np.quantile(ratio, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]).round(4))
    p, q = np.sort(a.ravel()), np.sort(b.ravel())
    at = np.concatenate([p, q])
    gap = np.abs(np.searchsorted(p, at, "right") / len(p) - np.searchsorted(q, at, "right") / len(q))
    print(f"largest distance of the distributions (Kolmogorov-Smirnov): {gap.max():.4f}")


if __name__ == "__main__":
    {"sizes": sizes, "compare": compare}[sys.argv[1]](*sys.argv[2:])
