#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# explain.sh ADJOINT MAKE_BAD TEST_EXPLAIN: sheets of a linear network, whose maps are known.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$2" "$dir"
cd "$dir"
for method in saliency input-gradient integrated-gradients smoothgrad; do
    "$1" explain good.onnx images.npy --limit 1 --to 1 --method "$method" --samples 3 \
        --sigma 0.01 -o "$method.png"
done
"$1" explain good.onnx images.npy -o adversarial.png --to all
[ -s adversarial.png ]
"$3" 1 saliency.png input-gradient.png integrated-gradients.png smoothgrad.png
