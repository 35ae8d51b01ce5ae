#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# test_asm.sh ADJOINT TESTER ALLOW FASHION: compiles the example network, and ResNet-44 where
# ADJ_SHARED has it, to assembly for two CPU rows and looks at the tile functions.
set -eu
adjoint=$1 tester=$2 allow=$3 fashion=$4
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
resnet44=${ADJ_SHARED:-}/models/resnet44-cifar10/resnet44-standard-op13.onnx

# compile NAME MODEL
compile() {
    for cpu in skylake-avx512 haswell; do
        "$adjoint" compile "$2" -o "$out/$1-$cpu" --emit asm --cpu "$cpu" \
            --entry forward,gradient >/dev/null
    done
}

compile fashion "$fashion"
[ ! -f "$resnet44" ] || compile resnet44 "$resnet44"
"$tester" "$allow" "$out"/*.s
