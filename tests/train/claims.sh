#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# claims.sh ADJOINT: in a step of training, whose weights are arguments, every convolution is
# claimed, each claim has some, and each kernel gives what the evaluator says.
set -u
adjoint=$1

. "${0%/*}/../check.sh"

"$adjoint" new resnet --depth 10 --widths 16,32 --preact --classes 10 --input 3x16x16 -o net.onnx \
    >/dev/null
for cpu in x86-64 haswell native; do
    "$adjoint" verify net.onnx --entry train-step,train-lipschitz-step --batch 3 --each --cpu $cpu \
        >out 2>&1
    check "$cpu: each kernel" test $? = 0
done
# Values large enough that kernels compute them anew instead of storing them.
"$adjoint" new resnet --depth 4 --widths 16 --preact --activation hhrelu --classes 10 \
    --input 3x32x32 -o large.onnx >/dev/null
"$adjoint" verify large.onnx --entry train-lipschitz-step --batch 8 --each >out 2>&1
check "large values: each kernel" test $? = 0


# And computed a second time: in the smallest arena, which the refusal of one byte names.
kept=$(sed -n 's/^\([0-9]*\) kernels, .*/\1/p' out)
"$adjoint" inspect large.onnx --entry train-lipschitz-step --batch 8 --json >facts 2>&1
any=$(sed -n 's/.*"arena_shared_bytes": \([0-9]*\).*/\1/p' facts)
"$adjoint" inspect large.onnx --entry train-lipschitz-step --batch 8 --max-arena 1 >out 2>&1
check "an arena of one byte is refused" test $? != 0
least=$(sed -n 's/.*: 1 bytes are too few for train-lipschitz-step; the least .* is //p' out)
check "the least is less than without a limit" test "${least:-$any}" -lt "$any"
"$adjoint" verify large.onnx --entry train-lipschitz-step --batch 8 --each \
    --max-arena "${least:-1}" >out 2>&1
check "values computed again: each kernel" test $? = 0
again=$(sed -n 's/^\([0-9]*\) kernels, .*/\1/p' out)
check "kernels compute them" test "${again:-0}" -gt "${kept:-0}"

"$adjoint" inspect net.onnx --entry train-lipschitz-step --batch 3 --print-sched --cpu znver4 \
    >plans 2>&1
for claim in winograd tapconv dxplanar dwconv; do
    check "$claim has convolutions" grep -q ": $claim" plans
done
grep -q 'conv_dw .*: winograd' plans
check "winograd has gradients in weights" test $? = 0
grep -q ': generic' plans
check "none is left to the generic lowering" test $? = 1

report train_claims
