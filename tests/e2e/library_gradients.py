# SPDX-License-Identifier: Apache-2.0
"""Where gradients in f32 differ: PyTorch's, computed in several ways, and Adjoint's, against f64.

Part of library_attacks.py. Each way changes one thing of PyTorch's f32 gradient, so that what it
changes in the signs of the pixels shows where a difference comes from.
"""
import os
import subprocess

import numpy as np
import torch

import attack_reference as own

COUNT, CHUNK = 64, 16


def log1p_ce(y):
    """Cross-entropy of docs/attacks.md: its gradient has no softmax - 1."""
    def loss(z):
        d = z - own.at(z, y)[:, None]
        d = torch.where(torch.nn.functional.one_hot(y, z.shape[1]).bool(), -torch.inf, d)
        m = d.max(1)[0].clamp(min=0).detach()
        u = torch.expm1(-m) + torch.exp(d - m[:, None]).sum(1)
        return m + torch.log1p(u)
    return loss


def pytorch(net, loss, dtype, plain=False):
    def run(x, y):
        torch.set_default_dtype(dtype)
        with torch.backends.mkldnn.flags(enabled=not plain):
            return own.one_grad(net[dtype], loss(y), x.to(dtype))[2]
    return run


def adjoint(program, path, loss, folder, *more):
    def run(x, y):
        at = [os.path.join(folder, f"{name}.npy") for name in ("x", "y", "g")]
        np.save(at[0], x.numpy().astype(np.float32))
        np.save(at[1], y.numpy())
        subprocess.run([program, "gradient", path, at[0], "--labels", at[1], "--of", loss,
                        "-o", at[2], "--threads", "1", *more], check=True, stdout=subprocess.DEVNULL)
        return torch.from_numpy(np.load(at[2]))
    return run


def ways(net, program, path, folder):
    """(name, how its gradients are computed), of cross-entropy and of a logit; the first of each
    loss is the reference."""
    f32, f64, direct = torch.float32, torch.float64, ("--winograd", "off")
    logit = lambda y: lambda z: own.at(z, y)  # noqa: E731
    return {
        "cross-entropy": [
            ("", pytorch(net, own.ce, f64)),
            ("PyTorch", pytorch(net, own.ce, f32)),
            ("PyTorch, oneDNN off", pytorch(net, own.ce, f32, True)),
            ("PyTorch, cross-entropy by `log1p`", pytorch(net, log1p_ce, f32)),
            ("Adjoint", adjoint(program, path, "ce", folder)),
            ("Adjoint, `--winograd off`", adjoint(program, path, "ce", folder, *direct)),
        ],
        "label's logit": [
            ("", pytorch(net, logit, f64)),
            ("PyTorch", pytorch(net, logit, f32)),
            ("PyTorch, oneDNN off", pytorch(net, logit, f32, True)),
            ("Adjoint", adjoint(program, path, "logit", folder)),
            ("Adjoint, `--winograd off`", adjoint(program, path, "logit", folder, *direct)),
        ],
    }


def figures(g, exact):
    top = own.wide(exact.flatten(1).abs().max(1)[0])
    seen = exact.abs() > 1e-3 * top
    off = seen & (g.double().sign() != exact.sign())
    error = own.l2(g.double() - exact) / own.l2(exact)
    return {"pixels": int(seen.sum()), "off": int(off.sum()),
            "images": int(off.flatten(1).any(1).sum()), "of": len(g),
            "median": float(error.median()), "p95": float(error.quantile(0.95))}


def compare(net, program, path, folder, x, y):
    found = {}
    for loss, rows in ways(net, program, path, folder).items():
        chunks = list(zip(x.split(CHUNK), y.split(CHUNK)))
        exact = torch.cat([rows[0][1](*c) for c in chunks])
        for name, way in rows[1:]:
            found[f"{loss} | {name}"] = figures(torch.cat([way(*c) for c in chunks]), exact)
    torch.set_default_dtype(torch.float64)
    return found


def line(f):
    right = 100 * (1 - f["off"] / f["pixels"])
    return (f"{f['pixels']} | {right:.3f}% | {f['images']} of {f['of']} | {f['median']:.1e} | "
            f"{f['p95']:.1e}")
