#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tiles.sh ADJOINT EXAMPLE.onnx: matrix tiles in f32 (--tiles f32), and --tiles off. Where they multiply, what
# objects ask the machine for, files and schedules; and, where this CPU has tiles, that the code is
# right and gives the same bits from any number of workers.
set -u
adjoint=$1
example=$2

. "${0%/*}/../check.sh"

compile() { # OPTION...
    "$adjoint" compile "$example" -o m "$@" >out 2>err
}
says() { # as compile -v
    compile --cpu sapphirerapids -v "$@" && cat out err >said
}
asks() { # of m.s
    grep -q ldtilecfg m.s && grep -q syscall m.s
}

# ---- where ----
says --tiles f32 && grep -q '^sapphirerapids conv .*: amxconv' said
verdict "f32" $?
says && ! grep -q amxconv said
verdict "not by default" $?
says --tiles off && ! grep -q amxconv said
verdict "off" $?
says --precision bf16 --tiles off && ! grep -q amxconv said
verdict "off, bf16" $?
compile --cpu sapphirerapids --tiles f32 --emit asm && asks && grep -q tdpbf16ps m.s
verdict "an object that asks" $?
for precision in f32 bf16; do
    compile --cpu sapphirerapids --emit asm --tiles off --precision $precision &&
        ! grep -q 'ldtilecfg\|tdpbf16ps\|syscall' m.s
    verdict "an object that does not, $precision" $?
done
for options in '--cpu skylake-avx512' '--cpu sapphirerapids --precision f64' \
    '--cpu sapphirerapids --max-error 1e-7'; do
    compile $options --tiles f32 --emit asm && ! grep -q 'ldtilecfg\|syscall' m.s
    verdict "no tiles: $options" $?
done
compile --cpu sapphirerapids --tiles f32 --entry train-step --emit asm && ! grep -q 'ldtilecfg\|syscall' m.s
verdict "no tiles: weights that are no constants" $?
compile --cpu skylake-avx512,sapphirerapids --tiles f32 --emit asm && asks
verdict "one variant of two" $?
compile --tiles never
[ $? = 2 ] && grep -q -- '--tiles: .* none of: bf16 f32 off' err
verdict "no such word" $?

# ---- what files say ----
for tiles in bf16 f32 off; do
    compile --cpu sapphirerapids --tiles $tiles --weights file && cp m.weights kept &&
        "$adjoint" pack "$example" -o m.weights >out 2>err && cmp -s kept m.weights
    verdict "pack, $tiles" $?
done
sched() { # OPTION...
    "$adjoint" inspect "$example" --print-sched --cpu sapphirerapids --tiles f32 "$@" 2>err
}
for entry in forward,gradient forward,train-step; do
    sched --entry $entry >first.sched && grep -q ': amxconv' first.sched &&
        sched --entry $entry --sched first.sched >second.sched && cmp -s first.sched second.sched &&
        ! [ -s err ]
    verdict "schedules, $entry" $?
done

# ---- right ----
if grep -q amx_bf16 /proc/cpuinfo; then
    "$adjoint" verify "$example" --entry forward,gradient,pgd-linf --each --limit 2 \
        --cpu sapphirerapids --tiles f32 >out 2>err
    verdict "each kernel" $?
    { printf '\0\0\10\3\0\0\0\5\0\0\0\34\0\0\0\34' && head -c 3920 "$adjoint"; } >five.idx
    printf '1\n2\n3\n4\n5\n' >five.txt
    for n in 1 5; do
        for threads in 1 2 3; do
            "$adjoint" gradient "$example" five.idx --labels five.txt --limit $n \
                --cpu sapphirerapids --tiles f32 --threads $threads --batch 2 -o $n.$threads.npy \
                >out 2>err
        done
        cmp $n.1.npy $n.2.npy && cmp $n.1.npy $n.3.npy
        verdict "any number of threads, $n images" $?
    done
else
    skip "each kernel" "this CPU has no matrix tiles"
fi

report tiles
