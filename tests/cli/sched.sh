#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# sched.sh ADJOINT EXAMPLE.onnx: schedules as text. What is printed reads back to the same object; a
# line overrides the heuristic and the code stays right; lines that cannot be are refused by file
# and line; lines that nothing wants are told.
set -u
adjoint=$1
example=$2

. "${0%/*}/../check.sh"

lines() { # OPTION...
    "$adjoint" inspect "$example" --cpu x86-64 --print-sched "$@" 2>err
}

# ---- text out is text in ----
lines --entry forward,gradient >first.sched
[ "$(grep -c '^x86-64 conv' first.sched)" -ge 10 ]
verdict "a line a layer" $?
lines --entry forward,gradient --sched first.sched >second.sched
cmp -s first.sched second.sched && ! [ -s err ]
verdict "lines read back" $?
lines --entry forward,gradient --sched none >third.sched && cmp -s first.sched third.sched
verdict "nothing was measured for x86-64" $?
"$adjoint" compile "$example" --cpu x86-64 --sched none -o plain >out 2>err
verdict "without schedules" $?
lines >forward.sched
"$adjoint" compile "$example" --cpu x86-64 --sched forward.sched -o again >out 2>err &&
    cmp -s plain.o again.o && cmp -s plain.json again.json && ! [ -s err ]
verdict "the same lines, the same object" $?
"$adjoint" compile "$example" --cpu x86-64 --sched forward.sched -o again -v 2>err | grep '^x86' >out
cmp -s out forward.sched
verdict "compile --verbose prints them" $?

# ---- a line decides ----
change() { # NAME LINE EXPECTED-LINE
    echo "$2" >one.sched
    "$adjoint" compile "$example" --cpu x86-64 --sched one.sched -o other >out 2>err &&
        ! cmp -s plain.o other.o && lines --sched one.sched >out && grep -qxF "${3:-$2}" out &&
        "$adjoint" verify "$example" --entry forward --cpu x86-64 --sched one.sched >out 2>err &&
        ! [ -s err ]
    verdict "$1" $?
}
layer='x86-64 conv 32x32 k3 p1 14x14 b8'
change "another tile" "$layer: tapconv tile=1x2x2 unroll=2 order=B"
change "the claim alone" "$layer: winograd tile=2x2" "$layer: winograd form=4 tile=2x2 block=16 unroll=4"
change "no claim" "$layer: generic"
change "comments, blanks" "
# a comment
  $layer:   tapconv  tile=1x7x1 unroll=4 order=A   # as it is" \
    "$layer: tapconv tile=1x7x1 unroll=4 order=A"

# ---- the file of weights is packed by the same lines ----
echo "$layer: tapconv tile=1x2x2 unroll=2 order=B" >one.sched
"$adjoint" compile "$example" --weights file --cpu x86-64 --sched one.sched -o w >out 2>err &&
    cp w.weights kept && "$adjoint" pack "$example" -o w.weights >out 2>err &&
    cmp -s kept w.weights
verdict "pack follows the schedule" $?

# ---- refusals ----
refused() { # LINE MESSAGE
    printf '# first\n%s\n' "$1" >bad.sched
    "$adjoint" compile "$example" --cpu x86-64 --sched bad.sched -o none >out 2>err
    [ $? = 1 ] && [ "$(cat err)" = "adjoint: bad.sched:2: $2" ] && ! [ -e none.o ]
    verdict "refused: $1" $?
}
refused "$layer: tapconv tile=1x7x2 unroll=4 order=A" \
    "a tile of 1x7x2 wants 14 registers for sums, of 12"
refused "x86-64 conv 64x12 k1 1x1 b8: tapconv tile=1x0x1" \
    "1x8 results cut evenly do not make tiles of 1x0"
refused "$layer: winograd tile=14x2" "a tile of 14x2 wants 28 registers for sums, of 12"
refused "$layer: tapconv tile=1x6x1" "14x14 results cut evenly do not make tiles of 1x6"
refused "$layer: tapconv tile=1x7x3" "3 blocks of channels do not divide the 8 there are"
refused "$layer: tapconv tile=1x7x1 unroll=3" "unroll 3 does not cut the 4 channels of a block"
refused "$layer: tapconv tile=7" "'tile=7': tile is AxBxC"
refused "$layer: tapconv order=Z" "'order=Z': order is ABC"
refused "$layer: tapconv tile=1x7x1 tile=1x7x1" "'tile=1x7x1': tile is said before"
refused "$layer: tapconv size=3" "tapconv has no 'size=3'"
refused "$layer: fast" "no claim is called 'fast'; there are generic, amxconv, winograd, tapconv, depthwise, dxplanar, dwconv"
refused "$layer: generic tile=1" "generic has no 'tile=1'"
refused "$layer" "no ':' between what the line is for and the plan"
refused "$layer:" "no plan behind the ':'"
refused "x86-64: generic" "a line begins with a CPU and a convolution"
refused "x87 conv 32x32 k3 14x14 b8: generic" "no CPU row is called 'x87'"
refused "x86-64 pool 32x32 k3 14x14 b8: generic" \
    "'pool' is no face of a convolution: conv, conv_dx or conv_dw"
refused "x86-64 conv 32x32 14x14 b8: generic" "says nothing of the kernel, as k3"
refused "x86-64 conv 32x32 k3 k3 14x14 b8: generic" "'k3': said before"
refused "x86-64 conv 32x32 k3x p1 14x14 b8: generic" "'k3x' is no kernel, as k3"
refused "x86-64 conv 32x32 k3 y1 14x14 b8: generic" "'y1' says nothing of a convolution"
refused "x86-64 conv 32x32 k9 2x2 b8: generic" "such a convolution has no results"
refused "x86-64 conv 32x32 k1 s2 14x14 b8: winograd" \
    "winograd wants a 3x3 kernel, stride 1 or 2, f32, whole vectors"
dw='x86-64 conv_dw 32x32 k3 p1 14x14 b8'
refused "$dw: winograd tile=8x2" "a tile of 8x2 does not divide 4x8"
refused "$dw: winograd tile=4x2 slab=4x3" "a slab of 4x3 does not cut 8x8 blocks of channels"
refused "$dw: winograd block=129" "no block of 129; there are 128 tiles"
refused "$dw: winograd form=2 parts=3" "F(2,3) has no 3 parts"
refused "$dw: winograd unroll=4" "winograd has no 'unroll=4'"
refused "x86-64 conv_dw 32x32 k3 s2 p1 14x14 b8: winograd" \
    "winograd wants a 3x3 kernel, stride 1, f32, whole vectors"
refused "x86-64 conv 32x32 k3 s1x2 p1 14x14 b8: winograd" \
    "winograd wants a 3x3 kernel, stride 1 or 2, f32, whole vectors"
refused "x86-64 conv 32x32 k3 s2 p1 14x14 b8: winograd form=4" "F(4,3) is not for this convolution"
refused "x86-64 conv_dx 32x32 k3 s2 p1 14x14 b8: winograd form=s" \
    "F(4,3) of stride 2 is not for this convolution"
refused "x86-64 conv_dx 32x32 k3 s2 p1 15x15 b8: winograd" \
    "winograd wants a 3x3 kernel, stride 1 or 2, f32, whole vectors, and for gradients of stride 2 odd padding and an even map"
printf '%s: generic\n%s: tapconv\n' "$layer" "$layer" >bad.sched
"$adjoint" compile "$example" --cpu x86-64 --sched bad.sched -o none >out 2>err
[ "$(cat err)" = "adjoint: bad.sched:2: the same as bad.sched:1 is for" ]
verdict "refused: the same layer twice" $?
"$adjoint" compile "$example" --sched nowhere.sched -o none >out 2>err
[ $? = 1 ] && grep -q 'nowhere.sched: cannot be opened' err
verdict "refused: no file" $?

# ---- what nothing wanted ----
printf '%s: generic\n' "x86-64 conv 32x32 k3 p1 15x15 b8" >one.sched
"$adjoint" compile "$example" --cpu x86-64 --sched one.sched -o other >out 2>err &&
    [ "$(cat err)" = "adjoint: warning: one.sched:1: is for no layer of this model" ]
verdict "told: a line for no layer" $?
"$adjoint" compile "$example" --cpu haswell --sched one.sched -o other >out 2>err &&
    [ "$(cat err)" = "adjoint: warning: one.sched: no line is for haswell" ]
verdict "told: no line for this CPU" $?

report cli_sched
