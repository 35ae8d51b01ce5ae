#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# train.sh [ADJOINT]: makes the demo's networks, standard.onnx and robust.onnx beside this file, by
# the recipes there, from Fashion-MNIST (Debian's dataset-fashion-mnist). Both start from one file:
# pixels are standardised by the mean and deviation of the training images. Stopped, it goes on
# where it was. The same bytes again come from the same version on a CPU of the same kind; those
# here are of an Emerald Rapids, by code for skylake-avx512.
set -eu
cd "$(dirname "$0")/../.."
adjoint=${1:-build/release/tools/adjoint}
data=/usr/share/datasets/fashion-mnist
out=build/demo/train
mkdir -p "$out"

train() { # train RECIPE FROM OPTION...: into a folder of the recipe's name
    recipe=$1 from=$2
    shift 2
    "$adjoint" train "$from" --recipe tools/demo/$recipe.recipe -o "$out/$recipe" \
        --data "$data/train-images-idx3-ubyte.gz" --labels "$data/train-labels-idx1-ubyte.gz" \
        --test "$data/t10k-images-idx3-ubyte.gz" \
        --test-labels "$data/t10k-labels-idx1-ubyte.gz" \
        --cpu skylake-avx512 --every 100 --resume "$@"
}

"$adjoint" new resnet --depth 8 --widths 16,32,48 --preact --activation hhrelu --input 1x28x28 \
    --mean 0.2860 --std 0.3530 -o "$out/start.onnx"
train standard "$out/start.onnx"
train robust "$out/start.onnx"
train firmer "$out/robust/net.onnx" --limit 16000 # a quarter of an epoch more

cp "$out/standard/net.onnx" tools/demo/standard.onnx
cp "$out/firmer/net.onnx" tools/demo/robust.onnx
