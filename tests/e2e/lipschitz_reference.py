#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The quantities of test_lipschitz by PyTorch, and how far they are from the stored references.

    lipschitz_reference.py SHARED resnet44-standard|resnet44-all eval|train f64|f32 [OUT.npz]
    lipschitz_reference.py golden SHARED > lipschitz.golden

SHARED is the folder that ADJ_SHARED names. OUT gets them as arrays, for a comparison with others.
The second writes what test_lipschitz_code holds compiled f32 against: PyTorch's own errors in f32.
"""
import re
import sys

import numpy as np
import torch
import torch.nn.functional as F

import attack_reference as reference


def network(path, dtype, train):
    reference.OPS["BatchNormalization"] = lambda a, x, s, b, m, v: F.batch_norm(
        x, None if train else m, None if train else v, s, b, train, 0.0, 1e-5)
    net = reference.Net(path)
    for name, w in net.weights.items():
        if w.is_floating_point():
            net.weights[name] = w.to(dtype).requires_grad_(w.ndim > 0 and "running" not in name)
    return net


def real(dtype):
    def tensor(t):
        a = torch.from_numpy(reference.numpy_helper.to_array(t).copy())
        return a.to(dtype) if a.is_floating_point() else a
    return tensor


def quantities(shared, name, mode, precision, out=None):
    folder = f"{shared}/golden/lipschitz-{name}-{mode}"
    dtype = torch.float64 if precision == "f64" else torch.float32
    torch.set_default_dtype(dtype)
    reference.Net.tensor = staticmethod(real(dtype))
    reference.OPS["Cast"] = lambda a, x: x.to(dtype) if x.is_floating_point() else x
    load = lambda what: np.load(f"{folder}/{what}.npy")
    x = torch.from_numpy(np.round(load("x").astype(np.float64) * 255) / 255).to(dtype)
    y, pick = (torch.from_numpy(load(w).astype(np.int64)) for w in ("labels", "pick"))
    tandem = torch.from_numpy(load("tandem")) != 0
    net = network(f"{shared}/models/resnet44-cifar10/{name}-op13-bnkept.onnx", dtype,
                  mode == "train")
    x.requires_grad_()
    z = net(x)
    s = torch.where(tandem, reference.at(z, y) - reference.best_other(z, y), reference.at(z, pick))
    g, = torch.autograd.grad(s.sum(), x, create_graph=True)
    ce, penalty = F.cross_entropy(z, y), (g**2).mean()
    weights = {k: w for k, w in net.weights.items() if w.requires_grad}
    d = torch.autograd.grad(ce + 1000 * penalty, list(weights.values()), allow_unused=True)
    got = {f"dloss.{k}": v.detach().numpy() for k, v in zip(weights, d) if v is not None}
    got.update(smooth_grad=g.detach().numpy(), logits=z.detach().numpy(),
               cross_entropy=ce.item(), penalty=penalty.item())
    if out:
        np.savez(out, **got)
    return folder, got


def errors(folder, got):
    """(what, relative distance from the stored reference)"""
    distance = lambda a, b: np.linalg.norm(np.subtract(a, b, dtype=float)) / np.linalg.norm(b)
    text = open(f"{folder}/README.txt").read()
    squares = lambda a: (a.astype(float) ** 2).sum(axis=(1, 2, 3))  # of each image
    each = squares(got["smooth_grad"]) / squares(np.load(f"{folder}/smooth_grad.npy")) - 1
    yield "penalties", np.sqrt(np.mean(each**2))
    for what in ("cross_entropy", "penalty"):
        want = float(re.search(rf"^{what} (\S+)", text, re.M)[1])
        yield what, abs(got[what] - want) / want
    for what in sorted(got):
        try:
            yield what, distance(got[what], np.load(f"{folder}/{what}.npy"))
        except FileNotFoundError:
            pass
    norms = re.findall(r"^(pipe\S+) \d+ \S+ \S+ (\S+)$", text, re.M)
    yield "norms", max(abs(np.linalg.norm(got[f"dloss.{k}"]) / float(v) - 1) for k, v in norms)


def golden(shared):
    print(f"# PyTorch {torch.__version__} in f32, by lipschitz_reference.py golden: relative errors")
    for name in ("resnet44-standard", "resnet44-all"):
        for mode in ("eval", "train"):
            for what, e in errors(*quantities(shared, name, mode, "f32")):
                if what not in ("logits", "dloss.pipe.7.weight"):  # of Fortran order
                    print(f"{name} {mode} {what} {e:.3e}")


def main(*argv):
    for what, e in errors(*quantities(*argv)):
        print(f"{what}: relative {e:.1e}")


if __name__ == "__main__":
    golden(sys.argv[2]) if sys.argv[1] == "golden" else main(*sys.argv[1:])
