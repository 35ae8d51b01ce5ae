#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares each attack with the libraries themselves, on the ResNet-44 of the paper.

    library_attacks.py run ADJOINT RESULTS.json [--only ENTRY,..] [--kinds KIND,..]
    library_attacks.py table RESULTS.json > docs/attacks-results.md

ADJ_SHARED names the folder of models and data. Needs torch, foolbox, torchattacks, adv-lib,
adversarial-robustness-toolbox and pyautoattack from PyPI. library_attacks.json, beside this script,
has the rows of the page; a run adds those it lacks, so that a few can be made at a time, on any
machine. Each row has its cells as the page prints them, its day and its CPU.

A row of `rows()` is one call of a library, its text as Python, with what makes the compiled entry
do the same. The network that a library gets records every batch it is asked about: these are the
library's iterates. A compiled entry's iterates are read from its arena between steps (the tick of
its environment), at the places that `compile --emit kernels` prints; writing them there as well
makes it take each step from the library's iterate.

    iterates   f64, 64 images, from the library's start: the distance of all iterates
    steps      f32, 64 images, each step from the library's iterate: what follows, beside the
               library's, and both beside the entry in f64 from the same iterate
    rates      f32, 200 images, from the library's start: how many are fooled, at what distance
    gradients  f32 against f64, by library_gradients.py
"""
import argparse
import contextlib
import ctypes
import datetime
import functools
import importlib.metadata
import json
import lzma
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import unittest.mock

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../../tools/examples/numpy")]
import adjoint_numpy as abi  # noqa: E402
import attack_reference as own  # noqa: E402
import library_gradients as gradients  # noqa: E402

COUNT = {"iterates": 64, "steps": 64, "rates": 200}
CHUNK = {"iterates": 16, "steps": 16, "rates": 40}
DTYPE = {"iterates": torch.float64, "steps": torch.float32, "rates": torch.float32}

# ---- the rows ----


class Row:
    """entry: the compiled one; call: the library's, with `net x y steps ids` and the settings.

    settings    hyperparameters of both, by the entry's names
    few, many   steps to compare iterates, and success
    seen        how the entry's state gives the iterate, None: results alone are compared; every:
                rounds between two iterates; skip: rounds before the first
    last        the library returns its last iterate
    how         what a step is held to: "sign" (pixels), "step" (its norm), None (not compared)
    norm        of the distances of a least-norm attack
    differs     what the library does otherwise; kinds: what is compared in spite of it"""

    def __init__(self, entry, library, call, few=4, many=10, how="step", seen="x", every=1,
                 skip=0, norm=None, nets=("all",), kinds=("iterates", "steps", "rates"),
                 rated=("standard", "all"), rates=None, differs="", loss="ce", extra=None, last=True,
                 **settings):
        self.__dict__.update(locals())
        self.rates = rates or {}
        self.extra = extra or {}
        self.name = f"{entry} / {library}"

    def given(self, kind, net):
        """Settings of a comparison; `standard` falls to an eighth of the radius."""
        s = {**self.settings, **(self.rates if kind == "rates" else {})}
        if net == "standard" and "eps" in s:
            s.update({k: s[k] / 8 for k in ("eps", "step") if k in s})
        return s


def rows():
    both, r = ("all", "standard"), []

    def add(*a, **k):
        r.append(Row(*a, **k))

    linf = {"eps": 8 / 255, "step": 2 / 255, "how": "sign"}
    add("fgsm", "torchattacks", "torchattacks.FGSM(net, eps)(x, y)", 1, 1, "sign", eps=8 / 255,
        nets=both)
    add("fgsm", "foolbox", "foolbox(fb.LinfFastGradientAttack(), eps)", 1, 1, "sign", eps=8 / 255,
        kinds=("iterates",))
    add("fgsm", "ART", "art(ev.FastGradientMethod, norm=np.inf, eps=eps)", 1, 1, "sign",
        eps=8 / 255, kinds=("steps",))
    add("fgm-l2", "foolbox", "foolbox(fb.L2FastGradientAttack(), eps)", 1, 1, eps=0.5)
    add("fgm-l2", "ART", "art(ev.FastGradientMethod, norm=2, eps=eps)", 1, 1, eps=0.5,
        kinds=("steps",))
    add("bim", "torchattacks", "torchattacks.BIM(net, eps, step, steps)(x, y)", **linf,
        kinds=("iterates", "rates"))
    add("bim", "foolbox", "foolbox(fb.LinfBasicIterativeAttack(abs_stepsize=step, steps=steps), "
        "eps)", **linf, kinds=("iterates",))
    add("pgd-linf", "torchattacks", "torchattacks.PGD(net, eps, step, steps)(x, y)", **linf,
        nets=both, extra={"random": 0})
    add("pgd-linf", "foolbox", "foolbox(fb.LinfPGD(abs_stepsize=step, steps=steps), eps)", **linf,
        extra={"random": 0}, kinds=("iterates",))
    add("pgd-linf", "adv-lib", "adv.pgd_linf(net, x, y, eps, steps=steps, absolute_step_size=step)",
        **linf, extra={"random": 0, "keep": 2},
        last=False,
        differs="returns an iterate that fools, which `keep` 2 does; tries no last point")
    l2 = {"extra": {"random": 0}, "eps": 0.5, "step": 0.125}
    add("pgd-l2", "torchattacks", "torchattacks.PGDL2(net, eps, step, steps)(x, y)", **l2)
    add("pgd-l2", "foolbox", "foolbox(fb.L2PGD(abs_stepsize=step, steps=steps), eps)", **l2)
    add("pgd-l1", "foolbox", "foolbox(fb.L1PGD(abs_stepsize=step, steps=steps), eps)",
        extra={"random": 0}, eps=1000, step=3, rates={"eps": 12},
        differs="shortens the perturbation instead of projecting it: iterates and steps in a ball "
        "that they do not reach")
    mi = {**linf, "mu": 1.0}
    add("mi-fgsm", "torchattacks", "torchattacks.MIFGSM(net, eps, step, steps, mu)(x, y)", **mi,
        nets=both)
    add("mi-fgsm", "ART", "art(ev.MomentumIterativeMethod, norm=np.inf, eps=eps, eps_step=step, "
        "decay=mu, max_iter=steps, verbose=False)", **mi, kinds=("rates",))
    add("mi-fgsm", "foolbox", "foolbox(fb.MIFGSM(abs_stepsize=step, steps=steps, momentum=mu), "
        "eps)", **mi, kinds=("rates",),
        differs="adds up signs of gradients, which is another attack")
    apgd_rows(add, both)
    least_norm_rows(add)
    fab_rows(add)
    forward_rows(add)
    first = {row.entry: row for row in reversed(r)}
    for row in r:
        if first[row.entry] is not row:
            row.rated = ("standard",)
    return sorted(r, key=lambda row: first[row.entry] is not row)  # the libraries followed first


def apgd_rows(add, both):
    for tail, norm, eps in (("", "Linf", 8 / 255), ("-l2", "L2", 0.5)):
        how = "step" if tail else "sign"
        for kind, loss in (("ce", "ce"), ("dlr", "dlr"), ("t", "dlr-targeted")):
            more = {"rank": 2} if kind == "t" else {}
            add(f"apgd-{kind}{tail}", "pyautoattack", f"apgd('{norm}', '{loss}', eps, steps)", 8,
                10, how, eps=eps, extra={"random": 0}, skip=kind == "t", loss=loss, nets=both,
                **more)
    add("apgd-ce", "adv-lib", "adv.apgd(net, x, y, eps, norm=math.inf, n_iter=steps)", 8, 10,
        "sign", eps=8 / 255, extra={"random": 0}, kinds=("rates",),
        differs="two conditions at checkpoints, see docs/attacks.md")


def forward_rows(add):
    one = "one window a query for all images: iterates of one image at a time, with the entry's " \
        "random numbers"
    add("square-linf", "pyautoattack", "square('Linf', eps, steps - 1)", 12, 40, None, seen=None,
        eps=8 / 255, nets=("standard",), kinds=("iterates", "rates"), differs=one)
    add("square-l2", "pyautoattack", "square('L2', eps, steps - 1)", 12, 40, None, seen=None,
        eps=0.5, kinds=("rates",), differs="one window a query for all images")
    draw = {"how": None, "seen": None, "eps": 8 / 255, "differs": "one draw",
            "kinds": ("iterates", "rates")}
    add("noise-gaussian", "torchattacks", "normals(torchattacks.GN(net, eps))(x, y)", 1, 1, **draw)
    add("noise-uniform", "torchattacks", "uniforms(torchattacks.PGD(net, eps, 0, 0))(x, y)", 1, 1,
        **draw)
    add("noise-uniform", "foolbox", "foolbox(fb.LinfRepeatedAdditiveUniformNoiseAttack("
        "repeats=steps), eps)", 1, 20, None, seen=None, eps=8 / 255, kinds=("rates",),
        differs="stretches each draw until its largest value is at eps")


def fab_rows(add):
    """Its steps to the plane are exact on both sides, by other rules: results are compared."""
    for tail, norm, far in (("", "Linf", 1.0), ("-l2", "L2", 1e4)):
        for kind, rank, few, many in (("fab", 0, 3, 3), ("fab-t", 2, 6, 20)):
            more = {"rank": rank} if rank else {}
            add(kind + tail, "pyautoattack", f"fab('{norm}', {rank}, steps)", few, many, None,
                seen=None, norm=norm.lower(), nets=("standard",), kinds=("iterates", "rates"),
                extra={"eps": far, **more})


def least_norm_rows(add):
    least = {"seen": "delta", "norm": "l2", "nets": ("standard",)}
    add("ddn", "adv-lib", "adv.ddn(net, x, y, steps=steps)", 6, 20, **least)
    add("ddn", "foolbox", "foolbox(fb.DDNAttack(steps=steps))", 6, 20, **least, levels=0,
        differs="does not round to grey levels, as `levels` 0")
    add("fmn-l1", "adv-lib", "adv.fmn(net, x, y, norm=1, steps=steps, α_init=step)", 6, 20,
        **{**least, "norm": "l1"}, step=1.0)
    add("fmn-l2", "adv-lib, shortened", "shortening(adv.fmn)(net, x, y, norm=2, steps=steps, "
        "α_init=step)", 6, 20, **least, step=1.0,
        differs="with the projection of the paper in place of the library's")
    add("fmn-l2", "adv-lib", "adv.fmn(net, x, y, norm=2, steps=steps, α_init=step)", 6, 20,
        **least, step=1.0, kinds=("rates",), differs="its projection also lengthens")
    add("fmn-linf", "adv-lib", "adv.fmn(net, x, y, norm=math.inf, steps=steps, α_init=step)", 6,
        20, **{**least, "norm": "linf"}, step=10.0)
    for norm in ("l2", "linf"):
        fb = {"l2": "L2", "linf": "Linf"}[norm]
        add(f"deepfool-{norm}", "foolbox", f"foolbox(fb.{fb}DeepFoolAttack(steps=steps))", 2, 3,
            norm=norm, every=9, nets=("standard",))
        p = {"l2": "2", "linf": "math.inf"}[norm]
        add(f"deepfool-{norm}", "adv-lib", f"adv.df(net, x, y, steps=steps, norm={p})", 2, 3,
            norm=norm, kinds=("rates",), differs="overshoots in each step, from the true class")
    add("deepfool-l2", "torchattacks", "torchattacks.DeepFool(net, steps)(x, y)", 2, 3, norm="l2",
        kinds=("rates",), differs="overshoots in each step, from the true class")
    cw = ("foolbox(fb.L2CarliniWagnerAttack(searches, steps, step, kappa, c, "
          "abort_early=bool(abort)))")
    add("cw-l2", "foolbox", cw, 3, 10, "sign", nets=("standard",), seen="d", norm="l2", searches=3,
        step=0.05, kappa=0, c=0.125, abort=0, loss="cw",
        rates={"searches": 3, "c": 1.0},
        differs="one abort for the batch, so none here")
    add("cw-l2", "adv-lib", "adv.carlini_wagner_l2(net, x, y, confidence=kappa, "
        "learning_rate=step, initial_const=c, binary_search_steps=searches, max_iterations=steps, "
        "abort_early=bool(abort))", 5, 10, "sign", seen="d", norm="l2", searches=3, step=0.05, kappa=0, c=1.0,
        abort=0, kinds=("rates",),
        differs="measures from the image itself; one abort for the batch, so none here")


# ---- the network, as libraries see it ----


class Seen(torch.nn.Module):
    """Records what it is asked about: each batch of the whole chunk that is not the last again."""

    def __init__(self, path, dtype):
        super().__init__()
        self.net, self.path = own.Net(path), path
        self.net.weights = {k: v.to(dtype) if v.is_floating_point() else v
                            for k, v in self.net.weights.items()}
        self.unused = torch.nn.Parameter(torch.zeros(1))  # some libraries ask for the device
        self.points, self.whole = [], 0

    def begin(self, n):
        self.points, self.whole = [], n

    def forward(self, x):
        now = x.detach()
        if len(now) == self.whole and not (self.points and torch.equal(now, self.points[-1])):
            self.points.append(now.clone())
        return self.net(x)


def loss_of(row, net, x, y):
    if row.loss == "dlr":
        return own.dlr(y)
    if row.loss == "dlr-targeted":
        return own.dlr_targeted(y, net.net(x).detach().sort(1)[1][:, -row.settings["rank"]])
    if row.loss == "cw":
        return lambda z: own.best_other(z, y) - own.at(z, y)
    return own.ce(y)


# ---- the libraries ----


def names(net, x, y, ids, steps):
    """What the text of a call may use."""
    sys.modules.setdefault("visdom", unittest.mock.MagicMock())  # adv-lib's plots
    import adv_lib.attacks as adv
    import foolbox
    import foolbox.attacks as fb
    import torchattacks
    from adv_lib.attacks import fast_minimum_norm
    from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
    from pyautoattack.fab_pt import FABAttack_PT
    from pyautoattack.square import SquareAttack

    def run_foolbox(attack, eps=None):
        model = foolbox.PyTorchModel(net, bounds=(0, 1))
        return attack(model, x, foolbox.criteria.Misclassification(y), epsilons=eps)[1]

    def art(attack, **options):
        from art.estimators.classification import PyTorchClassifier
        model = PyTorchClassifier(net, torch.nn.CrossEntropyLoss(), x[0].shape, 10,
                                  clip_values=(0, 1), device_type="cpu")
        made = attack(model, batch_size=len(x), **options)
        return torch.from_numpy(made.generate(x.numpy(), np.eye(10)[y.numpy()]))

    def apgd(norm, loss, eps, steps):
        kind = APGDAttack_targeted if loss == "dlr-targeted" else APGDAttack
        more = {} if loss == "dlr-targeted" else {"loss": loss}
        a = kind(net, n_iter=steps, norm=norm, eps=eps, device="cpu", **more)
        a.init_hyperparam(x)
        a.y_target = net.net(x).detach().sort(dim=1)[1][:, -2]
        _, right, _, adv = a.attack_single_run(x, y)
        return torch.where(own.wide(right), x, adv)

    def fab(norm, rank, steps):
        a = FABAttack_PT(net, norm=norm, n_iter=steps, device="cpu")
        a.target_class = rank
        with unittest.mock.patch.object(torch.Tensor, "float", lambda v: v.to(x.dtype)):
            return a.attack_single_run(x, y, is_targeted=rank > 0)

    def square(norm, eps, queries):
        a = SquareAttack(net, norm=norm, n_queries=queries, eps=eps, resc_schedule=False,
                         device="cpu")
        a.init_hyperparam(x)
        if x.dtype == torch.float32:
            return a.attack_single_run(x, y)[1]
        net.begin(0)
        outs = [drawn(a, k).attack_single_run(x[i:i + 1], y[i:i + 1])[1] for i, k in enumerate(ids)]
        return torch.cat(outs)

    def drawn(a, ident):
        """Random choices of one image from the entry's generator, in the order it asks for them."""
        state = {"query": 0, "corner": None}

        def choice(shape):
            t = state["query"]
            u = own.philox(own.SEED, ident, 2 if t else 0, t, math.prod(shape))
            return torch.from_numpy(np.where(u < 0.5, -1.0, 1.0)).reshape(shape)

        def integer(low=0, high=1, shape=(1,)):
            if state["corner"] is None:
                state["query"] += 1
                u = own.philox(own.SEED, ident, 1, state["query"], 2)
                state["corner"] = float(u[1])
                return torch.tensor([int(low + (high - low) * float(u[0]))])
            v, state["corner"] = state["corner"], None
            return torch.tensor([int(low + (high - low) * v)])

        a.random_choice, a.random_int = choice, integer
        return a

    def normals(attack):
        def run(x, y):
            old = torch.randn_like
            torch.randn_like = lambda v: torch.from_numpy(np.stack([
                own.normal(own.philox(own.SEED, k, 0, 0, v[0].numel())) for k in ids
            ])).reshape(v.shape).to(v.dtype)
            try:
                return attack(x, y)
            finally:
                torch.randn_like = old
        return run

    def uniforms(attack):
        def draw(v, lo, hi):
            u = np.stack([own.philox(own.SEED, k, 0, 0, v[0].numel()) for k in ids])
            return v.copy_(torch.from_numpy(lo + (hi - lo) * u).reshape(v.shape))

        def run(x, y):
            with unittest.mock.patch.object(torch.Tensor, "uniform_", draw):
                return attack(x, y)
        return run

    def shortening(attack):
        def run(*a, **k):
            old = fast_minimum_norm.l2_projection_

            def project(δ, ε):
                δ = δ.flatten(1)
                size = δ.norm(dim=1, keepdim=True).clamp_(min=1e-12)
                return δ.mul_((ε[:, None] / size).clamp(max=1))

            fast_minimum_norm.l2_projection_ = project
            try:
                return attack(*a, **k)
            finally:
                fast_minimum_norm.l2_projection_ = old
        return run

    return {**locals(), "foolbox": run_foolbox, "np": np, "math": math, "ev": art_attacks()}


def art_attacks():
    try:
        import art.attacks.evasion as ev
        return ev
    except ImportError:
        return None


def library(row, net, x, y, ids, steps, settings):
    """What a library returns, and its iterates, the result last."""
    net.begin(len(x))
    torch.manual_seed(own.SEED + int(ids[0]))
    wide = torch.float  # adv-lib asks for `torch.float` by name
    torch.float = x.dtype
    try:
        out = eval(row.call, {**settings, **names(net, x, y, ids, steps)})
    finally:
        torch.float = wide
    tried = steps * settings.get("searches", 1) + (row.seen == "x")  # more: the result once more
    points = net.points[:tried]
    if row.last and row.seen == "x" and len(points) < tried:
        points = points + [out.detach()]
    return out.detach(), points


# ---- the compiled entries ----

Tick = ctypes.CFUNCTYPE(ctypes.c_int, abi.p)
Env = abi.record(("size", abi.u32), ("workers", abi.i32), ("user", abi.p), ("parallel", abi.p),
                 ("launch", abi.p), ("stream", abi.p), ("tick", Tick),
                 ("trace", abi.p), ("allreduce", abi.p), ("idle", abi.p))
Hyper = abi.record(("name", ctypes.c_char_p), ("dtype", abi.i32), ("reserved", abi.i32),
                   ("value", ctypes.c_double), ("lo", ctypes.c_double), ("hi", ctypes.c_double))
STATE = re.compile(r"b\d+ state (\w+) \{[\d ]+\} (\S+) .* at (\d+) ; (\S+)")
NUMPY = {"f64": np.float64, "f32": np.float32, "i32": np.int32, "i64": np.int64}


class Compiled:
    def __init__(self, adjoint, model, precision, entry, folder):
        out = os.path.join(folder, f"{os.path.basename(model)[:-5]}-{precision}-{entry}")
        for emit in ("so", "kernels"):
            subprocess.run([adjoint, "compile", model, "-o", out, "--emit", emit, "--entry", entry,
                            "--precision", precision, "--prefix", "m"], check=True,
                           stdout=subprocess.DEVNULL)
        self.library = ctypes.CDLL(out + ".so")
        self.entry = abi.Model.in_dll(self.library, "m_model").entry[0]
        self.state = {}
        for line in open(out + ".kernels"):
            m = STATE.match(line.strip())
            if m:
                shape = tuple(int(d) for d in m[2].split("x"))
                self.state[m[4]] = (NUMPY[m[1]], shape, int(m[3]))
        os.remove(out + ".kernels")

    def hypers(self, settings):
        e, kept = self.entry, []
        table = ctypes.cast(e.hyper, ctypes.POINTER(Hyper))
        pointers = (abi.p * e.nhyper)()
        left = dict(settings)
        for k in range(e.nhyper):
            name = table[k].name.decode()
            if name in left:
                kept.append(np.array([left.pop(name)], abi.TYPES[table[k].dtype]))
                pointers[k] = kept[-1].ctypes.data
        assert not left, f"no such hyperparameters: {left}"
        return pointers, kept

    def run(self, steps, settings, seed, first, watch=None, **inputs):
        """Outputs of at most `slots` images; watch(state) between steps, state(name) an array."""
        e, n, arrays = self.entry, len(inputs["x"]), {}
        for t in e.io[:e.nio]:
            name, dtype, dims = t.name.decode(), abi.TYPES[t.dtype], tuple(t.dim[:t.rank])
            if t.output:
                arrays[name] = np.empty((n,) + dims, dtype)
            elif name in inputs and inputs[name] is not None:
                arrays[name] = np.ascontiguousarray(inputs[name], dtype)
        io = (abi.p * e.nio)(*[arrays[t.name.decode()].ctypes.data if t.name.decode() in arrays
                               else None for t in e.io[:e.nio]])
        arena = np.empty(e.shared + e.worker + 64, np.uint8)
        base = (arena.ctypes.data + 63) // 64 * 64

        def state(name):
            dtype, shape, at = self.state[name]
            bytes_ = math.prod(shape) * np.dtype(dtype).itemsize
            lo = base - arena.ctypes.data + e.shared + at
            return arena[lo:lo + bytes_].view(dtype).reshape(shape)[:n]

        def tick(_):
            if watch:
                watch(state)
            return 0

        hook = Tick(tick)
        env = Env(size=ctypes.sizeof(Env), tick=hook)
        pointers, kept = self.hypers(settings)
        call = abi.Call(size=ctypes.sizeof(abi.Call), n=n, steps=steps, io=ctypes.addressof(io),
                        hyper=ctypes.addressof(pointers), seed=seed, first_id=first, arena=base,
                        arena_bytes=e.shared + e.worker)
        code = e.run(ctypes.addressof(env), ctypes.addressof(call))
        if code:
            raise RuntimeError(f"{e.name.decode()} returned {code}")
        return {t.name.decode(): arrays[t.name.decode()] for t in e.io[:e.nio] if t.output}


compiled = functools.cache(Compiled)


def to_w(x, by=0.999999):
    return np.arctanh(by * (2 * x - 1))


# How the state of an entry gives the iterate, and how it is given one.
SEEN = {
    "x": (lambda s, x: s("state.x").copy(), lambda s, x, v: np.copyto(s("state.x"), v)),
    "delta": (lambda s, x: x + s("state.delta"),
              lambda s, x, v: np.copyto(s("state.delta"), v - x)),
    "d": (lambda s, x: (np.tanh(to_w(x) + s("state.d")) + 1) / 2,
          lambda s, x, v: np.copyto(s("state.d"), to_w(v, 1 - 1e-9) - to_w(x))),
}


def entry(row, code, x, y, ids, steps, settings, start=None, force=None):
    """Results of a compiled entry and its iterates, one after each step; with `force`, each step
    is taken from the iterate given."""
    read, write = SEEN[row.seen or "x"]
    slots, outs, traces = code.entry.slots, [], []
    for lo in range(0, len(x), slots):
        at = slice(lo, lo + slots)
        part, trace, rounds = x[at].numpy().astype(np.float64), [], [0]

        def watch(state):
            rounds[0] += 1
            k, rest = divmod(rounds[0] - row.skip, row.every)
            if rest or k < 1 or not row.seen:
                return
            used = state("state.old").copy() if "state.old" in code.state else None
            size = state("state.step").copy() if "state.step" in code.state else None
            trace.append((np.array(read(state, part), np.float64), used, size))
            if force and k < len(force):
                write(state, part, force[k][at].numpy().astype(np.float64))

        outs.append(code.run(steps, settings, own.SEED, int(ids[lo]), watch, x=x[at].numpy(),
                             y=y[at].numpy(), start=None if start is None else start[at].numpy()))
        traces.append(trace)
    least = min(len(t) for t in traces)
    most = max(len(t) for t in traces)
    for t in traces:  # slots that were done early stay where they are
        t += [t[-1]] * (most - len(t)) if t else []

    def whole(k, j):
        parts = [t[k][j] for t in traces]
        return None if parts[0] is None else torch.from_numpy(np.concatenate(parts))

    points = [[whole(k, j) for j in range(3)] for k in range(most if least else 0)]
    return {k: np.concatenate([o[k] for o in outs]) for k in outs[0]}, points


def starts(row, points):
    return points[0] if "random" in row.extra else None


# ---- the comparisons: figures of one chunk, and what they come to ----


def iterates(row, code, net, x, y, ids, settings):
    out, theirs = library(row, net, x, y, ids, row.few, settings)
    if not row.seen:
        theirs = [x, out]
    results, ours = entry(row, code, x, y, ids, row.few, {**settings, **row.extra},
                          starts(row, theirs))
    if not row.seen:
        ours = [[torch.from_numpy(results["adv"])]]
    gaps = [(a[0] - b).abs() for a, b in zip(ours, theirs[1:])]
    per = torch.stack([g.flatten(1).max(1)[0] for g in gaps])
    adv = (torch.from_numpy(results["adv"]) - out).abs()
    return {"compared": len(gaps), "images": len(x), "result": float(adv.max()),
            "most": float(per.max()), "apart": int((per.max(0)[0] > 1e-9).sum()),
            "beyond": int(sum((g > 1e-9).sum() for g in gaps)),
            "pixels": sum(g.numel() for g in gaps)}


@contextlib.contextmanager
def exact_cross_entropy(on):
    """Libraries take cross-entropy from here: with `on`, one that loses no digits in f32."""
    def mean(z, y, reduction="mean", **_):
        v = gradients.log1p_ce(y)(z)
        return v if reduction == "none" else v.sum() if reduction == "sum" else v.mean()

    with unittest.mock.patch("torch.nn.functional.cross_entropy", mean) if on else (
            contextlib.nullcontext()):
        yield


def steps(row, code, net, x, y, ids, settings):
    out = one_steps(row, code, net, x, y, ids, settings)
    if row.loss == "ce":
        with exact_cross_entropy(True):
            more = one_steps(row, code, net, x, y, ids, settings)
        out.update({"log1p " + k: v for k, v in more.items()})
    return out


def one_steps(row, code, net, x, y, ids, settings):
    _, theirs = library(row, net, x, y, ids, row.few, settings)
    way = row, x, y, ids, row.few, {**settings, **row.extra}, starts(row, theirs)
    _, ours = entry(row, code, *way[1:], force=theirs)
    _, right = entry(row, code.exact, *way[1:], force=theirs)
    f64 = Seen(net.path, torch.float64)
    loss, out = loss_of(row, f64, x.double(), y), {}
    for k, ((mine, used, size), (best, _, _)) in enumerate(zip(ours[:len(theirs) - 1], right)):
        before, after, last = (v.double() for v in (theirs[k], theirs[k + 1], mine))
        if row.how == "sign":
            g = own.grad_of(f64.net, loss, before if used is None else used.double())[2]
            seen = g.abs() > 1e-3 * own.wide(g.flatten(1).abs().max(1)[0])
            far = lambda a, b: ((a - b).abs() > 1e-5)[seen]  # noqa: E731
        else:
            length = own.l2(after - before)
            if row.seen == "x":  # a step of a given length
                least = settings.get("step", 0.0) if size is None else size.double()
                length = torch.maximum(length, torch.as_tensor(least, dtype=torch.float64))
            moved = length >= 1e-9
            far = lambda a, b: (own.l2(a - b) / length)[moved] >= 1e-3  # noqa: E731
        for who, a, b in (("apart", last, after), ("ours", last, best), ("theirs", after, best)):
            off = far(a, b)
            out[who] = out.get(who, 0) + int(off.sum())
        out["all"] = out.get("all", 0) + len(off)
    return out


def counted(f):
    """Sizes of all images: how many are fooled, and their median."""
    both = {k: f.pop(k) for k in ("theirs", "ours")}
    return {**f, "fooled": {k: sum(map(math.isfinite, v)) for k, v in both.items()},
            "median": {k: float(np.median(v)) for k, v in both.items()}}


def norm_of(row, d):
    return d.flatten(1).norm({"l1": 1, "l2": 2}.get(row.norm, math.inf), dim=1)


def rates(row, code, net, x, y, ids, settings):
    many = settings.pop("many", row.many)
    before = time.process_time()
    theirs, points = library(row, net, x, y, ids, many, settings)
    between = time.process_time()
    results, _ = entry(row, code, x, y, ids, many, {**settings, **row.extra}, starts(row, points))
    after = time.process_time()
    mine = torch.from_numpy(results["adv"])
    figures = {"theirs_s": between - before, "ours_s": after - between, "steps": many,
               "images": len(x)}
    for who, adv in (("ours", mine), ("theirs", theirs)):
        ok = (net.net(adv).argmax(1) != y) & adv.flatten(1).any(1)  # foolbox: black if none fools
        size = torch.where(ok, norm_of(row, adv.double() - x.double()), math.inf)
        figures[who] = [round(float(s), 9) for s in size]
    figures["flags"] = int((results["success"] != 0).sum())
    return figures


KINDS = {"iterates": iterates, "steps": steps, "rates": rates}


def join(parts):
    """Counts add up, lists follow one another, extremes are the most extreme."""
    most = ("most", "result", "worst", "compared", "steps")
    out = parts[0]
    for p in parts[1:]:
        out = {k: max(out[k], p[k]) if k in most else out[k] + p[k] for k in out}
    return out


# ---- running ----


@functools.cache
@torch.no_grad()
def images(shared, path):
    """The first 200 test images of CIFAR-10 that the network gets right."""
    raw = lzma.open(os.path.join(shared, "cifar10/test_batch.bin.xz")).read(400 * 3073)
    data = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
    x = torch.from_numpy(data[:, 1:].reshape(-1, 3, 32, 32).astype(np.float64) / 255)
    y = torch.from_numpy(data[:, 0].astype(np.int64))
    net = own.Net(path)
    right = (torch.cat([net(part).argmax(1) for part in x.split(20)]) == y).nonzero()[:200, 0]
    return x[right], y[right]


def compare(row, kind, net_name, adjoint, shared, folder, limit):
    path = os.path.join(shared, f"models/resnet44-cifar10/resnet44-{net_name}-op13.onnx")
    dtype = DTYPE[kind]
    torch.set_default_dtype(torch.float64)
    x, y = (v[:min(COUNT[kind], limit)] for v in images(shared, path))
    torch.set_default_dtype(dtype)
    x, net = x.to(dtype), Seen(path, dtype)
    net.eval()
    precision = "f64" if dtype == torch.float64 else "f32"
    code = compiled(adjoint, path, precision, row.entry, folder)
    if kind == "steps":
        code.exact = compiled(adjoint, path, "f64", row.entry, folder)
    parts = []
    for lo in range(0, len(x), CHUNK[kind]):
        at = slice(lo, lo + CHUNK[kind])
        parts.append(KINDS[kind](row, code, net, x[at], y[at], np.arange(len(x))[at],
                                 row.given(kind, net_name)))
    found = counted(join(parts)) if kind == "rates" else join(parts)
    return {**found, "cells": LINES[kind](row, found), **made()}


def made():
    """When and where a row was measured."""
    return {"date": datetime.date.today().isoformat(), "cpu": cpu_name()}


def cpu_name():
    m = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    return m[1] if m else "this machine"


def save(found, path):
    """One row a line, so that a new row is a new line."""
    text = ",\n".join(f"{json.dumps(k)}: {json.dumps(f, ensure_ascii=False)}"
                      for k, f in sorted(found.items()))
    with open(path + ".new", "w") as f:
        f.write("{\n" + text + "\n}\n")
    os.replace(path + ".new", path)


def run_gradients(a, found):
    """Where f32 differs, on both networks."""
    with tempfile.TemporaryDirectory() as folder:
        for net in ("standard", "all"):
            path = os.path.join(os.environ["ADJ_SHARED"],
                                f"models/resnet44-cifar10/resnet44-{net}-op13.onnx")
            torch.set_default_dtype(torch.float64)
            x, y = (v[:min(a.limit, gradients.COUNT)] for v in images(os.environ["ADJ_SHARED"],
                                                                      path))
            nets = {d: Seen(path, d).net for d in (torch.float32, torch.float64)}
            for key, f in gradients.compare(nets, a.adjoint, path, folder, x.float().double(),
                                            y).items():
                found[f"gradients | {net} | {key}"] = {**f, "cells": gradients.line(f), **made()}
                print(net, key, f, flush=True)
    save(found, a.results)


def run(a):
    found = json.load(open(a.results)) if os.path.exists(a.results) else {}
    if "gradients" in a.kinds.split(","):
        run_gradients(a, found)
    kinds = [k for k in a.kinds.split(",") if k != "gradients"]
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            for net in ("standard", "all"):
                for row in rows():
                    if net not in (row.rated if kind == "rates" else row.nets):
                        continue
                    key = f"{kind} | {row.name} | {net}"
                    if kind not in row.kinds or key in found and not a.again:
                        continue
                    if kind == "steps" and not row.how:
                        continue
                    if a.only and row.entry not in a.only.split(","):
                        continue
                    try:
                        found[key] = compare(row, kind, net, a.adjoint, os.environ["ADJ_SHARED"],
                                             folder, a.limit)
                    except Exception:  # the others go on
                        traceback.print_exc()
                        continue
                    print(key, {k: v for k, v in found[key].items() if not isinstance(v, list)},
                          flush=True)
                    save(found, a.results)


# ---- the page ----

PAGE = """# Attacks against the libraries themselves

Written by `tests/e2e/library_attacks.py`, whose rows have each call and each setting.
{date}, on {cpu}:
PyTorch {torch}, foolbox {foolbox}, torchattacks {torchattacks}, adv-lib {adv-lib},
adversarial-robustness-toolbox {adversarial-robustness-toolbox}, pyautoattack {pyautoattack} (the
authors' code of AutoAttack). Networks: the ResNet-44 of the paper, `all` (robust) and `standard`;
images of CIFAR-10's test set that the network gets right. Radii and steps are the entry's
defaults; on `standard` an eighth of them within a ball. [attacks.md](attacks.md#differences-from-libraries)
says where rules differ. Rows of other days are of the compiler of that day; `library_attacks.json`
has each row's, and its CPU.

```
cd tests/e2e
python3 library_attacks.py run ../../build/release/tools/adjoint library_attacks.json
python3 library_attacks.py table library_attacks.json > ../../docs/attacks-results.md
```
"""

ITERATES = """
## Iterates in f64

From the library's own start, {0} images. Every iterate of every image is compared: the largest
difference of a pixel, and how many pixels of how many differ by more than 1e-9. Of `fab…`, `square…`
and noise, results alone.

What `apgd-dlr-l2` shows, six images on `standard` and one on `all`, is the plateau of DLR, where y has
the third largest logit (attacks.md, section of auto-PGD). Each of the seven goes apart at a step from
there and is within 5e-14 before. |g|, above 4 elsewhere, is between 2.4e-12 and 3.7e-11 there, of which
roundings of the logits are a part in 3,000, and the step is as long as |g| / (|g| + 1e-12). Which
images show it is chance. The one image of `apgd-ce-l2` is one of which the network is so sure that |g|
is 2.2e-8 at its start; PyTorch takes softmax − 1 there, and some 4e-9 of it are rounding. `ddn` of
foolbox has 1 ± gamma in f32, in an f64 model too.

| entry | library | network | iterates | largest difference | pixels beyond 1e-9 | images with any |
|---|---|---|---|---|---|---|"""

STEPS = """
## One step in f32

The library runs in f32. The entry, in f32, takes each of {0} images' steps from the library's iterate,
and so does the entry in f64, whose iterates are the library's own in f64 (above). Equal: of
the pixels whose gradient (in f64) is above a thousandth of its largest, those that are the same after
the step; for steps of a length, those steps whose results are within a thousandth of it. First the
entry beside the library, then each of them beside f64. In f32, a ReLU that falls to the other side,
a checkpoint of auto-PGD at two losses one number apart and a pixel of `ddn` between two of its levels
are nobody's fault, so the rule is: where the entry differs from f64, PyTorch in f32 differs in at
least half as many. An empty cell was not measured. Last the entry beside the library where PyTorch's
cross-entropy is replaced by one that keeps its digits.

`apgd-dlr` and `apgd-dlr-l2` on `standard` are as in f64 in nine tenths only, the library's and
Adjoint's alike (less so on `all`): f32 has no digits of DLR's gradient on its plateau. On `standard`
114 of the library's 512 steps of an image begin there. In f64 the gradient's largest pixel is then 8e-14 to 5e-12, and none is zero;
in f32 all are zero in 94 of the 114, and rounding of about 2e-7 in the others. The image fools there
already.

Winograd rounds more than PyTorch's convolutions do, so more ReLUs fall to the other side. With
`--winograd off` the entry differs from f64 in 2 of 123 steps of `deepfool-l2` (library: 3), 2 of 111 of
`deepfool-linf` (2) and none of `apgd-t-l2` on `all` (0), not in 5, 5 and 1; in `pgd-l2` beside foolbox
it is one of 256 either way, beside torchattacks none.

| entry | library | network | compared | equal | Adjoint as f64 | library as f64 | equal, exact loss |
|---|---|---|---|---|---|---|---|"""

GRADIENTS = """
## Why steps in f32 differ

Gradients of {0} images in f32 against PyTorch's in f64. Signs: of the pixels above a thousandth of the
largest. Error: of an image's gradient, relative, L2. One thing is changed at a time. PyTorch takes the
gradient of cross-entropy in the logits as softmax − 1 of the label's class; where the network is sure,
as `standard` is of most images, the softmax is 1 to all but a few digits of f32 and the difference is
rounding. All pixels of such an image go by it. Neither convolutions nor ReLUs do it: with another
cross-entropy (`log1p`, as [attacks.md](attacks.md#losses) has it) PyTorch's signs are right, and so
they are of a logit, and other convolutions (oneDNN off) change nothing. What is left is Adjoint's own
rounding, and that is Winograd's: on `standard` a logit's gradient is off by 2.5 times as much as
PyTorch's in the median, with `--winograd off` by 1.2 times, and the one image of 64 in which a ReLU
falls to the other side (PyTorch: 0 images, oneDNN off: 4) is none then.

| network | of | gradient by | pixels | right signs | images with a wrong one | median error | 95% |
|---|---|---|---|---|---|---|---|"""

RATES = """
## Success in f32

{0} images, fewer where a row says so, from the library's own start where there is one, steps and
queries cut as the table says, so that a library takes a few minutes at most. Where both draw random
numbers of their own (`square-…`, `noise-uniform` beside foolbox) counts are draws. Fooled: as PyTorch's f32 network judges the images
that either returns, foolbox's black ones, which stand for none, left out. Median distance over all
images, those not fooled being infinitely far, for least-norm attacks. CPU seconds of one thread, of
a machine that did other work too. The first of two
figures is the library's.

| entry | library | network | steps | fooled | Adjoint | median | Adjoint | CPU s | Adjoint |
|---|---|---|---|---|---|---|---|---|---|"""


OTHERS = """
## Held against something else

| entry | held against | by |
|---|---|---|
| `l2-min` `btr` `g-explain` | iterates and results of the published code, in f64 | `tests/e2e/test_attacks.c`, [ara.md](ara.md) |
| `fab` `square-l2` and others, of few steps in f64 | transcriptions of the authors' code | `tests/e2e/attack_reference.py`, `attacks.golden` |
| `saliency` and the other explanations | Captum | `tests/e2e/captum_reference.py` |
| `smooth` `clever-…` `lipschitz-…` `gradient-norms` | transcriptions in f64 | `tests/e2e/measure_reference.py` |
| AutoAttack as a sequence | the authors' code, official settings | [attacks.md](attacks.md) |"""


def figure(v):
    return "0" if v == 0 else f"{v:.1e}"


def iterates_line(row, f):
    return (f"{f['compared']} | {figure(f['most'])} | {f['beyond']} of {f['pixels']} | "
            f"{f['apart']} of {f['images']}")


def percent(out, of):
    return f"{100 * (1 - out / of):.3f}%" if of else ""


def steps_line(row, f):
    what = "pixels" if row.how == "sign" else "steps"
    cells = [percent(f[k], f["all"]) if k in f else "" for k in ("apart", "ours", "theirs")]
    cells.append(percent(f.get("log1p apart", 0), f.get("log1p all", 0)))
    return f"{f['all']} {what} | " + " | ".join(cells)


def rates_line(row, f):
    fooled = f["fooled"]
    middle = {k: f"{v:.4g}" if row.norm else "" for k, v in f["median"].items()}
    searches = row.given("rates", "all").get("searches")
    steps = f"{searches} × {f['steps']}" if searches else f["steps"]
    of = "" if f["images"] == COUNT["rates"] else f" of {f['images']}"
    return (f"{steps} | {fooled['theirs']}{of} | {fooled['ours']} | {middle['theirs']} | "
            f"{middle['ours']} | {f['theirs_s']:.1f} | {f['ours_s']:.1f}")


LINES = {"iterates": iterates_line, "steps": steps_line, "rates": rates_line}


def dates(found):
    """A day, or the first and the last."""
    days = sorted({f["date"] for f in found.values() if "date" in f})
    return " to ".join(days[::len(days) - 1] if len(days) > 1 else days)


def gradients_table(found):
    print(GRADIENTS.format(gradients.COUNT))
    for net in ("standard", "all"):
        for of, ways in gradients.ways(None, None, None, "").items():
            for way, _ in ways:
                f = found.get(f"gradients | {net} | {of} | {way}")
                if f:
                    print(f"| `{net}` | {of} | {way} | {f['cells']} |")


def table(a):
    found = {}
    for name in a.results:
        found.update(json.load(open(name)))
    versions = {m: importlib.metadata.version(m) for m in (
        "torch", "foolbox", "torchattacks", "adv-lib", "adversarial-robustness-toolbox",
        "pyautoattack")}
    cpu = " and ".join(sorted({f["cpu"] for f in found.values()}))
    print(PAGE.format(date=dates(found), cpu=cpu, **versions), end="")
    for kind, head in (("iterates", ITERATES), ("steps", STEPS), ("rates", RATES)):
        print(head.format(COUNT[kind]))
        missing = []
        for row in rows():
            for net in ("all", "standard"):
                f = found.get(f"{kind} | {row.name} | {net}")
                if f:
                    print(f"| `{row.entry}` | {row.library} | `{net}` | {f['cells']} |")
                elif kind in row.kinds and net in (row.rated if kind == "rates" else row.nets):
                    if kind != "steps" or row.how:
                        missing.append(f"`{row.entry}` ({row.library}, `{net}`)")
        if missing:
            print("\nNot run yet: " + ", ".join(missing) + ".")
        if kind == "steps":
            gradients_table(found)
    print(OTHERS)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    sub = p.add_subparsers(required=True)
    go = sub.add_parser("run")
    go.add_argument("adjoint")
    go.add_argument("results")
    go.add_argument("--only")
    go.add_argument("--kinds", default="gradients,iterates,steps,rates")
    go.add_argument("--limit", type=int, default=1000, help="at most this many images, for trials")
    go.add_argument("--again", action="store_true", help="also what RESULTS.json has")
    go.set_defaults(do=run)
    page = sub.add_parser("table")
    page.add_argument("results", nargs="+")
    page.set_defaults(do=table)
    a = p.parse_args()
    a.do(a)


if __name__ == "__main__":
    main()
