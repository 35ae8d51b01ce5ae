# SPDX-License-Identifier: Apache-2.0
"""Ten steps of training by PyTorch in float64, for each line of parts.txt:
parts_reference.py ADJOINT OUT.npz. Every method is written after its authors' code, as the heads of
compiler/programs/train_*.c cite it. test_parts.c makes the same batches and compares."""
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

here = os.path.dirname(os.path.abspath(__file__))
sys.path += [here, os.path.join(here, "..", "e2e")]
from attack_reference import SEED, normal, philox  # noqa: E402
from reference import Net  # noqa: E402

STEPS, BATCH, CLASSES = 10, 4, 4
SHAPE = "--depth 6 --widths 2,2 --input 1x5x5 --seed 3 --classes 4 --mean .4 --std .3"
DEFAULTS = dict(lr=.1, momentum=.9, decay=0, vector_decay=0, nesterov=0, smoothing=0,
                attack_random=1, beta=6, beta1=.9, beta2=.999, epsilon=1e-8, psi_rate=.02)


def batch(step):
    i = np.arange(BATCH * 25)
    k = np.arange(BATCH)
    x = torch.tensor((((i * i * 31 + i * 17 + step * 101) % 256) / 255).reshape(BATCH, 1, 5, 5))
    return (x, torch.tensor((k * 3 + step) % CLASSES),
            torch.tensor((k * 5 + step) % (CLASSES + 1) - 1), torch.tensor((k + step) % 3 > 0))


class Step:
    """One row of parts.txt in training."""

    def __init__(self, path, parts, attack_steps, numbers):
        self.net, self.parts, self.attack_steps = Net(path, torch.float64), parts, attack_steps
        self.o = {**DEFAULTS, **numbers}
        self.params, self.control = self.net.params(), 0
        self.extra, self.count = {}, 0

    def part(self, kind):
        return self.parts.get(kind)

    def uniform(self, shape, stream):
        each = int(np.prod(shape[1:]))
        rows = [philox(SEED, 100 + i, stream, self.count, each) for i in range(BATCH)]
        return torch.from_numpy(np.stack(rows)).reshape(shape)

    def logits(self, x, training=True):
        self.net.training = training
        self.net.branches = self.dropped() if training and self.part("depth") else None
        return self.net(x)

    def dropped(self):
        u = self.uniform((BATCH, 2), 2)
        chance = 1 - torch.tensor([.5, 1.]) * (1 - self.o["survival"])
        return iter(((u < chance).double() / chance).T[:, :, None, None, None])

    # ---- attacks ----

    def attack_logits(self, x):
        return self.logits(x, self.part("attack_norm") == "batch")

    def walk(self, x, y, who, least):
        delta, best, size = torch.zeros_like(x), torch.zeros_like(x), torch.full((BATCH,), np.inf)
        eps, total = self.o["attack_eps"], self.attack_steps
        rms = lambda v: v.square().mean((1, 2, 3))  # noqa: E731
        for t in range(total + least):
            delta.requires_grad_()
            z = self.attack_logits(x + delta)
            g, = torch.autograd.grad(F.cross_entropy(z, y, reduction="sum"), delta)
            delta = delta.detach()
            follow = z.argmax(1) == y if least else rms(delta) < eps**2
            better = ~follow & (rms(delta) < size)
            best[better], size[better] = delta[better], rms(delta)[better]
            d = torch.where(follow[:, None, None, None], g, -delta)
            d = d / (1e-8 + rms(d).sqrt()[:, None, None, None])
            ss = eps * (total - t) / (total * (total + 1) / 2)
            delta = delta + ss * who[:, None, None, None] * d
        return x + (best if least else delta)

    def start(self, x, who, l2):
        u, eps = self.uniform(x.shape, 0), self.o["attack_eps"]
        if self.o["attack_random"] == 2:
            noisy = x + .001 * normal_tensor(u)
        elif self.o["attack_random"] == 1:
            way = normal_tensor(u)
            length = way.flatten(1).norm(dim=1)[:, None, None, None]
            noisy = (x + (eps * way / length if l2 else (2 * u - 1) * eps)).clamp(0, 1)
        else:
            noisy = x
        return torch.where(who[:, None, None, None], noisy, x)

    def climb(self, x, y, who, l2, kl):
        xk, eps, step = self.start(x, who, l2), self.o["attack_eps"], self.o["attack_step"]
        for _ in range(self.attack_steps):
            xk = xk.detach().requires_grad_()
            z = self.attack_logits(xk)
            if kl:
                p = F.softmax(self.attack_logits(x), 1).detach()
                loss = F.kl_div(F.log_softmax(z, 1), p, reduction="sum")
            else:
                loss = F.cross_entropy(z, y, reduction="sum")
            g, = torch.autograd.grad(loss, xk)
            if l2:
                n = g.flatten(1).norm(dim=1)[:, None, None, None]
                d = xk.detach() + step * g / (n + 1e-10) - x
                n = d.flatten(1).norm(dim=1)[:, None, None, None]
                to = (x + d * torch.where(n <= eps, 1, eps / n)).clamp(0, 1)
            else:
                to = xk.detach() + step * g.sign()
                to = torch.min(torch.max(to, x - eps), x + eps).clamp(0, 1)
            xk = torch.where(who[:, None, None, None], to, xk.detach())
        return xk.detach()

    def attacked(self, x, y, who):
        kind = self.part("attack")
        if kind is None:
            return x
        if kind in ("walk", "l2-min"):
            return self.walk(x, y, who, kind == "l2-min")
        return self.climb(x, y, who, kind == "pgd-l2", kind == "kl-linf")

    # ---- losses ----

    def loss(self, x, adv, y):
        kind, o = self.part("loss"), self.o
        if kind == "trades":
            z = self.logits(x)
            robust = F.kl_div(F.log_softmax(self.logits(adv), 1), F.softmax(self.logits(x), 1),
                              reduction="sum") / BATCH
            return z, F.cross_entropy(z, y) + o["beta"] * robust
        if kind == "mart":
            z, other = self.logits(x), self.logits(adv)
            q = F.softmax(other, 1)
            top = torch.argsort(q, 1)[:, -2:]
            wrong = torch.where(top[:, -1] == y, top[:, -2], top[:, -1])
            first = F.cross_entropy(other, y) + F.nll_loss(torch.log(1.0001 - q + 1e-12), wrong)
            p = F.softmax(z, 1)
            true = p.gather(1, y[:, None])[:, 0]
            kl = F.kl_div(torch.log(q + 1e-12), p, reduction="none").sum(1)
            return z, first + o["beta"] * (kl * (1.0000001 - true)).sum() / BATCH
        z = self.logits(adv)
        return z, F.cross_entropy(z, y, label_smoothing=o["smoothing"])

    def penalty(self, z, x, y, pick, loss):
        kind, o = self.part("penalty"), self.o
        grad = lambda v: torch.autograd.grad(v, x, create_graph=True)[0]  # noqa: E731
        if kind == "lipschitz":
            own = z.gather(1, y[:, None])[:, 0]
            others = z.masked_fill(F.one_hot(y, CLASSES).bool(), -torch.inf).max(1)[0]
            s = torch.where(pick < 0, own - others, z.gather(1, pick.clamp(0)[:, None])[:, 0])
            far = -np.log(loss.item() / o["psi_loss"])
            self.control = max(0, self.control + min(max(far, -.01), 1))
            return grad(s.sum()).square().mean(), o["psi"] * np.exp(o["psi_rate"] * self.control)
        if kind == "gradient":
            ce = F.cross_entropy(z, y, reduction="sum")
            return grad(ce).square().sum() / BATCH, o["penalty_weight"]
        if kind == "jacobian":
            v = normal_tensor(self.uniform((BATCH, CLASSES), 1))
            v = v / v.norm(dim=1, keepdim=True)
            size = CLASSES * grad((v * z).sum()).square().sum() / (2 * BATCH)
            return size, o["penalty_weight"]
        if kind == "jacobian-exact":
            size = sum(grad(z[:, k].sum()).square().sum() for k in range(CLASSES)) / (2 * BATCH)
            return size, o["penalty_weight"]
        return torch.zeros(()), 0

    # ---- updates ----

    def optimiser(self):
        o, m = self.o, self.net.matrices
        groups = [dict(params=self.params[:m], weight_decay=o["decay"]),
                  dict(params=self.params[m:], weight_decay=o["vector_decay"])]
        if self.part("optimiser") == "adamw":
            return torch.optim.AdamW(groups, lr=o["lr"], betas=(o["beta1"], o["beta2"]),
                                     eps=o["epsilon"])
        return torch.optim.SGD(groups, lr=o["lr"], momentum=o["momentum"],
                               nesterov=bool(o["nesterov"]))

    def constrain(self):
        kind = self.part("constraint")
        for i, w in enumerate(self.params[:self.net.matrices] if kind else []):
            with torch.no_grad():
                m = w.reshape(w.shape[0], -1)
                if kind == "parseval":
                    m = (1 + self.o["pull"]) * m - self.o["pull"] * m @ m.T @ m
                else:
                    u = self.extra.setdefault("power", {}).get(i, torch.ones(len(m)))
                    v = F.normalize(m.T @ F.normalize(u, dim=0), dim=0, eps=1e-12)
                    u = F.normalize(m @ v, dim=0, eps=1e-12)
                    self.extra["power"][i] = u
                    m = m / max(1, (u @ m @ v).item() / self.o["norm"])
                w.copy_(m.reshape(w.shape))

    def average(self):
        if not self.part("average"):
            return
        stats = [self.net.value[n] for n in self.net.stats]
        for name, now in (("average", self.params), ("average_stats", stats)):
            old, d = self.extra.get(name), self.o["ema"]
            self.extra[name] = [t.detach().clone() if old is None else d * a + (1 - d) * t.detach()
                                for t, a in zip(now, old or now)]

    def run(self):
        opt = self.optimiser()
        out = dict(loss=[], penalty=[])
        for step in range(STEPS):
            x, y, pick, who = batch(step)
            adv = self.attacked(x, y, who).requires_grad_(self.part("penalty") is not None)
            z, loss = self.loss(x, adv, y)
            size, weight = self.penalty(z, adv, y, pick, loss)
            opt.zero_grad()
            (loss + weight * size).backward()
            if step == 0:
                out["grad"] = self.net.vector([t.grad for t in self.params])
            opt.step()
            self.constrain()
            self.average()
            self.count += 1
            out["loss"].append(loss.item())
            out["penalty"].append(size.item())
            if step in (0, STEPS - 1):
                self.store(out, opt, step)
        return out

    def store(self, out, opt, step):
        vector, which = self.net.vector, str(step + 1)
        out["params" + which] = vector(self.params)
        out["stats" + which] = vector([self.net.value[n] for n in self.net.stats])
        if step == 0:
            return
        for name, of in dict(velocity="momentum_buffer", mean="exp_avg", square="exp_avg_sq").items():
            if of in opt.state[self.params[0]]:
                out[name + which] = vector([opt.state[t][of] for t in self.params])
        for name, tensors in self.extra.items():
            out[name + which] = vector(list(tensors.values()) if name == "power" else tensors)


def normal_tensor(u):
    return torch.as_tensor(normal(u))


def main(adjoint, out):
    arrays = {}
    for line in open(os.path.join(here, "parts.txt")):
        if line.startswith("#") or not line.strip():
            continue
        name, options, parts, steps, numbers = [f.strip() for f in line.split("|")][:5]
        pairs = lambda text, sep: dict(p.split("=") for p in text.split(sep) if p)  # noqa: E731
        with tempfile.NamedTemporaryFile(suffix=".onnx") as f:
            subprocess.run([adjoint, "new", "resnet", "-o", f.name, *SHAPE.split(),
                            *options.split()], check=True)
            given = {k: float(v) for k, v in pairs(numbers, " ").items()}
            chosen = pairs(parts, ",")
            base = {"pgd-l2": dict(attack_random=0), "walk": {}, "l2-min": {},
                    "kl-linf": dict(attack_random=2, attack_eps=.031, attack_step=.007)}
            given = {**base.get(chosen.get("attack"), {}), **given}
            result = Step(f.name, chosen, int(steps), given).run()
        arrays.update({f"{name}.{k}": np.asarray(v, np.float64) for k, v in result.items()})
        print(name, result["loss"][0], result["loss"][-1], result["penalty"][0])
    np.savez(out, **arrays)


main(*sys.argv[1:])
