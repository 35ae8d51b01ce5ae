#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# adjoint pack: weights of another file of the same structure are those that compiling that file
# would give, byte for byte; the object is the same whatever the weights; another structure is
# refused.
# usage: test_pack.sh ADJOINT FILL_WEIGHTS LEVEL MAKE_BAD SOURCE
adjoint=$1 fill=$2 level=$3 make_bad=$4 source=$5
. "${0%/*}/../check.sh"

differ() {
    ! cmp -s "$1" "$2"
}
refused() { # refused STATUS TEXT COMMAND...: one line, and no file
    status=$1 text=$2
    shift 2
    "$@" -o no.weights >said.txt 2>&1
    got=$?
    cat said.txt
    [ $got = "$status" ] && [ "$(wc -l <said.txt)" = 1 ] && grep -qF -e "$text" said.txt &&
        [ -z "$(ls no.weights* 2>/dev/null)" ]
}

# The same network thrice over: other weights; ones and zeros under other names.
mkdir own other ones zeros
cp "$source/tests/e2e/fashion.onnx" own/m.onnx
"$fill" own/m.onnx -o other/m.onnx --seed 3 >/dev/null || exit 1
"$level" own/m.onnx 1 ones/m.onnx || exit 1
"$level" own/m.onnx 0 zeros/m.onnx || exit 1

# against TITLE OPTIONS...: everything, compiled with these options
against() {
    title=$1
    shift
    for net in own other ones zeros; do
        check "$title: compiles $net" "$adjoint" compile $net/m.onnx -o $net/m --weights file "$@"
    done
    for net in own other ones zeros; do
        check "$title: the object of $net is the same" cmp own/m.o $net/m.o
        check "$title: so is its manifest" cmp own/m.json $net/m.json
        check "$title: packs $net" "$adjoint" pack $net/m.onnx -o packed.weights \
            --manifest own/m.json
        check "$title: as compiling $net has it" cmp packed.weights $net/m.weights
    done
    check "$title: other weights are others" differ own/m.weights other/m.weights
}
against "two entries" --entry forward,gradient
cp own/m.* .
check "the program compiles" cc -I. "$source/tests/pack/logits.c" m.o -o logits
check "packs in place" "$adjoint" pack other/m.onnx -o m.weights
cc -Iother "$source/tests/pack/logits.c" other/m.o -o logits_other
check "runs with weights exchanged" ./logits m.weights z_packed
check "runs what was compiled anew" ./logits_other other/m.weights z_anew
check "runs with its own weights" ./logits own/m.weights z_own
check "exchanged: the bits of compiling anew" cmp z_packed z_anew
check "exchanged: other logits than before" differ z_own z_anew
against "two CPUs, an attack" --cpu x86-64,haswell --entry pgd-linf --batch 2
against "preprocessing in f64" --mean 0.28604 --std 0.35302 --precision f64 --generic
against "AArch64" --target aarch64-linux-gnu --winograd off

# What is refused.
"$make_bad" .
check "another structure" refused 1 "good.onnx: has another structure than the model of own/m.json" \
    "$adjoint" pack good.onnx --manifest own/m.json
check "no manifest" refused 1 "no.json: is no manifest" "$adjoint" pack own/m.onnx
check "another file than a manifest" refused 1 "own/m.h: is no manifest" \
    "$adjoint" pack own/m.onnx --manifest own/m.h
"$adjoint" compile own/m.onnx -o within >/dev/null
check "weights within" refused 1 "compile it with --weights file" \
    "$adjoint" pack own/m.onnx --manifest within.json
check "no model" refused 1 "absent.onnx" "$adjoint" pack absent.onnx --manifest own/m.json
check "no room" [ "$("$adjoint" pack own/m.onnx -o nowhere/m.weights --manifest own/m.json 2>&1 |
    grep -c '^adjoint: nowhere/m.weights: cannot be written')" = 1 ]
check "no -o" [ "$("$adjoint" pack own/m.onnx >/dev/null 2>&1; echo $?)" = 2 ]
report pack
