#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Independent transcriptions of votes under noise, CLEVER and local Lipschitz constants, in float64
with PyTorch. Writes what test_measures compares:

    measure_reference.py tests/e2e/fashion.onnx > tests/e2e/measures.golden
    measure_reference.py clever tests/e2e/fashion.onnx

The second form prints scores of ART's clever_t (adversarial-robustness-toolbox), whose points are
others, beside those of

    adjoint lipschitz tests/e2e/fashion.onnx x.npy --measure clever --target 0 --batches 40 --points 64
"""
import sys

import numpy as np
import torch

from attack_reference import (IMAGES, SEED, Net, at, blobs, ce, grad_of, l1, l2, normal, philox,
                              wide)

PIXELS = 28 * 28


def uniforms(n, stream, draw, each=PIXELS):
    return np.stack([philox(SEED, i, stream, draw, each) for i in range(n)])


def image(v, x):
    return torch.from_numpy(v).reshape(x.shape)


# ---- randomized smoothing: counts of argmax (Cohen et al. 2019, SampleUnderNoise) ----


def smooth(net, x, y, steps, sigma, first=0):
    counts = np.zeros((len(x), 10))
    for t in range(steps):
        noise = image(normal(uniforms(len(x), 0, first + t)), x)
        for i, k in enumerate(net(x + sigma * noise).argmax(1)):
            counts[i, k] += 1
    return counts


# ---- CLEVER: the largest dual norm among points of the ball ----


def in_ball(x, p, draw):
    n, u = len(x), uniforms(len(x), 0, draw)
    if p == "linf":
        return image(2 * u - 1, x)
    extra = uniforms(n, 1, draw, 1)[:, 0]
    if p == "l2":
        g = normal(u)
        length = np.linalg.norm(g, axis=1) / extra ** (1 / PIXELS)
        return image(g / length[:, None], x)

    def exponential(v):
        q = v - 0.5 + 2.0**-25
        return -np.log(1 - 2 * np.abs(q)) * np.sign(q)

    e = exponential(u)
    total = np.abs(e).sum(1) + np.abs(exponential(extra))
    return image(e / total[:, None], x)


DUAL = {"l1": lambda g: g.flatten(1).abs().max(1)[0], "l2": l2, "linf": l1}


def clever(net, x, y, steps, p, radius, first=0):
    target, most = torch.zeros(len(x), dtype=torch.long), torch.zeros(len(x))
    for t in range(steps):
        v = (x + radius * in_ball(x, p, first + t)).clamp(0, 1)
        g = grad_of(net, lambda z: at(z, y) - at(z, target), v)[2]
        most = torch.maximum(most, DUAL[p](g))
    return most[:, None].numpy()


# ---- the local Lipschitz constant by ascent (Yang et al. 2020) ----


def lipschitz(net, x, y, steps, p, eps, step):
    def project(v):
        d = v - x
        d = d.clamp(-eps, eps) if p == "linf" else d * (eps / wide(l2(d))).clamp(max=1)
        return (x + d).clamp(0, 1)

    def quotient(v):
        up, across = net(v) - net(x).detach(), (v - x).flatten(1)
        if p == "linf":
            return up.abs().sum(1) / across.abs().max(1)[0]
        return up.norm(dim=1) / across.norm(dim=1)

    v = project(x + 1e-3 * image(normal(uniforms(len(x), 0, 0)), x))
    most = torch.zeros(len(x))
    for _ in range(steps):
        v.requires_grad_()
        q = quotient(v)
        g = torch.autograd.grad(q.sum(), v)[0]
        most = torch.maximum(most, q.detach())
        u = g.sign() if p == "linf" else g / (wide(l2(g)) + 1e-10)
        v = project(v.detach() + step * u)
    return torch.maximum(most, quotient(v).detach())[:, None].numpy()


def norms(net, x, y, steps, which):
    g = grad_of(net, ce(y), x)[2]
    return {"l1": l1, "l2": l2, "linf": DUAL["l1"]}[which](g)[:, None].numpy()


# ---- cases: entry, output, steps, settings, transcription ----

CASES = [("smooth", "counts", 300, {"sigma": 0.5}, smooth),
         ("smooth", "counts", 40, {"sigma": 1, "first": 70000}, smooth)]
for p, radius in (("l1", 40), ("l2", 2), ("linf", 0.3)):
    CASES.append((f"clever-{p}", "most", 20, {"radius": radius, "first": 5},
                  lambda *a, p=p, **s: clever(*a, p=p, **s)))
for p, eps, step in (("linf", 0.05, 0.02), ("l2", 1.5, 0.4)):
    CASES.append((f"lipschitz-{p}", "most", 8, {"eps": eps, "step": step},
                  lambda *a, p=p, **s: lipschitz(*a, p=p, **s)))
for which in ("l1", "l2", "linf"):
    CASES.append(("gradient-norms", which, 1, {}, lambda *a, w=which: norms(*a, w)))


def golden(net):
    x = blobs(IMAGES)
    y = net(x).argmax(1)
    for entry, output, steps, settings, run in CASES:
        text = " ".join(f"{k}={v}" for k, v in settings.items())
        print(f"case {entry} {output} {steps} {text}".rstrip())
        for row in run(net, x, y, steps, **settings):
            print(*(repr(float(v)) for v in row))


# ---- by hand, against ART ----


def against_art(path, batches=40, points=64, radius=2.0):
    import art.metrics.metrics as metrics
    from art.estimators.classification import PyTorchClassifier

    net, x = Net(path), blobs(IMAGES)
    y = net(x).argmax(1)

    class Module(torch.nn.Module):
        def forward(self, v):
            return net(v.double())

    art = PyTorchClassifier(Module(), torch.nn.CrossEntropyLoss(), (1, 28, 28), 10,
                            clip_values=(0, 1))
    for i in range(len(x)):
        np.random.seed(i)
        if y[i] == 0:
            continue
        score = metrics.clever_t(art, x[i].numpy(), 0, batches, points, radius, 2,
                                 c_init=5)
        print(f"image {i}: ART's clever_t {score:.6f}")


if __name__ == "__main__":
    if sys.argv[1] == "clever":
        against_art(sys.argv[2])
    else:
        golden(Net(sys.argv[1]))
