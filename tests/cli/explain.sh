#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# explain.sh ADJOINT MAKE_BAD TEST_EXPLAIN: sheets of a linear network, whose maps are known.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$2" "$dir"
cd "$dir"
for method in saliency input-gradient integrated-gradients smoothgrad guided-backprop; do
    "$1" explain good.onnx images.npy --limit 1 --to 1 --method "$method" --samples 3 \
        --sigma 0.01 -o "$method.png"
done
"$1" explain good.onnx images.npy -o adversarial.png --to all
[ -s adversarial.png ]
# Several methods, sets and classes, and what the captions say.
"$1" explain good.onnx images.npy images.npy --method saliency,guided-backprop,adversarial \
    --to all --limit 2 -o sheet.png --json sheet.json
[ "$(grep -c '"class": 2' sheet.json)" = 12 ] && [ "$(grep -c '"image": "image 1"' sheet.json)" = 2 ]
grep -q '"sheet": "sheet.png"' sheet.json
"$3" 1 saliency.png input-gradient.png integrated-gradients.png smoothgrad.png guided-backprop.png
