#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# test_asm.sh ADJOINT TESTER LAYERS ALLOW FASHION: compiles the example network, a step of training
# of a small one, layers as large networks have them, and ResNet-44 where ADJ_SHARED has it, to
# assembly for some CPU rows and looks at the tile functions.
set -eu
adjoint=$1 tester=$2 layers=$3 allow=$4 fashion=$5
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
resnet44=${ADJ_SHARED:-}/models/resnet44-cifar10/resnet44-standard-op13.onnx

# compile NAME MODEL ENTRIES
compile() {
    for cpu in skylake-avx512 sapphirerapids haswell x86-64; do
        "$adjoint" compile "$2" -o "$out/$1-$cpu" --emit asm --cpu "$cpu" \
            --entry "$3" >/dev/null
    done
}

compile fashion "$fashion" forward,gradient
[ ! -f "$resnet44" ] || compile resnet44 "$resnet44" forward,gradient
"$adjoint" new resnet --depth 10 --widths 16,32 --preact -o "$out/net.onnx" >/dev/null
compile train "$out/net.onnx" train-step
for cpu in skylake-avx512 sapphirerapids haswell znver4 znver5; do
    "$layers" "$cpu" "$out/layers-$cpu.s"
done
"$tester" "$allow" "$out"/*.s
