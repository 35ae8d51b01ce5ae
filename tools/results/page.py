#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/train-results.md and its plot, from what cifar.sh leaves.

    page.py OUT docs/train-results.md [--machine TEXT]

OUT holds a folder a network, each with train.csv and, once they are measured, l2min.json and
btr.json. Sections whose files are not there are left out, so that no figure is of a run that was
not made.
"""
import argparse
import csv
import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
NETS = ("standard", "robust")
COLOURS = {"standard": "#b4460f", "robust": "#0b5fa5"}
MEASURES = (("l2min", "attack ARA (L2-min)"), ("btr", "BTR ARA"))

# ---- what there is ----


def log_of(folder):
    with open(folder / "train.csv", encoding="ascii") as f:
        return [{k: float(v) if v else None for k, v in row.items()} for row in csv.DictReader(f)]


def measures_of(folder):
    found = {}
    for name, _ in MEASURES:
        path = folder / f"{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text(encoding="utf-8"))["results"]
    return found


# ---- the plot ----


class Panel:
    """A frame of 300 x 220 at (left, 40): x are epochs from 1, y runs from 0."""

    def __init__(self, left, title, epochs, top, step):
        self.left, self.epochs, self.top = left, epochs, top
        self.parts = [f'<text x="{left}" y="26" font-weight="bold">{title}</text>']
        for k in range(round(top / step) + 1):
            y = self.y(k * step)
            self.parts.append(f'<path d="M{left} {y:.1f}h300" stroke="#d8d8d8"/>'
                              f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">'
                              f"{k * step:g}</text>")
        for e in [1] + list(range(5, epochs + 1, 5)):
            self.parts.append(f'<text x="{self.x(e):.1f}" y="278" text-anchor="middle">{e}</text>')
        self.parts.append(f'<text x="{left + 150}" y="298" text-anchor="middle">epoch</text>')

    def x(self, epoch):
        return self.left + 300 * (epoch - 1) / max(1, self.epochs - 1)

    def y(self, value):
        return 260 - 220 * min(value, self.top) / self.top

    def line(self, net, values, dashed):
        points = [f"{self.x(e):.1f} {self.y(v):.1f}"
                  for e, v in enumerate(values, 1) if v is not None]
        if points:
            dash = ' stroke-dasharray="5 4"' if dashed else ""
            self.parts.append(f'<path d="M{"L".join(points)}" fill="none" stroke-width="2" '
                              f'stroke="{COLOURS[net]}"{dash}/>')


def plot(logs):
    epochs = max(len(log) for log in logs.values())
    most = max(row["loss"] for log in logs.values() for row in log)
    accuracy = Panel(50, "Accuracy", epochs, 1, 0.2)
    loss = Panel(420, "Mean loss of training", epochs, 0.5 * -(-most // 0.5), 0.5)
    keys = []
    for k, (net, log) in enumerate(logs.items()):
        accuracy.line(net, [row["accuracy"] for row in log], True)
        accuracy.line(net, [row["test_accuracy"] for row in log], False)
        loss.line(net, [row["loss"] for row in log], True)
        keys.append(f'<path d="M{50 + 130 * k} 320h26" stroke="{COLOURS[net]}" stroke-width="2"/>'
                    f'<text x="{82 + 130 * k}" y="324">{net}</text>')
    return "\n".join([
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 340" width="740" height="340" '
        'role="img" font-family="sans-serif" font-size="12" fill="#222">',
        "<title>Accuracy and loss over the epochs of training, standard and robust</title>",
        '<rect width="740" height="340" fill="#fff"/>', *accuracy.parts, *loss.parts, *keys,
        '<text x="420" y="324">whole: test images; dashed: training images</text>', "</svg>", ""])


# ---- the page ----


def cell(row, name, form):
    return form % row[name] if row and row[name] is not None else ""


def log_table(logs):
    head = ["| epoch | lr |", "|---|---|"]
    columns = []
    for net in logs:
        columns += [(net, "loss", "%.4f"), (net, "accuracy", "%.4f"), (net, "test_accuracy", "%.4f")]
    if "robust" in logs:
        columns += [("robust", "penalty", "%.3g"), ("robust", "psi", "%.0f")]
    for net, name, _ in columns:
        head[0] += f" {net}: {name.replace('_', ' ')} |"
        head[1] += "---|"
    rows = []
    for e in range(max(len(log) for log in logs.values())):
        at = {net: log[e] if e < len(log) else None for net, log in logs.items()}
        lr = next(row["lr"] for row in at.values() if row)
        rows.append(f"| {e + 1} | {lr:.4f} | " +
                    " | ".join(cell(at[net], name, form) for net, name, form in columns) + " |")
    return "\n".join(head + rows)


def robustness_table(measured):
    names = [m for m in MEASURES if any(m[0] in found for found in measured.values())]
    n = next(r["n"] for found in measured.values() for r in found.values())
    lines = [f"| network | accuracy, {n} images |" + "".join(f" {title} | exact | median size |"
                                                            for _, title in names),
             "|---|---|" + "---|---|---|" * len(names)]
    for net, found in measured.items():
        if not found:
            continue
        clean = next(iter(found.values()))["clean_accuracy"]
        row = f"| {net} | {clean:.3f} |"
        for name, _ in names:
            r = found.get(name)
            row += (f" {r['ara']:.6f} | {r['ara_exact']:.6f} | {r['rmse']['median']:.6f} |"
                    if r else " | | |")
        lines.append(row)
    notes = []
    for name, title in names:
        if all(name in measured.get(net, {}) for net in NETS):
            ratio = measured["robust"][name]["ara"] / measured["standard"][name]["ara"]
            notes.append(f"{title}: robust by standard {ratio:.1f}.")
    late = [f"{net}, {name}: {r['late']} late, {r['never_fooled']} never fooled"
            for net, found in measured.items() for name, r in found.items()
            if r["late"] or r["never_fooled"]]
    if late:
        notes.append("Images first fooled after half of the steps, and images never fooled, which "
                     "count as size 0: " + "; ".join(late) + ".")
    return "\n".join(lines) + "\n\n" + "\n".join(notes)


def recipe(net):
    text = (HERE / f"{net}.recipe").read_text(encoding="ascii")
    return f"`tools/results/{net}.recipe`:\n\n```\n{text}```\n"


def page(logs, measured, svg, machine):
    last = {net: log[-1] for net, log in logs.items()}
    text = [
        "# Training on CIFAR-10: standard and robust", "",
        "Written by `tools/results/page.py` from what `tools/results/cifar.sh` leaves: a "
        "pre-activation\nResNet-20 with half-Huber ReLU, trained twice from the same weights on the "
        "20,000 images of\nCIFAR-10's first two batches, by cross-entropy alone and with the "
        "Lipschitz penalty of Woods, Chen,\nTeuscher 2019.", ""]
    if machine:
        text += [machine, ""]
    text += ["```", "sh tools/results/cifar.sh build/release/tools/adjoint cifar/train "
             "cifar/test_batch.bin \\\n    ara_indices_1776.txt out",
             "python3 tools/results/page.py out docs/train-results.md", "```", "",
             "`adjoint train` runs with `--seed 0`, and tests after each epoch; what a recipe does "
             "not say is\nthe paper's ([train.md](train.md)).", ""]
    text += [recipe(net) for net in logs]
    text += ["## Training", "",
             "Loss and accuracy of training are means over the batches of an epoch, cropped and "
             "mirrored, by the\nweights before each step; test accuracy is of all 10,000 images. "
             "Last: " +
             ", ".join(f"{net} {row['test_accuracy']:.4f}" for net, row in last.items()
                       if row["test_accuracy"] is not None) + ".", "",
             f"![accuracy and loss over epochs]({svg})", "", log_table(logs), ""]
    if any(measured.values()):
        text += ["## Robustness", "",
                 "Areas as published (1000 bins) and exact, and the median size (RMSE, pixels in "
                 "[0,1]) of the\nleast change that fools, on the first 1,000 images of the list: "
                 "length 20 in 450 steps, momentum\n0.9 ([ara.md](ara.md)).", "",
                 robustness_table(measured), ""]
    return "\n".join(text)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("out", type=Path)
    p.add_argument("page", type=Path)
    p.add_argument("--machine", default="", help="a sentence: on what it ran, and for how long")
    args = p.parse_args()
    logs = {net: log_of(args.out / net) for net in NETS if (args.out / net / "train.csv").exists()}
    if not logs:
        p.error(f"{args.out}: no train.csv in {' or '.join(NETS)}")
    measured = {net: measures_of(args.out / net) for net in logs}
    svg = args.page.with_suffix(".svg")
    svg.write_text(plot(logs), encoding="ascii")
    args.page.write_text(page(logs, measured, svg.name, args.machine), encoding="utf-8")


if __name__ == "__main__":
    main()
