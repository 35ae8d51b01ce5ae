#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adjoint and what else one could use, side by side on this machine.

    python run.py --adjoint build/release/tools/adjoint model.onnx [--n 128] [--threads 1,2]

Every contender is a process of its own, pinned to the same CPUs, compiled and warm. A round lets
each make one call while the others are stopped (SIGSTOP), so that all meet the same machine.
README.md says what is measured. A peer that is not installed is reported as missing.
"""
import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

EPS, STEP = 8 / 255, 2 / 255
PSI = 220  # weight of the penalty, which changes no time

# ---- peers: each returns a function that makes one call and gives its result as an array ----


def data(spec):
    f = np.load(spec["data"])
    return f["x"], f["y"]


def ncnn_forward(spec):
    """ncnn has no batch: a file of its own, made by pnnx, for one image."""
    if spec["n"] != 1:
        raise Refused("takes one image a call: --n 1")
    import ncnn

    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(spec["model"], f"{folder}/m.onnx")
        x, _ = data(spec)
        size = ",".join(map(str, x.shape))
        tool = shutil.which("pnnx") or str(Path(sys.executable).with_name("pnnx"))
        subprocess.run([tool, "m.onnx", f"inputshape=[{size}]", "fp16=0"], cwd=folder, check=True,
                       capture_output=True)
        net = ncnn.Net()
        net.opt.num_threads = spec["threads"]
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = False
        net.load_param(f"{folder}/m.ncnn.param")
        net.load_model(f"{folder}/m.ncnn.bin")

    def call():
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(x[0]))
        return np.array(extractor.extract("out0")[1]).reshape(1, -1)

    return call


def onnxruntime_forward(spec):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = spec["threads"], 1
    session = ort.InferenceSession(spec["model"], options, providers=["CPUExecutionProvider"])
    name, (x, _) = session.get_inputs()[0].name, data(spec)
    return lambda: session.run(None, {name: x})[0]


def openvino_forward(precision):
    def peer(spec):
        import openvino as ov

        core = ov.Core()
        model = core.compile_model(core.read_model(spec["model"]), "CPU", {
            "INFERENCE_NUM_THREADS": spec["threads"], "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": precision})
        request, (x, _) = model.create_infer_request(), data(spec)
        return lambda: request.infer([x])[model.output(0)]

    return peer


def torch_setup(spec, compiled):
    import onnx
    import torch

    import onnx_ops

    torch.set_num_threads(spec["threads"])
    net = onnx_ops.torch_module(onnx.load(spec["model"]))
    x, y = data(spec)
    return torch, torch.compile(net) if compiled else net, torch.from_numpy(x), torch.from_numpy(y)


def torch_gradient(torch, net, x, y):
    x = x.detach().requires_grad_(True)
    loss = torch.nn.functional.cross_entropy(net(x), y, reduction="sum")
    return torch.autograd.grad(loss, x)[0]


def torch_peer(compiled):
    def peer(spec):
        torch, net, x, y = torch_setup(spec, compiled)

        def forward():
            with torch.inference_mode() if not compiled else torch.no_grad():
                return net(x).numpy()

        def pgd():
            adv = x
            for _ in range(spec["steps"]):
                adv = adv + STEP * torch_gradient(torch, net, adv, y).sign()
                adv = torch.clamp(x + torch.clamp(adv - x, -EPS, EPS), 0, 1)
            return adv.numpy()

        def gradient():
            return torch_gradient(torch, net, x, y).numpy()

        return {"forward": forward, "gradient": gradient, "pgd-linf": pgd}[spec["task"]]
    return peer


def torch_step(spec):
    """Loss and the gradient in every weight; SGD itself, which Adjoint's step has too, is left
    out: it is nothing beside them."""
    import onnx
    import torch

    import onnx_ops

    torch.set_num_threads(spec["threads"])
    net = onnx_ops.torch_module(onnx.load(spec["model"]), training=True)
    x, y = map(torch.from_numpy, data(spec))
    weights = list(net.parameters())

    def plain():
        return torch.nn.functional.cross_entropy(net(x), y)

    def lipschitz():
        image = x.detach().requires_grad_(True)
        logits = net(image)
        picked = logits.gather(1, y[:, None]).sum()
        slope = torch.autograd.grad(picked, image, create_graph=True)[0]
        return torch.nn.functional.cross_entropy(logits, y) + PSI * slope.square().mean()

    loss = {"train-step": plain, "train-lipschitz-step": lipschitz}[spec["task"]]
    return lambda: torch.autograd.grad(loss(), weights)[0].numpy()


def jax_step(spec):
    import onnx
    import jax
    import jax.numpy as jnp

    import onnx_ops

    net, weights = onnx_ops.jax_function(onnx.load(spec["model"]), training=True)
    x, y = map(jnp.asarray, data(spec))

    def cross_entropy(logits):
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))

    def plain(weights):
        return cross_entropy(net(weights, x))

    def lipschitz(weights):
        def picked(image):
            logits = net(weights, image)
            return jnp.sum(jnp.take_along_axis(logits, y[:, None], 1)), logits
        slope, logits = jax.grad(picked, has_aux=True)(x)
        return cross_entropy(logits) + PSI * jnp.mean(slope ** 2)

    loss = {"train-step": plain, "train-lipschitz-step": lipschitz}[spec["task"]]
    step = jax.jit(jax.grad(loss))
    return lambda: np.asarray(jax.block_until_ready(step(weights))[0])


def torchattacks_pgd(spec):
    torch, net, x, y = torch_setup(spec, False)
    import torchattacks

    attack = torchattacks.PGD(net, eps=EPS, alpha=STEP, steps=spec["steps"], random_start=False)
    return lambda: attack(x, y).numpy()


def foolbox_pgd(spec):
    torch, net, x, y = torch_setup(spec, False)
    import foolbox

    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=spec["steps"], random_start=False)
    criterion = foolbox.criteria.Misclassification(y)
    return lambda: attack.run(model, x, criterion, epsilon=EPS).numpy()


def jax_peer(spec):
    import onnx
    import jax
    import jax.numpy as jnp

    import onnx_ops

    net = onnx_ops.jax_function(onnx.load(spec["model"]))
    x, y = map(jnp.asarray, data(spec))

    def loss(x):
        logits = net(x)
        return -jnp.sum(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))

    gradient = jax.grad(loss)

    @jax.jit
    def step(adv):
        adv = adv + STEP * jnp.sign(gradient(adv))
        return jnp.clip(x + jnp.clip(adv - x, -EPS, EPS), 0, 1)

    def pgd():
        adv = x
        for _ in range(spec["steps"]):
            adv = step(adv)
        return np.asarray(adv)

    net_jit, gradient_jit = jax.jit(net), jax.jit(gradient)
    return {"forward": lambda: np.asarray(net_jit(x)),
            "gradient": lambda: np.asarray(gradient_jit(x)), "pgd-linf": pgd}[spec["task"]]


ALL = ("forward", "gradient", "pgd-linf")
STEPS = ("train-step", "train-lipschitz-step")
PEERS = {  # name: (tasks, maker, distribution)
    "onnxruntime": (("forward",), onnxruntime_forward, "onnxruntime"),
    "openvino f32": (("forward",), openvino_forward("f32"), "openvino"),
    "openvino bf16": (("forward",), openvino_forward("bf16"), "openvino"),
    "ncnn": (("forward",), ncnn_forward, "ncnn"),
    "torch eager": (ALL, torch_peer(False), "torch"),
    "torch.compile": (ALL, torch_peer(True), "torch"),
    "torchattacks": (("pgd-linf",), torchattacks_pgd, "torchattacks"),
    "foolbox": (("pgd-linf",), foolbox_pgd, "foolbox"),
    "jax": (ALL, jax_peer, "jax"),
    "torch step": (STEPS, torch_step, "torch"),
    "jax step": (STEPS, jax_step, "jax"),
}


def measured(name, tasks, args, task):
    """Is the peer one to measure? Of those that are not named, the ones of the same precision."""
    if args.peers:
        return task in tasks and name in args.peers.split(",")
    return task in tasks and name.endswith(" bf16") == (args.precision == "bf16")


ALIASES = {"torch": "torch eager", "openvino": "openvino f32"}


class Refused(Exception):
    pass


def settle(spec):
    """For `adjoint bench --vs`, which leaves x.npy in a folder: what the peers want to find."""
    folder = Path(spec["folder"])
    spec["peer"] = ALIASES.get(spec["peer"], spec["peer"])
    tasks, _, dist = PEERS[spec["peer"]]
    for package in (dist, "onnx"):
        if importlib.util.find_spec(package) is None:
            raise Refused("not installed" if package == dist else "needs the package onnx")
    if spec["task"] not in tasks:
        raise Refused(f"does {', '.join(tasks)} only")
    settle_model(spec["file"], spec["n"], folder)
    spec.update(model=str(folder / "model.onnx"), data=str(folder / "data.npz"),
                result=str(folder / "result.npy"))
    np.savez(spec["data"], x=np.load(folder / "x.npy"), y=np.load(folder / "y.npy"))


def worker(spec):
    """Speaks as `adjoint bench --serve` does: `ready`, then a call's seconds for each line read."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        if "folder" in spec:
            settle(spec)
        call = PEERS[spec["peer"]][1](spec)
        np.save(spec["result"], call())
        call()
        print("ready", file=out)
        for _ in sys.stdin:
            start = time.perf_counter()
            call()
            print(f"{time.perf_counter() - start:.9f}", file=out)
    except Refused as e:
        print(f"error {e}", file=out)
    except Exception as e:
        traceback.print_exc()
        print(f"error {type(e).__name__}: {' '.join(str(e).split())[:200]}", file=out)
    out.flush()
    os._exit(0)


# ---- contenders as processes ----


def busy_seconds(cpus):
    """What everything on this machine has spent on these CPUs, the hypervisor's theft included."""
    rows = {r[0]: r for r in map(str.split, Path("/proc/stat").read_text().splitlines())}
    ticks = sum(sum(map(int, (v := rows[f"cpu{c}"])[1:4] + v[6:9])) for c in cpus)
    return ticks / os.sysconf("SC_CLK_TCK")


class Contender:
    def __init__(self, name, command, cpus, env):
        self.name, self.seconds, self.error = name, [], None
        self.cpus, self.wall, self.others, self.memory = cpus, 0.0, 0.0, 0
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            bufsize=1, env=env, start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        line = self.process.stdout.readline().strip()
        if line != "ready":
            self.error = line.removeprefix("error ") or f"ended: {self.last_words()}"
            self.end()
        else:
            self.pause(signal.SIGSTOP)

    def last_words(self):
        self.process.wait()
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else f"status {self.process.returncode}"

    def pause(self, what):
        os.killpg(self.process.pid, what)

    def call(self):
        start, busy, own = time.monotonic(), busy_seconds(self.cpus), self.cpu_seconds()
        self.pause(signal.SIGCONT)
        self.process.stdin.write("\n")
        self.seconds.append(float(self.process.stdout.readline()))
        self.pause(signal.SIGSTOP)
        self.wall += (time.monotonic() - start) * len(self.cpus)
        self.memory = self.peak_memory()
        self.others += busy_seconds(self.cpus) - busy - (self.cpu_seconds() - own)

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def peak_memory(self):
        """Bytes, compiling included."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) << 10

    def disturbed(self):
        """The share of its CPUs that others took during its calls."""
        return max(0.0, self.others / self.wall) if self.wall else 0.0

    def end(self):
        if self.process.poll() is None:
            self.pause(signal.SIGCONT)
            self.process.kill()
        self.process.wait()


# ---- one table ----


def relative(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(np.linalg.norm(a - b) / np.linalg.norm(b)) if a.shape == b.shape else None


def adjoint_result(args, task, folder, x_file, y_file):
    """What the project's own command says of the same images. No command prints the gradients of
    a step: tests/train compares them."""
    if task in STEPS:
        return None
    out = folder / "adjoint.npy"
    command = {"forward": ["run"], "gradient": ["gradient"],
               "pgd-linf": ["attack", "--no-random-start", "--steps", str(args.steps)]}[task]
    subprocess.run([args.adjoint, command[0], str(folder / "model.onnx"), x_file, "--labels",
                    y_file, "-o", str(out), "--precision", args.precision, "--tiles", args.tiles,
                    *command[1:]],
                   check=True, stdout=subprocess.DEVNULL)
    return np.load(out)


def measure(args, task, threads, folder):
    cpus = sorted(os.sched_getaffinity(0))[:threads]
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), PYTHONWARNINGS="ignore",
               TORCHINDUCTOR_CACHE_DIR=str(folder / "inductor"))
    env["PATH"] = str(Path(sys.executable).parent) + os.pathsep + env["PATH"]
    if threads == 1:
        env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    contenders, rows = [], []
    # A step of training takes its whole batch as one sample.
    slots, calls = (args.n, 1) if task in STEPS else (min(args.slots, args.n), args.n)
    contenders.append(Contender("adjoint", [
        args.adjoint, "bench", str(folder / "model.onnx"), "--serve", "--entry", task, "--batch",
        str(slots), "--threads", str(threads), "--n", str(calls), "--steps", str(args.steps),
        "--precision", args.precision, "--tiles", args.tiles], cpus, env))
    for name, (tasks, _, dist) in PEERS.items():
        if not measured(name, tasks, args, task):
            continue
        if importlib.util.find_spec(dist) is None:
            rows.append({"peer": name, "error": "not installed"})
            continue
        spec = {"peer": name, "task": task, "threads": threads, "steps": args.steps, "n": args.n,
                "model": str(folder / "model.onnx"), "data": str(folder / "data.npz"),
                "result": str(folder / f"{name.replace(' ', '-')}.npy")}
        contenders.append(Contender(name, [sys.executable, __file__, "--worker",
                                           json.dumps(spec)], cpus, env))
    running = [c for c in contenders if not c.error]
    try:
        for r in range(args.rounds):
            for c in running if r % 2 == 0 else reversed(running):
                c.call()
    finally:
        for c in contenders:
            c.end()
    own = contenders[0]
    if own.error:
        raise SystemExit(f"adjoint: {own.error}")
    reference = adjoint_result(args, task, folder, str(folder / "x.npy"), str(folder / "y.npy"))
    for c in contenders:
        rows.append(row_of(c, own, args, task, folder, reference))
    return sorted(rows, key=lambda r: r.get("seconds", 1e9))


def row_of(c, own, args, task, folder, reference):
    if c.error:
        return {"peer": c.name, "error": c.error}
    units = args.n * (args.steps if task == "pgd-linf" else 1)
    low, median, high = (float(q) for q in np.quantile(c.seconds, [0.25, 0.5, 0.75]))
    row = {"peer": c.name, "seconds": median, "quartiles": [low, high], "rate": units / median,
           "ratio": statistics.median(t / o for t, o in zip(c.seconds, own.seconds)),
           "others": c.disturbed(), "memory": c.memory}
    if c is not own and reference is not None:
        row["difference"] = relative(np.load(folder / f"{c.name.replace(' ', '-')}.npy"), reference)
    return row


# ---- the report ----


def version(dist):
    try:
        return importlib.metadata.version(dist)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown CPU"


def table(rows):
    lines = ["| | images/s | ms a call | quartiles | Adjoint is faster by | difference | memory, MB |",
             "|---|---|---|---|---|---|---|"]
    for r in rows:
        if "error" in r:
            lines.append(f"| {r['peer']} | {r['error']} | | | | | |")
            continue
        low, high = r["quartiles"]
        own = r["peer"] == "adjoint"
        name = r["peer"]
        if r["others"] > 0.05:
            name += f" (DISTURBED: others took {r['others']:.0%} of its CPUs)"
        diff = "" if r.get("difference") is None else f"{r['difference']:.1e}"
        lines.append(f"| {name} | {r['rate']:.0f} | {1e3 * r['seconds']:.2f} | "
                     f"{1e3 * low:.2f} to {1e3 * high:.2f} | "
                     f"{'' if own else format(r['ratio'], '.2f') + ' times'} | {diff} | "
                     f"{r['memory'] / 1e6:.0f} |")
    return "\n".join(lines)


def settle_model(path, n, folder):
    import onnx

    import onnx_ops

    model = onnx_ops.load(path, n)
    shape = onnx_ops.image_shape(model)
    if min(shape) < 1:
        raise ValueError(f"{path}: the image's shape {shape} is not settled")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = n
    onnx.save(model, str(folder / "model.onnx"))
    return shape


def prepare(args, path, folder):
    shape = settle_model(path, args.n, folder)
    rng = np.random.default_rng(0)
    x, y = rng.random(shape, np.float32), rng.integers(0, args.classes, args.n)
    np.savez(folder / "data.npz", x=x, y=y)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--worker":
        return worker(json.loads(sys.argv[2]))
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+")
    p.add_argument("--adjoint", required=True, help="the command")
    p.add_argument("--tasks", default=",".join(ALL))
    p.add_argument("--threads", default="1,2")
    p.add_argument("--n", type=int, default=128, help="images a call")
    p.add_argument("--slots", type=int, default=8, help="Adjoint's --batch")
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--classes", type=int, default=10)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--precision", default="f32", choices=("f32", "bf16"),
                   help="Adjoint's, and that of the peers, if --peers does not say which")
    p.add_argument("--tiles", default="bf16", choices=("bf16", "f32", "off"),
                   help="what Adjoint multiplies by matrix tiles")
    p.add_argument("--peers", help="only these, with commas")
    p.add_argument("--json", help="write every figure here")
    p.add_argument("--out", help="write the tables here instead of to standard output")
    args = p.parse_args()
    out = open(args.out, "w") if args.out else sys.stdout
    known = {d: version(d) for d in sorted({d for _, _, d in PEERS.values()})}
    report = {"cpu": cpu_name(), "cpus": len(os.sched_getaffinity(0)),
              "date": datetime.date.today().isoformat(), "versions": known, "tables": []}
    print(f"{report['cpu']}, {report['cpus']} CPUs, {report['date']}. " + ", ".join(
        f"{d} {v or 'not installed'}" for d, v in known.items()) + ".", file=out)
    for path in args.models:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            prepare(args, path, Path(name))
            for task in args.tasks.split(","):
                for threads in map(int, args.threads.split(",")):
                    if threads > report["cpus"]:
                        print(f"\n{threads} threads: only {report['cpus']} CPUs here", file=out)
                        continue
                    rows = measure(args, task, threads, Path(name))
                    steps = f", {args.steps} steps" if task == "pgd-linf" else ""
                    steps += ", bf16" if args.precision == "bf16" else ""
                    steps += ", f32 by matrix tiles" if args.tiles == "f32" else ""
                    print(f"\n**{Path(path).name}, {task}, {args.n} images{steps}, {threads} "
                          f"thread{'s' * (threads > 1)}**\n\n{table(rows)}", file=out, flush=True)
                    report["tables"].append({"model": Path(path).name, "task": task, "n": args.n,
                                             "threads": threads, "rows": rows})
                    if args.json:
                        Path(args.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
