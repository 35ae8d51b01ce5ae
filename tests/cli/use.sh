#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# use.sh ADJOINT MAKE_BAD: what the command prints and writes for a model of one Flatten and one
# Gemm, whose results are known without it: logit j of constant pixels v is the sum over 16 pixels
# i of v * (3 i + j) / 64, plus j / 64.
set -u
adjoint=$1
make_bad=$2

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
"$make_bad" "$dir" || exit 1
cd "$dir" || exit 1

passed=0
failed=0

verdict() { # NAME, after the command whose status it is
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1"
        sed 's/^/    /' stdout stderr 2>/dev/null
    fi
}

# says NAME NEEDLE COMMAND...: it ends well, and its output has the line
says() {
    name=$1 needle=$2
    shift 2
    "$@" >stdout 2>stderr && grep -qxF -e "$needle" stdout
    verdict "$name" $?
}

# ---- inspect ----
dot() { "$adjoint" inspect good.onnx --dot; }
says "dot: input" '  n0 [label="x", shape=ellipse];' dot
says "dot: node" '  n2 [label="Gemm (Gemm)\n48 MACs"];' dot
says "dot: output" '  n3 [label="logits", shape=ellipse];' dot
says "dot: edge" '  n1 -> n2 [label="f32[1,16]"];' dot
json() { "$adjoint" inspect good.onnx --entry forward,gradient --json; }
says "json: arithmetic" '    "macs": 48.0,' json
says "json: FLOPs of the gradient" '      "flops_step": 192.0,' json
says "json: gradient against forward" '      "of_forward": 2.0,' json

# ---- inputs that are given a constant ----
for shape in shape.pb shape.npy; do
    shaped() { "$adjoint" inspect shaped.onnx --const shape=$shape --dot; }
    says "const: $shape" '  n2 [label="Gemm (Gemm)\n48 MACs"];' shaped
done

echo "cli_use: $passed passed, $failed failed"
[ "$failed" = 0 ]
