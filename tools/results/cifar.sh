#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# cifar.sh ADJOINT TRAIN TEST INDICES OUT: trains the paper's ResNet-20 on the CIFAR-10 images of the
# folder TRAIN by both recipes beside this file, then measures both on 1,000 images of TEST in the
# order of INDICES, under OUT. Stopped, it goes on where it was. Hours; page.py makes
# docs/train-results.md of what it leaves.
set -eu
adjoint=$1 train=$2 test=$3 indices=$4 out=$5
recipes=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"

"$adjoint" new resnet --depth 20 --preact --activation hhrelu -o "$out/start.onnx"
for net in standard robust; do
    "$adjoint" train "$out/start.onnx" --data "$train" --test "$test" \
        --recipe "$recipes/$net.recipe" --seed 0 -o "$out/$net" --resume
    for attack in l2min btr; do
        "$adjoint" ara "$out/$net/net.onnx" "$test" --indices "$indices" --limit 1000 \
            --attack $attack --guard warn -o "$out/$net/$attack.csv" \
            --json "$out/$net/$attack.json" --resume
    done
done
