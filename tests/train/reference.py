# SPDX-License-Identifier: Apache-2.0
"""Ten steps of training by PyTorch in float64: reference.py ADJOINT OUT.npz

Writes what test_steps.c holds the entries train-step and train-lipschitz-step against. The nets come
from `adjoint new`; a small interpreter of their nodes is all there is of them here. Pixels, labels
and picks are formulas, repeated in test_steps.c."""
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

STEPS, BATCH, CLASSES = 10, 4, 5
NETS = {
    "half": ("--preact --activation hhrelu --mean .4 --std .3", dict(
        lr=.05, momentum=.9, decay=1e-3, vector_decay=1e-3, nesterov=False, smoothing=0, psi=300., rate=.5)),
    "plain": ("--zero-last", dict(
        lr=.1, momentum=.8, decay=1e-2, vector_decay=0, nesterov=True, smoothing=.1, psi=None)),
}
SHAPE = "--depth 6 --widths 3,4 --input 2x6x6 --seed 3"


def batch(step):
    i = np.arange(BATCH * 2 * 6 * 6)
    x = ((i * i * 31 + i * 17 + step * 101) % 256 / 255).reshape(BATCH, 2, 6, 6)
    k = np.arange(BATCH)
    return x, (k * 3 + step) % CLASSES, (k * 5 + step) % (CLASSES + 1) - 1


class Net:
    def __init__(self, path, dtype):
        self.graph = onnx.load(path).graph
        self.value = {t.name: torch.tensor(numpy_helper.to_array(t).astype(np.float64)).to(dtype)
                      for t in self.graph.initializer}
        self.control, self.psi = 0, 0
        self.training, self.branches = True, None  # factors of residual branches
        seen, matrices, vectors, self.stats = set(), [], [], []
        for n in self.graph.node:
            for slot in {"Conv": [1, 2], "BatchNormalization": [1, 2]}.get(n.op_type, []):
                if slot < len(n.input) and n.input[slot] not in seen:
                    seen.add(n.input[slot])
                    rank = self.value[n.input[slot]].ndim
                    (matrices if rank > 1 else vectors).append(n.input[slot])
            if n.op_type == "BatchNormalization":
                self.stats += n.input[3:5]
        self.names, self.matrices = matrices + vectors, len(matrices)
        for name in self.names:
            self.value[name].requires_grad_()

    def node(self, n, v):
        a = {x.name: onnx.helper.get_attribute_value(x) for x in n.attribute}
        i = [v[name] for name in n.input]
        if n.op_type == "Conv":
            return F.conv2d(i[0], i[1], i[2] if len(i) > 2 else None, a["strides"], a["pads"][:2])
        if n.op_type == "BatchNormalization":
            return F.batch_norm(i[0], i[3], i[4], i[1], i[2], self.training, 1 - a["momentum"],
                                a["epsilon"])
        if n.name.endswith(".add") and self.branches is not None:
            i[0] = i[0] * next(self.branches)
        if n.op_type == "Clip":
            return torch.clamp(i[0], float(i[1]), float(i[2]))
        return {"Relu": F.relu, "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul,
                "Div": torch.div, "Flatten": lambda x: x.flatten(1),
                "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True)}[n.op_type](*i)

    def __call__(self, x):
        v = dict(self.value, x=x)
        for n in self.graph.node:
            v[n.output[0]] = self.node(n, v)
        return v["logits"]

    def vector(self, tensors):
        return torch.cat([t.detach().reshape(-1) for t in tensors]).double().numpy()

    def params(self):
        return [self.value[n] for n in self.names]


def loss_of(net, o, dtype, step):
    x, y, pick = batch(step)
    x = torch.tensor(x, dtype=dtype, requires_grad=o["psi"] is not None)
    y, pick = torch.tensor(y), torch.tensor(pick)
    z = net(x)
    ce = F.cross_entropy(z, y, label_smoothing=o["smoothing"])
    if o["psi"] is None:
        return ce, ce, torch.zeros(())
    own = z.gather(1, y[:, None])[:, 0]
    others = z.masked_fill(F.one_hot(y, CLASSES).bool(), -torch.inf).max(1)[0]
    s = torch.where(pick < 0, own - others, z.gather(1, pick.clamp(0)[:, None])[:, 0])
    slope, = torch.autograd.grad(s.sum(), x, create_graph=True)
    penalty = (slope * slope).mean()
    far = -np.log(ce.item() / 1.7)
    net.control = max(0, net.control + min(max(far, -.01), 1))
    net.psi = o["psi"] * np.exp(o["rate"] * net.control)
    return ce + net.psi * penalty, ce, penalty


def train(path, o, dtype, steps):
    net = Net(path, dtype)
    p, m = net.params(), net.matrices
    opt = torch.optim.SGD([dict(params=p[:m], weight_decay=o["decay"]),
                           dict(params=p[m:], weight_decay=o["vector_decay"])],
                          lr=o["lr"], momentum=o["momentum"], nesterov=o["nesterov"])
    out = dict(params0=net.vector(p), loss=[], penalty=[], psi=[])
    for step in range(steps):
        total, ce, penalty = loss_of(net, o, dtype, step)
        opt.zero_grad()
        total.backward()
        if step == 0:
            out["grad"] = net.vector([t.grad for t in p])
        opt.step()
        out["loss"].append(ce.item())
        out["penalty"].append(penalty.item())
        out["psi"].append(net.psi)
        if step in (0, steps - 1):
            which = "1" if step == 0 else "10"
            out["params" + which] = net.vector(p)
            out["velocity" + which] = net.vector([opt.state[t]["momentum_buffer"] for t in p])
            out["stats" + which] = net.vector([net.value[n] for n in net.stats])
    return out


def main(adjoint, out):
    arrays = {}
    for name, (options, o) in NETS.items():
        with tempfile.NamedTemporaryFile(suffix=".onnx") as f:
            subprocess.run([adjoint, "new", "resnet", "-o", f.name, "--classes", str(CLASSES),
                            *SHAPE.split(), *options.split()], check=True)
            exact = train(f.name, o, torch.float64, STEPS)
            single = train(f.name, o, torch.float32, 1)["grad"]
        error = np.linalg.norm(single - exact["grad"]) / np.linalg.norm(exact["grad"])
        exact["single"] = [error]
        arrays.update({f"{name}.{k}": np.asarray(v, np.float64) for k, v in exact.items()})
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
