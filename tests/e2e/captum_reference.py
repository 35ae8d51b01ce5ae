#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Explanations of a compiled model in float64 against captum's, on images of an .npy file.

    captum_reference.py BUILD/tools/adjoint model.onnx x.npy [LAYER]

LAYER is an ONNX node for grad-cam (default: the model's last convolution). The network is that of
attack_reference.py, with a torch module for each ONNX node, so that captum can hook them. Of
smoothgrad the deterministic part is compared: both average over the same noisy images, which are
drawn here by the project's generator. docs/explain.md has the figures. No test needs this script.
"""
import ctypes
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import torch
from captum.attr import (GuidedBackprop, InputXGradient, IntegratedGradients, LayerGradCam,
                         Saliency)

here = os.path.dirname(os.path.abspath(__file__))
sys.path += [here, os.path.join(here, "../../tools/examples/numpy")]
import adjoint_numpy  # noqa: E402
from attack_reference import OPS, Net, normal, philox  # noqa: E402

# The entries' defaults, but for the steps: a power of 2, as captum has its points in float32.
STEPS, BASELINE, SIGMA, SEED = 16, 0, 0.15, 0


class Node(torch.nn.Module):
    def __init__(self, rule, attributes):
        super().__init__()
        self.rule, self.attributes = rule, attributes

    def forward(self, *v):
        return self.rule(self.attributes, *v)


class Clip(torch.nn.Module):
    """A maximum with 0, where that is the bound, is a ReLU to adjoint."""

    def __init__(self):
        super().__init__()
        self.relu = torch.nn.ReLU()

    def forward(self, x, lo, hi):
        assert not lo.any()
        return torch.minimum(self.relu(x), hi)


MODULES = {"Relu": torch.nn.ReLU, "Clip": Clip}


class Modules(torch.nn.Module):
    """Net, a module a node; captum knows ReLUs by their class."""

    def __init__(self, path):
        super().__init__()
        self.net = Net(path)
        self.nodes = torch.nn.ModuleList()
        for n in self.net.graph.node:
            attr = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
            module = MODULES.get(n.op_type)
            self.nodes.append(module() if module else Node(OPS[n.op_type], attr))

    def forward(self, x):
        g = self.net.graph
        v = dict(self.net.weights)
        v[[i.name for i in g.input if i.name not in v][0]] = x
        for n, module in zip(g.node, self.nodes):
            v[n.output[0]] = module(*[v[i] if i else None for i in n.input])
        return v[g.output[0].name]

    def layer(self, name, x):
        """The module of a node; without a name that of the last convolution over places."""
        sizes, hooks = {}, []
        for k, n in enumerate(self.net.graph.node):
            if n.name == name or (not name and n.op_type == "Conv"):
                hooks.append(self.nodes[k].register_forward_hook(
                    lambda m, a, out, k=k: sizes.update({k: out.shape[2] * out.shape[3]})))
        self(x)
        for h in hooks:
            h.remove()
        return self.nodes[max(k for k, s in sizes.items() if name or s > 1)]


def riemann(model, x, y):
    return IntegratedGradients(model).attribute(x, torch.full_like(x, BASELINE), y,
                                                n_steps=STEPS, method="riemann_middle")


def smooth(model, x, y):
    total, n = 0, x[0].numel()
    for t in range(STEPS):
        noise = np.stack([normal(philox(SEED, i, 0, t, n)) for i in range(len(x))])
        noisy = x + SIGMA * torch.from_numpy(noise).reshape(x.shape)
        total += Saliency(model).attribute(noisy, y, abs=False)
    return total / STEPS


def compiled(adjoint, model, entries, layer):
    folder = tempfile.mkdtemp()
    more = ["--layer", layer] if layer else []
    subprocess.run([adjoint, "compile", model, "-o", f"{folder}/m", "--prefix", "m", "--emit", "so",
                    "--precision", "f64", "--entry", ",".join(entries)] + more, check=True)
    return f"{folder}/m.so"


def main(adjoint, path, images, layer=None):
    x = torch.from_numpy(np.load(images)).double()
    model = Modules(path).eval()
    y = model(x).detach().argmax(1)
    where = model.layer(layer, x)
    cases = {
        "saliency": lambda: Saliency(model).attribute(x, y),
        "input-gradient": lambda: InputXGradient(model).attribute(x, y),
        "integrated-gradients": lambda: riemann(model, x, y),
        "smoothgrad": lambda: smooth(model, x, y),
        "grad-cam": lambda: LayerGradCam(model, where).attribute(
            x, y, relu_attributions=True)[:, 0],
        "guided-backprop": lambda: GuidedBackprop(model).attribute(x, y),
    }
    library = ctypes.CDLL(compiled(adjoint, path, cases, layer))
    bad = 0
    for name, rule in cases.items():
        want = rule().detach().numpy().reshape(len(x), -1)
        got = adjoint_numpy.run(library, "m", name, steps=STEPS, x=x.numpy(), y=y.numpy())["map"]
        gap = np.abs(got.reshape(len(x), -1) - want).max(1) / np.abs(want).max(1)
        bad += not gap.max() < 1e-9
        print(f"{name}: {len(x)} images, apart by {gap.max():.1e} of the largest value")
    return bad


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
