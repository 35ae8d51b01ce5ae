#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# bf16.sh ADJOINT EXAMPLE.onnx: --precision bf16. Every kernel against the evaluator, which rounds
# where the graph says so, on a CPU without and, where this one has them, with instructions for
# bf16; files and schedules say what they are for; training is refused.
set -u
adjoint=$1
example=$2

. "${0%/*}/../check.sh"

bf16() { # COMMAND OPTION...
    command=$1
    shift
    "$adjoint" "$command" "$example" --precision bf16 "$@" >out 2>err
}

# ---- right on both kinds of CPU ----
bf16 verify --entry forward,gradient,pgd-linf --each --limit 2 --cpu x86-64
verdict "without instructions" $?
bf16 verify --entry forward,gradient --cpu x86-64
verdict "whole entries" $?
if grep -q avx512_bf16 /proc/cpuinfo; then
    bf16 verify --entry forward,gradient,pgd-linf --each --limit 2 --cpu znver4
    verdict "with vdpbf16ps" $?
    bf16 verify --entry gradient --each --limit 2 --cpu znver4 --winograd off
    verdict "direct convolutions" $?
else
    skip "with vdpbf16ps" "this CPU has none"
fi

# ---- what is stored ----
bf16 compile -o m --cpu znver4 --emit kernels && grep -q 'temp bf16 .*1%16' m.kernels &&
    grep -q 'io 1 out logits f32' m.kernels
verdict "bf16 between layers, f32 outside" $?
bf16 compile -o m --cpu znver4 --winograd off --emit asm && grep -q vdpbf16ps m.s &&
    grep -q vcvtneps2bf16 m.s
verdict "instructions of znver4" $?
bf16 compile -o m --cpu x86-64 --emit kernels && ! grep -q 'temp bf16 .*1%4' m.kernels
verdict "f32 that is rounded elsewhere" $?

# ---- what files say ----
bf16 compile -o m --cpu znver4 && grep -q '"precision": "bf16"' m.json &&
    "$adjoint" compile "$example" -o f --cpu znver4 >out 2>err && ! cmp -s m.o f.o &&
    grep -q '"precision": "f32"' f.json
verdict "the manifest" $?
bf16 compile -o w --weights file --cpu znver4,x86-64 && cp w.weights kept &&
    "$adjoint" pack "$example" -o w.weights >out 2>err && cmp -s kept w.weights
verdict "pack" $?
bf16 inspect --print-sched --entry forward,gradient --cpu znver4 && cp out first.sched &&
    grep -q '^znver4 conv .* bf16: ' first.sched &&
    bf16 inspect --print-sched --entry forward,gradient --cpu znver4 --sched first.sched &&
    cmp -s out first.sched && ! [ -s err ]
verdict "schedules" $?
"$adjoint" run "$example" --precision bf8 >out 2>err
[ $? = 2 ] && grep -q 'f32, f64 or bf16\|bf16' err
verdict "no such precision" $?
bf16 compile -o t --entry train-step
[ $? = 1 ] && grep -q -- '--precision: training is in f32 or f64' err
verdict "no training" $?

report bf16
