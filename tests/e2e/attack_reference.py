#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Independent transcriptions of published attacks, in float64 with PyTorch, run on an ONNX file.

Writes the iterates that test_attack_iterates compares (attacks.golden), and compares `adjoint
attack --precision f64` on any network by hand:

    attack_reference.py golden tests/e2e/fashion.onnx > tests/e2e/attacks.golden
    attack_reference.py golden-random tests/e2e/random.onnx > tests/e2e/random.golden
    attack_reference.py compare BUILD/tools/adjoint model.onnx x.npy y.npy [case...]

Tests need neither this script nor Python. Every rule is written after the authors' code (or the
library that docs/attacks.md names), sample by sample where a library couples a batch.
"""
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
SEED = 7

# ---- the network ----


class Net:
    def __init__(self, path):
        self.graph = onnx.load(path).graph
        self.weights = {t.name: self.tensor(t) for t in self.graph.initializer}
        self.draw = 0  # of its random numbers
        self.eot = self.last = None  # gradients of a step; the pass that judges the last iterate

    @staticmethod
    def tensor(t):
        a = torch.from_numpy(numpy_helper.to_array(t).copy())
        return a.double() if a.is_floating_point() else a

    def __call__(self, x):
        return self.values(x)[self.graph.output[0].name]

    def values(self, x):
        v = dict(self.weights)
        names, stream = {t.name for t in self.graph.initializer}, 128
        v[[i.name for i in self.graph.input if i.name not in names][0]] = x
        for n in self.graph.node:
            attr = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
            args = [v[i] if i else None for i in n.input]
            if n.op_type in RANDOM:
                args.insert(0, self.uniforms(stream, attr.get("shape") or args[0].shape, len(x)))
                stream += 1
            v[n.output[0]] = {**OPS, **RANDOM}[n.op_type](attr, *args)
        return v


    def uniforms(self, stream, shape, n):
        each = int(np.prod(shape[1:]))
        rows = [philox(SEED, i, stream, self.draw, each) for i in range(n)]
        return torch.from_numpy(np.stack(rows)).reshape(n, *shape[1:])


def conv(a, x, w, b=None):
    pads = a.get("pads", [0, 0, 0, 0])
    assert pads[0] == pads[2] and pads[1] == pads[3]
    return F.conv2d(x, w, b, a.get("strides", 1), pads[:2], a.get("dilations", 1),
                    a.get("group", 1))


OPS = {
    "Conv": conv,
    "Relu": lambda a, x: F.relu(x),
    "Add": lambda a, x, y: x + y,
    "Sub": lambda a, x, y: x - y,
    "Mul": lambda a, x, y: x * y,
    "Div": lambda a, x, y: x / y,
    "Constant": lambda a: Net.tensor(a["value"]),
    "Cast": lambda a, x: x.to(torch.get_default_dtype()),
    "Clip": lambda a, x, lo, hi: torch.minimum(torch.maximum(x, lo), hi),
    "BatchNormalization": lambda a, x, s, b, m, v: F.batch_norm(x, m, v, s, b, False, 0,
                                                              a.get("epsilon", 1e-5)),
    "Gather": lambda a, x, i: torch.index_select(x, a.get("axis", 0), i.reshape(-1)).squeeze(
        a.get("axis", 0)) if i.ndim == 0 else torch.index_select(x, a.get("axis", 0), i),
    "Reshape": lambda a, x, s: x.reshape([int(d) for d in s]),
    "Pad": lambda a, x, p, *v: x,
    "AveragePool": lambda a, x: F.avg_pool2d(x, a["kernel_shape"], a["strides"]),
    "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
    "Shape": lambda a, x: torch.tensor(x.shape),
    "Expand": lambda a, x, s: x.expand([int(d) for d in s]),
    "Flatten": lambda a, x: x.flatten(1),
    "Gemm": lambda a, x, w, b: x @ (w.T if a.get("transB") else w) + b,
}


# Their first argument is a tensor of uniforms in [0,1).
RANDOM = {
    "RandomNormalLike": lambda a, u, x: torch.from_numpy(normal(u.numpy())) * single(a["scale"]),
    "RandomUniform": lambda a, u: u * single(a["high"] - a["low"]) + single(a["low"]),
    "Dropout": lambda a, u, x, ratio, training: torch.where(u >= ratio, x * (1 / (1 - ratio)), 0.0),
    "Bernoulli": lambda a, u, p: (u < p).double(),
}


def single(v):
    return float(np.float32(v))


def grad_of(net, loss, x):
    """Under EOT: a gradient is the mean of several, logits and losses are the last one's."""
    if not net.eot or net.draw == net.last:
        return one_grad(net, loss, x)
    total = 0
    for _ in range(net.eot):
        z, value, g = one_grad(net, loss, x)
        total = total + g
        net.draw += 1
    return z, value, total / net.eot


def one_grad(net, loss, x):
    """Logits, losses and gradients, sample by sample."""
    x = x.detach().requires_grad_()
    z = net(x)
    losses = loss(z)
    return z.detach(), losses.detach(), torch.autograd.grad(losses.sum(), x)[0]


def wide(v):
    return v.reshape(-1, 1, 1, 1)


def l2(v):
    return v.flatten(1).norm(dim=1)


# ---- losses, growing towards a wrong answer ----


def ce(y):
    return lambda z: F.cross_entropy(z, y, reduction="none")


def at(z, k):
    return z.gather(1, k[:, None])[:, 0]


def best_other(z, y):
    return z.masked_fill(F.one_hot(y, z.shape[1]).bool(), -math.inf).max(1)[0]


def dlr(y):
    def loss(z):
        s, i = z.sort(1)
        first = (i[:, -1] == y).double()
        rival = s[:, -2] * first + s[:, -1] * (1 - first)
        return -(at(z, y) - rival) / (s[:, -1] - s[:, -3] + 1e-12)

    return loss


def dlr_targeted(y, t):
    def loss(z):
        s = z.sort(1)[0]
        return -(at(z, y) - at(z, t)) / (s[:, -1] - (s[:, -3] + s[:, -4]) / 2 + 1e-12)

    return loss


# ---- auto-PGD (the loop of the authors' code) ----


def apgd(net, x, y, steps, eps=8 / 255, norm="linf", kind="ce", rank=2):
    if kind == "t":
        clean = net(x).detach()
        loss = dlr_targeted(y, clean.sort(1)[1][:, -rank])
    else:
        loss = ce(y) if kind == "ce" else dlr(y)

    def project(v):
        if norm == "linf":
            return torch.minimum(torch.maximum(v, x - eps), x + eps).clamp(0, 1)
        d = v - x
        n = wide(l2(d))
        return (x + d / (n + 1e-12) * n.clamp(max=eps)).clamp(0, 1)

    n = len(x)
    period, least, less = (max(int(p * steps), 1) for p in (0.22, 0.06, 0.03))
    xk = x.clone()
    z, value, g = grad_of(net, loss, xk)
    adv, ok = x.clone(), z.argmax(1) == y
    if kind == "t":
        frozen = ~ok
    else:
        frozen = torch.zeros(n, dtype=bool)
    best, best_g, best_loss = xk.clone(), g.clone(), value.clone()
    history = torch.zeros(steps, n)
    size = torch.full((n,), 2.0 * eps)
    old, since, checked, reduced = xk.clone(), 0, best_loss.clone(), torch.ones(n)
    for i in range(steps):
        drift, old = xk - old, xk.clone()
        a = 0.75 if i > 0 else 1.0
        v = g.sign() if norm == "linf" else g / (wide(l2(g)) + 1e-12)
        u = project(xk + wide(size) * v)
        xk = project(xk + (u - xk) * a + drift * (1 - a))
        z, value, g = grad_of(net, loss, xk)
        wrong = (z.argmax(1) != y) & ~frozen
        adv[wrong] = xk[wrong]
        ok &= ~wrong
        history[i] = value
        up = value > best_loss
        best[up], best_g[up], best_loss[up] = xk[up], g[up], value[up]
        since += 1
        if since == period:
            rises = sum((history[i - c] > history[i - c - 1]).double() for c in range(period))
            wavers = (rises <= period * 0.75).double()
            stuck = (1 - reduced) * (checked >= best_loss).double()
            reduced = torch.maximum(wavers, stuck)
            checked = best_loss.clone()
            r = reduced > 0
            size[r] /= 2
            xk[r], g[r] = best[r].clone(), best_g[r].clone()
            period, since = max(period - less, least), 0
    return adv, ~ok


# ---- DeepFool (foolbox: candidates fixed at the image, overshoot in every iterate) ----


def deepfool(net, x, y, steps, norm="l2", overshoot=0.02, candidates=10):
    outs, flags = [], []
    for x0, label in zip(x.split(1), y):
        classes = net(x0).detach()[0].argsort(descending=True)[:candidates]
        xk, total = x0.clone(), torch.zeros_like(x0)
        for _ in range(steps):
            if net(xk).argmax(1)[0] != label:
                break
            rows = []
            for k in classes[1:]:
                _, gap, g = grad_of(net, lambda z, k=k: z[:, k] - z[:, classes[0]], xk)
                n = g.norm() if norm == "l2" else g.abs().sum()
                rows.append((float(gap[0].abs() / (n + 1e-8)), g))
            d, g = min(rows, key=lambda r: r[0])
            way = g / (g.norm() + 1e-8) if norm == "l2" else g.sign()
            total = total + (d + 1e-4) * way
            xk = (x0 + (1 + overshoot) * total).clamp(0, 1)
        outs.append(xk)
        flags.append(bool(net(xk).argmax(1)[0] != label))
    return torch.cat(outs), torch.tensor(flags)


# ---- Carlini-Wagner L2 (the authors' loop; a sample by itself, so the abort is the sample's) ----


def cw_l2(net, x, y, steps, searches=9, c0=1e-3, kappa=0.0, lr=0.01, abort=True):
    outs, flags = [], []
    for x0, label in zip(x.split(1), y.split(1)):
        w0 = torch.atanh((2 * x0 - 1) * 0.999999)
        back = (torch.tanh(w0) + 1) / 2
        c, low, high, best, size = c0, 0.0, math.inf, x0, math.inf
        for search in range(searches):
            if search == searches - 1 and searches >= 10:
                c = min(high, 1e10)
            d = torch.zeros_like(x0, requires_grad=True)
            adam = torch.optim.Adam([d], lr=lr, betas=(0.9, 0.999), eps=1e-8)
            found, previous = False, math.inf
            for it in range(steps):
                adam.zero_grad()
                point = (torch.tanh(w0 + d) + 1) / 2
                z = net(point)
                short = (at(z, label) - best_other(z, label) + kappa).clamp(min=0)
                loss = (c * short).sum() + (point - back).square().sum()
                loss.backward()
                if abort and it % math.ceil(steps / 10) == 0:
                    if not loss.item() <= 0.9999 * previous:
                        break
                    previous = loss.item()
                adam.step()
                z = z.detach() + kappa * F.one_hot(label, z.shape[1])
                far = float((point.detach() - x0).norm())
                if z.argmax(1) != label:
                    found = True
                    if far < size:
                        best, size = point.detach(), far
            high, low = (c, low) if found else (high, c)
            c = c * 10 if math.isinf(high) else (low + high) / 2
        outs.append(best)
        flags.append(not math.isinf(size))
    return torch.cat(outs), torch.tensor(flags)


# ---- projected gradient descent from the image ----


def pgd(net, x, y, steps, eps, step, norm):
    xk = x.clone()
    for _ in range(steps):
        _, _, g = grad_of(net, ce(y), xk)
        if norm == "linf":
            xk = torch.minimum(torch.maximum(xk + step * g.sign(), x - eps), x + eps)
        else:
            d = xk + step * g / (wide(l2(g)) + 1e-10) - x
            xk = x + d * (eps / wide(l2(d))).clamp(max=1)
        xk = xk.clamp(0, 1)
    return xk, net(xk).detach().argmax(1) != y


# ---- L1 ----


def onto_l1(v, eps):
    """Euclidean projection of each row by sorting (Duchi et al. 2008)."""
    rows = []
    for row, e in zip(v.flatten(1), eps):
        a = row.abs()
        if a.sum() > e:
            u = a.sort(descending=True)[0]
            over = (u.cumsum(0) - e) / torch.arange(1, len(u) + 1)
            t = over[torch.nonzero(u > over)[-1, 0]]
            row = row.sign() * (a - t).clamp(min=0)
        rows.append(row)
    return torch.stack(rows).reshape(v.shape)


def l1(v):
    return v.flatten(1).abs().sum(1)


def pgd_l1(net, x, y, steps, eps, step):
    xk = x.clone()
    for _ in range(steps):
        _, _, g = grad_of(net, ce(y), xk)
        d = xk + step * g / (wide(l1(g)) + 1e-10) - x
        xk = (x + onto_l1(d, torch.full((len(x),), float(eps)))).clamp(0, 1)
    return xk, net(xk).detach().argmax(1) != y


def fmn_l1(net, x, y, steps, step=1.0, gamma=0.05):
    d, n = torch.zeros_like(x), len(x)
    eps, size, best = torch.full((n,), math.inf), torch.full((n,), math.inf), x.clone()
    worst = l1(torch.maximum(x, 1 - x))
    for t in range(steps):
        ramp = (1 + math.cos(math.pi * t / steps)) / 2
        a, gm = step / 100 + (step - step / 100) * ramp, 0.001 + (gamma - 0.001) * ramp
        z, gap, g = grad_of(net, lambda z: best_other(z, y) - at(z, y), x + d)
        ok, far = z.argmax(1) != y, l1(d)
        near = ok & (far < size)
        size, best = torch.where(near, far, size), torch.where(wide(near), x + d, best)
        away = far + gap.abs() / g.flatten(1).abs().max(1)[0].clamp(min=1e-12)
        out = torch.where(size < math.inf, eps * (1 + gm), away)
        eps = torch.minimum(torch.where(ok, torch.minimum(eps * (1 - gm), size), out), worst)
        d = onto_l1(d + a * g / wide(l2(g).clamp(min=1e-12)), eps)
        d = (x + d).clamp(0, 1) - x
    return best, size < math.inf


# ---- Square, Linf (the authors' loop, with this project's generator so that draws are the same) ----


def philox(seed, ident, stream, draw, n):
    """n uniforms of Philox 4x32-10; see ir/philox.c for the key and the counter."""
    block = np.arange((n + 3) // 4, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    c = [block & low, np.full_like(block, stream << 24 | draw),
         np.full_like(block, ident & 0xFFFFFFFF), np.full_like(block, ident >> 32)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return (np.stack(c, 1).reshape(-1)[:n] >> np.uint64(8)) * 2.0**-24


def square_linf(net, x, y, steps, eps, p0=0.8, seed=SEED):
    outs, flags = [], []
    _, ch, h, w = x.shape
    for ident, (x0, label) in enumerate(zip(x.split(1), y.split(1))):
        uniform = lambda stream, t, n: philox(seed, ident, stream, t, n)  # noqa: E731
        sign = lambda u, *s: torch.from_numpy(np.where(u < 0.5, -1.0, 1.0)).reshape(s)  # noqa
        best, least = x0, math.inf
        for t in range(steps):
            if t == 0:
                v = x0 + eps * sign(uniform(0, 0, ch * w), 1, ch, 1, w)
            else:
                late = sum(t - 1 > k for k in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000))
                s = max(int(round(math.sqrt(p0 / 2**late * h * w))), 1)
                u = uniform(1, t, 2)
                r, c = int(u[0] * (h - s)), int(u[1] * (w - s))
                d = torch.zeros_like(x0)
                d[:, :, r:r + s, c:c + s] = 2 * eps * sign(uniform(2, t, ch), 1, ch, 1, 1)
                v = best + d
            v = torch.minimum(torch.maximum(v, x0 - eps), x0 + eps).clamp(0, 1)
            z = net(v).detach()
            margin = float(at(z, label) - best_other(z, label))
            if margin < least or margin <= 0:
                best, least = v, margin
            if least <= 0:
                break
        outs.append(best)
        flags.append(least <= 0)
    return torch.cat(outs), torch.tensor(flags)


def patch(s, turned):
    """The L2 pattern of side s: both halves of one norm, the lower one negative."""
    out, half = torch.zeros(s, s), s // 2
    for rows, top, sign in ((half, 0, 1.0), (s - half, half, -1.0)):
        part = torch.zeros(rows, s)
        for k in range(max(rows, s) // 2 + 1):
            r, c = rows // 2 - k, s // 2 - k
            part[max(r, 0):r + 2 * k + 1, max(c, 0):c + 2 * k + 1] += 1 / (k + 1)**2
        if rows:
            out[top:top + rows] = sign * part / part.norm()
    out = out / out.norm()
    return out.T if turned else out


def norms(v):
    return v.square().sum((-2, -1), keepdim=True).sqrt()


def square_l2(net, x, y, steps, eps, p0=0.8, seed=SEED):
    outs, flags = [], []
    _, ch, h, w = x.shape
    tile, tiny = h // 5, 1e-12
    at0 = (h - 5 * tile) // 2
    nr, nc = (h - at0) // tile, (w - at0) // tile
    for ident, (x0, label) in enumerate(zip(x.split(1), y.split(1))):
        uniform = lambda stream, t, n: philox(seed, ident, stream, t, n)  # noqa: E731
        sign = lambda u, *s: torch.from_numpy(np.where(u < 0.5, -1.0, 1.0)).reshape(s)  # noqa
        best, least = x0, math.inf
        for t in range(steps):
            if t == 0:
                signs, turns = sign(uniform(0, 0, ch * nr * nc), ch, nr, nc), uniform(4, 0, nr * nc)
                d = torch.zeros_like(x0)
                for i in range(nr):
                    for j in range(nc):
                        r, c = at0 + i * tile, at0 + j * tile
                        d[0, :, r:r + tile, c:c + tile] = patch(
                            tile, turns[i * nc + j] > 0.5) * signs[:, i, j, None, None]
            else:
                late = sum(t - 1 > k for k in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000))
                s = max(int(round(math.sqrt(p0 / 2**late * h * w))), 3)
                s = min(s + 1 - s % 2, h, w)
                u = uniform(1, t, 4)
                r, c, r2, c2 = (int(v * (n - s)) for v, n in zip(u, (h, w, h, w)))
                d = best - x0
                one, two = torch.zeros(h, w), torch.zeros(h, w)
                one[r:r + s, c:c + s] = 1
                two[r2:r2 + s, c2:c2 + s] = 1
                room = (eps**2 - d.square().sum()).clamp(min=0)
                weight = (room / ch + norms(d * torch.maximum(one, two))**2).sqrt()
                inner = d[:, :, r:r + s, c:c + s]
                e = patch(s, uniform(3, t, 1)[0] > 0.5) * sign(uniform(2, t, ch), 1, ch, 1, 1)
                e = e + inner / (tiny + norms(inner))
                d = d * (1 - two)
                d[:, :, r:r + s, c:c + s] = e / (tiny + norms(e)) * weight
            v = (x0 + d / (d.norm() + tiny) * eps).clamp(0, 1)
            z = net(v).detach()
            margin = float(at(z, label) - best_other(z, label))
            if margin < least or margin <= 0:
                best, least = v, margin
            if least <= 0:
                break
        outs.append(best)
        flags.append(least <= 0)
    return torch.cat(outs), torch.tensor(flags)


# ---- FAB (the authors' loop; the plane in the box by sorting the pixels) ----


def onto_plane(p, w, above, norm):
    """The least step from p to {v: <w, v> = <w, p> - above} within the box, in one dimension."""
    w = w if above >= 0 else -w
    room = torch.where(w < 0, 1 - p, p)
    live = w.abs() > (1e-8 if norm == "l2" else 0)
    room, a = room[live], w[live].abs()
    rate = a if norm == "l2" else torch.ones_like(a)
    level, order = (room / rate).sort()
    full, slope = (a * room)[order], (a * rate)[order]
    before = full.cumsum(0) - full
    after = slope.sum() - (slope.cumsum(0) - slope)
    reach = torch.nonzero(before + level * after >= abs(above))
    d = torch.zeros_like(p)
    k = reach[0, 0] if len(reach) else -1
    far = rate * (abs(above) - before[k]) / after[k] if len(reach) else room
    d[live] = -w[live].sign() * torch.minimum(far, room)
    return d


def fab(net, x, y, steps, eps, norm="linf", rank=0, random=0, seed=SEED):
    size = (lambda v: v.abs().max()) if norm == "linf" else (lambda v: v.norm())
    outs, flags = [], []
    for ident, (x0, label) in enumerate(zip(x.split(1), y)):
        clean, xk = net(x0).detach()[0], x0.clone()
        best, least = x0, math.inf if clean.argmax() == label else 0.0
        rivals = [int(clean.argsort(descending=True)[rank - 1])] if rank else [
            k for k in range(len(clean)) if k != label]
        if random:
            n = philox(seed, ident, 0, 0, x0.numel())
            n = torch.from_numpy(2 * n - 1 if norm == "linf" else normal(n)).reshape(x0.shape)
            xk = (x0 + eps / 2 * n / size(n)).clamp(0, 1)
        for _ in range(steps if least > 0 else 0):
            rows = []
            for k in rivals:
                _, f, g = grad_of(net, lambda z, k=k: z[:, k] - z[:, label], xk)
                dual = g.abs().sum() if norm == "linf" else g.norm()
                rows.append((float(f[0].abs() / (1e-12 + dual)), f[0], g.flatten()))
            _, f, w = min(rows, key=lambda r: r[0])
            d1 = onto_plane(xk.flatten(), w, f, norm).reshape(x0.shape)
            d2 = onto_plane(x0.flatten(), w, f + w @ (x0 - xk).flatten(), norm).reshape(x0.shape)
            a1, a2 = size(d1).clamp(min=1e-8), size(d2).clamp(min=1e-8)
            alpha = (a1 / (a1 + a2)).clamp(max=0.1)
            xk = ((xk + 1.05 * d1) * (1 - alpha) + (x0 + 1.05 * d2) * alpha).clamp(0, 1)
            if net(xk).argmax(1)[0] != label:
                far = float(size(xk - x0))
                if far < least:
                    best, least = xk, far
                xk = x0 + 0.9 * (xk - x0)
        outs.append(best if least <= eps else x0)
        flags.append(least <= eps)
    return torch.cat(outs), torch.tensor(flags)


# ---- explanations ----


def logit_map(net, y, x):
    return grad_of(net, lambda z: at(z, y), x)[2]


def integrated(net, x, y, steps, baseline):
    points = ((t + 0.5) / steps for t in range(steps))
    total = sum(logit_map(net, y, baseline + a * (x - baseline)) for a in points)
    return (x - baseline) * total / steps, torch.zeros(len(x), dtype=bool)


def normal(u):
    """AS 241, PPND7 (Wichura 1988), at the middle of a 24-bit cell."""
    q = u - 0.5 + 2.0**-25
    r = 0.180625 - q * q
    poly = lambda v, *c: sum(k * v**i for i, k in enumerate(c))  # noqa: E731
    near = q * poly(r, 3.3871327179e0, 5.0434271938e1, 1.5929113202e2, 5.9109374720e1) / poly(
        r, 1, 1.7895169469e1, 7.8757757664e1, 6.7187563600e1)
    r = np.sqrt(-np.log(np.minimum(0.5 - np.abs(q), 0.5))) - 1.6
    far = poly(r, 1.4234372777e0, 2.7568153900e0, 1.3067284816e0, 1.7023821103e-1) / poly(
        r, 1, 7.3700164250e-1, 1.2021132975e-1)
    return np.where(np.abs(q) <= 0.425, near, np.sign(q) * far)


def smoothgrad(net, x, y, steps, sigma, seed=SEED):
    total, n = torch.zeros_like(x), x[0].numel()
    for t in range(steps):
        noise = np.stack([normal(philox(seed, i, 0, t, n)) for i in range(len(x))])
        total += logit_map(net, y, x + sigma * torch.from_numpy(noise).reshape(x.shape))
    return total / steps, torch.zeros(len(x), dtype=bool)


class Guided(torch.autograd.Function):
    """ReLU whose backward pass hands on what is positive."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, c):
        return torch.where(ctx.saved_tensors[0] > 0, c.clamp(min=0), 0.0)


def guided(net, x, y, steps, s):
    plain, OPS["Relu"] = OPS["Relu"], lambda a, v: Guided.apply(v)
    g = logit_map(net, y, x)
    OPS["Relu"] = plain
    return g, torch.zeros(len(x), dtype=bool)


def grad_cam(net, x, y, steps, s):
    """Of the last convolution, which is over places in the example network."""
    name = [n.output[0] for n in net.graph.node if n.op_type == "Conv"][-1]
    v = net.values(x.detach().requires_grad_())
    a, z = v[name], v[net.graph.output[0].name]
    by = torch.autograd.grad(at(z, y).sum(), a)[0].mean((2, 3), keepdim=True)
    return F.relu((a * by).sum(1)).detach(), torch.zeros(len(x), dtype=bool)


def once(rule):
    return lambda net, x, y, steps, s: (rule(x, logit_map(net, y, x)),
                                        torch.zeros(len(x), dtype=bool))


# ---- cases: adjoint's name, its settings, steps, the transcription ----

CASES = {}


def case(name, entry, steps, settings, run):
    CASES[name] = (entry, steps, settings, run)


def apgd_cases():
    for norm, tail, eps in (("linf", "", 0.08), ("l2", "-l2", 1.5)):
        for kind in ("ce", "dlr", "t"):
            more = {"rank": 4} if kind == "t" else {}
            case(f"apgd-{kind}{tail}", f"apgd-{kind}{tail}", 40, {"eps": eps, "random": 0, **more},
                 lambda net, x, y, steps, s, norm=norm, kind=kind: apgd(
                     net, x, y, steps, s["eps"], norm, kind, s.get("rank", 2)))


apgd_cases()
for norm in ("l2", "linf"):
    case(f"deepfool-{norm}", f"deepfool-{norm}", 5, {},
         lambda net, x, y, steps, s, norm=norm: deepfool(net, x, y, steps, norm))
for name, more in (("cw-l2", {"searches": 4}), ("cw-l2-kappa", {"searches": 10, "kappa": 0.5}),
                   ("cw-l2-whole", {"searches": 3, "abort": 0})):
    case(name, "cw-l2", 20, {"c": 0.1, "step": 0.05, **more},
         lambda net, x, y, steps, s: cw_l2(net, x, y, steps, s["searches"], s["c"],
                                           s.get("kappa", 0.0), s["step"], s.get("abort", 1)))
case("pgd-l1", "pgd-l1", 10, {"eps": 12, "step": 6, "random": 0},
     lambda net, x, y, steps, s: pgd_l1(net, x, y, steps, s["eps"], s["step"]))
case("fmn-l1", "fmn-l1", 20, {}, lambda net, x, y, steps, s: fmn_l1(net, x, y, steps))
case("square-linf", "square-linf", 60, {"eps": 0.06},
     lambda net, x, y, steps, s: square_linf(net, x, y, steps, s["eps"]))
case("square-linf-long", "square-linf", 90, {"eps": 0.012},
     lambda net, x, y, steps, s: square_linf(net, x, y, steps, s["eps"]))
for norm, tail, eps in (("linf", "", 0.3), ("l2", "-l2", 2.0)):
    for more in ({}, {"rank": 3}, {"rank": 2, "random": 1}):
        case(f"fab{tail}-{len(more)}", f"fab{'-t' * ('rank' in more)}{tail}", 12, {"eps": eps, **more},
             lambda net, x, y, steps, s, norm=norm: fab(
                 net, x, y, steps, s["eps"], norm, s.get("rank", 0), s.get("random", 0)))
case("square-l2", "square-l2", 70, {"eps": 1.5},
     lambda net, x, y, steps, s: square_l2(net, x, y, steps, s["eps"]))
case("square-l2-long", "square-l2", 120, {"eps": 0.4},
     lambda net, x, y, steps, s: square_l2(net, x, y, steps, s["eps"]))
case("saliency", "saliency", 1, {}, once(lambda x, g: g.abs()))
case("input-gradient", "input-gradient", 1, {}, once(lambda x, g: x * g))
case("guided-backprop", "guided-backprop", 1, {}, guided)
case("grad-cam", "grad-cam", 1, {}, grad_cam)
case("integrated-gradients", "integrated-gradients", 7, {"baseline": 0.25},
     lambda net, x, y, steps, s: integrated(net, x, y, steps, s["baseline"]))
case("smoothgrad", "smoothgrad", 5, {"sigma": 0.2},
     lambda net, x, y, steps, s: smoothgrad(net, x, y, steps, s["sigma"]))

# Of a network that draws random numbers.
RANDOM_CASES = {}
for entry, steps, k, more in (("pgd-linf", 6, 1, {"eps": 0.1, "step": 0.03}),
                              ("pgd-linf", 6, 3, {"eps": 0.02, "step": 0.006}),
                              ("pgd-l2", 5, 4, {"eps": 2, "step": 0.7})):
    RANDOM_CASES[f"{entry}-{k}"] = (
        entry, steps, {"random": 0, **more, "eot": k},
        lambda net, x, y, steps, s, norm=entry[4:]: pgd(net, x, y, steps, s["eps"], s["step"], norm))
for entry, steps, k, norm, eps in (("apgd-ce", 20, 3, "linf", 0.1), ("apgd-ce-l2", 8, 2, "l2", 0.5)):
    RANDOM_CASES[entry] = (entry, steps, {"random": 0, "eps": eps, "eot": k},
                           lambda net, x, y, steps, s, norm=norm: apgd(net, x, y, steps, s["eps"],
                                                                       norm))

# ---- golden file ----

IMAGES, PROBES = 6, 4


def probes(v):
    """A few weighted sums of each image: enough to tell any two iterates apart."""
    flat = v.flatten(1).numpy()
    at = np.arange(flat.shape[1])
    return [[float(np.dot(row, np.cos((k + 1) * 0.37 * at + k))) for k in range(PROBES)]
            for row in flat]


def blobs(n):
    """Images of whole grey levels that the test makes by the same formula."""
    i, r, c = np.ogrid[:n, :28, :28]
    u, v = (c - 14) / 9.0, (r - 14) / (5.0 + i % 7)
    level = np.floor(230 * np.exp(-u * u * (1 + i % 3) - v * v) + 0.5)
    return torch.from_numpy(level / 255)[:, None]


def golden(net, cases):
    x = blobs(IMAGES)
    y = net(x).argmax(1)
    for entry, steps, settings, run in cases.values():
        net.draw, net.eot = 0, settings.get("eot")
        net.last = steps * net.eot if net.eot else None
        adv, ok = run(net, x, y, steps, settings)
        text = " ".join(f"{k}={v}" for k, v in settings.items())
        print(f"case {entry} {steps} {text}".rstrip())
        for row, flag in zip(probes(adv), ok):
            print(int(flag), *(repr(p) for p in row))


# ---- by hand, against the command ----


def attack(adjoint, model, entry, steps, settings, files):
    with tempfile.TemporaryDirectory() as d:
        out = os.path.join(d, "adv.npy")
        given = ",".join(f"{k}={v}" for k, v in settings.items())
        command = [adjoint, "attack", model, files[0], "--labels", files[1], "--attack", entry,
                   "--steps", str(steps), "--precision", "f64", "--seed", str(SEED), "-o", out]
        command += ["--set", given] if given else []
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        return torch.from_numpy(np.load(out)).double()


def compare(adjoint, model, xs, ys, names):
    net = Net(model)
    x = torch.from_numpy(np.load(xs)).double()
    y = torch.from_numpy(np.load(ys)).long()
    for name in names or CASES:
        entry, steps, settings, run = CASES[name]
        got = attack(adjoint, model, entry, steps, settings, (xs, ys))
        want, ok = run(net, x, y, steps, settings)
        gap = l2(got - want) / l2(want - x).clamp(min=1e-12)
        fooled = net(got).argmax(1) != y
        print(f"{name}: {len(x)} images, {steps} steps: iterates apart by {gap.median():.1e} median, "
              f"{gap.max():.1e} most, relative to the perturbation; {int((gap > 1e-6).sum())} above "
              f"1e-6; {int(fooled.sum())} fooled, reference {int(ok.sum())}", flush=True)


if __name__ == "__main__":
    if sys.argv[1].startswith("golden"):
        golden(Net(sys.argv[2]), RANDOM_CASES if sys.argv[1] == "golden-random" else CASES)
    else:
        compare(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5], sys.argv[6:])
