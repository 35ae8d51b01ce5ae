#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
#
# Trains the demo network (a ResNet-8 for Fashion-MNIST) and writes fashion.onnx beside this file.
# Needs Debian's python3-torch and dataset-fashion-mnist; takes a few minutes on two cores.
#
#   input   float32 [N,1,28,28], pixels in [0,1]; the normalisation is part of the model
#   output  float32 [N,10], logits
#
# The last epochs replace half of each batch by FGSM examples, so that attacks on the result have
# something to do. The test set is only looked at once, after the last step.

import argparse
import gzip
import os
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = "/usr/share/datasets/fashion-mnist"
MEAN, STD = 0.2860, 0.3530


def read_idx(path):
    with gzip.open(path) as f:
        raw = f.read()
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, 4)
    return torch.from_numpy(np.frombuffer(raw, np.uint8, -1, 4 + 4 * rank).reshape(shape).copy())


def read_set(folder, part):
    x = read_idx(os.path.join(folder, part + "-images-idx3-ubyte.gz"))
    y = read_idx(os.path.join(folder, part + "-labels-idx1-ubyte.gz"))
    return x, y.long()


def conv_bn(cin, cout, size, stride):
    return nn.Sequential(nn.Conv2d(cin, cout, size, stride, size // 2, bias=False),
                         nn.BatchNorm2d(cout))


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.a = conv_bn(cin, cout, 3, stride)
        self.b = conv_bn(cout, cout, 3, 1)
        same = cin == cout and stride == 1
        self.shortcut = nn.Identity() if same else conv_bn(cin, cout, 1, stride)

    def forward(self, x):
        return F.relu(self.b(F.relu(self.a(x))) + self.shortcut(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn(1, 16, 3, 1)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = (x - MEAN) / STD
        return self.head(self.pool(self.blocks(F.relu(self.stem(x)))))


def to_input(u8):
    return u8.float().div(255).unsqueeze(1).contiguous(memory_format=torch.channels_last)


def augment(u8, reach=1):
    """Flips half of the images and shifts each by up to `reach` pixels."""
    n, size = len(u8), u8.shape[1]
    padded = F.pad(u8, (reach,) * 4)
    ramp = torch.arange(size)
    rows = torch.randint(2 * reach + 1, (n, 1)) + ramp
    cols = torch.randint(2 * reach + 1, (n, 1)) + ramp
    cols = torch.where(torch.rand(n, 1) < 0.5, cols.flip(1), cols)
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], cols[:, None, :]]


def input_gradient(net, x, y):
    x = x.detach().requires_grad_()
    loss = F.cross_entropy(net(x), y, reduction="sum")
    return torch.autograd.grad(loss, x)[0]


def pgd(net, x, y, eps, step, steps):
    """L-infinity PGD from a random start; one step with step > eps is random-start FGSM."""
    adv = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1)
    for _ in range(steps):
        adv = adv + step * input_gradient(net, adv, y).sign()
        adv = torch.min(torch.max(adv, x - eps), x + eps).clamp(0, 1).detach()
    return adv


def harden(net, x, y, eps):
    """Replaces the first half of the batch; statistics stay as they are while the attack runs."""
    net.eval()
    half = len(x) // 2
    adv = pgd(net, x[:half], y[:half], eps, 1.25 * eps, 1)
    net.train()
    return torch.cat([adv, x[half:]]).contiguous(memory_format=torch.channels_last)


def train(net, x, y, args):
    steps = len(x) // args.batch
    opt = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, args.lr, args.epochs * steps, pct_start=0.25)
    start = time.time()
    for epoch in range(args.epochs):
        net.train()
        total = 0.0
        for part in torch.randperm(len(x)).split(args.batch)[:steps]:
            bx, by = to_input(augment(x[part])), y[part]
            if epoch >= args.epochs - args.robust_epochs:
                bx = harden(net, bx, by, args.eps / 255)
            loss = F.cross_entropy(net(bx), by)
            opt.zero_grad()
            loss.backward()
            opt.step()
            plan.step()
            total += loss.item()
        print("epoch %2d  loss %.4f  %4.0f s" % (epoch + 1, total / steps, time.time() - start),
              flush=True)


def accuracy(net, x, y, attack=None):
    hits = 0
    for bx, by in zip(x.split(500), y.split(500)):
        bx = to_input(bx)
        if attack:
            bx = attack(net, bx, by)
        with torch.no_grad():
            hits += (net(bx).argmax(1) == by).sum().item()
    return hits / len(x)


def export(net, path):
    net = net.to(memory_format=torch.contiguous_format)
    torch.onnx.export(net, torch.zeros(1, 1, 28, 28), path, opset_version=13,
                      input_names=["image"], output_names=["logits"],
                      dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}})


def options():
    p = argparse.ArgumentParser(description="train the Fashion-MNIST demo network")
    p.add_argument("--data", default=DATA, help="folder with the four IDX .gz files")
    p.add_argument("--out", default=os.path.join(HERE, "fashion.onnx"))
    p.add_argument("--epochs", type=int, default=13)
    p.add_argument("--robust-epochs", type=int, default=3)
    p.add_argument("--eps", type=float, default=2, help="training attack size, in 1/255")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=0.2)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args()


def main():
    args = options()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    net = Net().to(memory_format=torch.channels_last)
    train(net, *read_set(args.data, "train"), args)
    net.eval()
    export(net, args.out)
    net = net.to(memory_format=torch.channels_last)
    x, y = read_set(args.data, "t10k")
    print("test accuracy          %.4f" % accuracy(net, x, y), flush=True)
    for eps in (4, 8):
        attack = lambda n, bx, by: pgd(n, bx, by, eps / 255, eps / 255 / 4, 10)
        part = slice(0, 2000)
        print("PGD-10 eps %d/255       %.4f  (first 2000)" %
              (eps, accuracy(net, x[part], y[part], attack)), flush=True)


if __name__ == "__main__":
    main()
