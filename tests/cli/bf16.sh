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

# Matrix tiles: the same bits from any number of workers, whether they have samples or kernels of
# their own, and from any part of the samples.
if grep -q amx_bf16 /proc/cpuinfo; then
    bf16 verify --entry forward,gradient,pgd-linf --each --limit 2 --cpu sapphirerapids
    verdict "with matrix tiles" $?
    bf16 verify --entry forward,gradient --cpu sapphirerapids
    verdict "whole entries with matrix tiles" $?
    { printf '\0\0\10\3\0\0\0\5\0\0\0\34\0\0\0\34' && head -c 3920 "$adjoint"; } >five.idx
    printf '1\n2\n3\n4\n5\n' >five.txt
    for n in 1 5; do
        for threads in 1 2 3; do
            "$adjoint" gradient "$example" five.idx --labels five.txt --limit $n \
                --precision bf16 --cpu sapphirerapids --threads $threads --batch $threads \
                -o $n.$threads.npy >out 2>err
        done
        cmp $n.1.npy $n.2.npy && cmp $n.1.npy $n.3.npy
        verdict "any number of threads, $n images" $?
    done
    "$adjoint" gradient "$example" five.idx --labels five.txt --first 3 --limit 1 \
        --precision bf16 --cpu sapphirerapids --threads 1 -o alone.npy >out 2>err &&
        tail -c 3136 alone.npy >alone && tail -c 6272 5.1.npy | head -c 3136 | cmp - alone
    verdict "an image alone" $?
else
    skip "with matrix tiles" "this CPU has none"
fi

# ---- what is stored ----
bf16 compile -o m --cpu znver4 --emit kernels && grep -q 'temp bf16 .*1%16' m.kernels &&
    grep -q 'io 1 out logits f32' m.kernels
verdict "bf16 between layers, f32 outside" $?
bf16 compile -o m --cpu znver4 --winograd off --emit asm && grep -q vdpbf16ps m.s &&
    grep -q vcvtneps2bf16 m.s
verdict "instructions of znver4" $?
bf16 compile -o m --cpu sapphirerapids --emit asm && grep -q tdpbf16ps m.s && grep -q syscall m.s &&
    ! grep -q vdpbf16ps m.s
verdict "instructions of sapphirerapids" $?
"$adjoint" compile "$example" -o f --cpu sapphirerapids --emit asm >out 2>err &&
    ! grep -q 'syscall\|ldtilecfg' f.s
verdict "which f32 does not ask for" $?
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
