#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tune.sh ADJOINT EXAMPLE.onnx: a short search ends with a schedule that compiles, is right and
# computes the same bits; interrupted, it leaves what it has; nothing is written where it fails.
set -u
adjoint=$1
example=$2

. "${0%/*}/../check.sh"

# Two images of 28 x 28 in IDX.
{
    printf '\0\0\010\003\0\0\0\002\0\0\0\034\0\0\0\034'
    awk 'BEGIN { for (i = 0; i < 1568; i++) printf "%c", 33 + (i * 37 + int(i / 28) * 11) % 90 }'
} >two.idx

layers=$("$adjoint" inspect "$example" --print-sched --sched none | wc -l)
"$adjoint" tune "$example" --seconds 3 --sched none --seed 7 -o m.sched >out 2>err &&
    [ "$(wc -l <m.sched)" = "$layers" ] && ! [ -s err ] &&
    grep -q '^whole: [0-9.]* times as fast, after [0-9]* rounds' out
verdict "a line a layer, and the gain" $?
[ "$(grep -c '% *[0-9.]*% *[0-9.]*%' out)" = "$layers" ]
verdict "a row a layer" $?
"$adjoint" inspect "$example" --print-sched --sched m.sched >out 2>err && cmp -s out m.sched &&
    ! [ -s err ]
verdict "it reads back" $?
"$adjoint" verify "$example" --entry forward --sched m.sched >out 2>err
verdict "it is right" $?
"$adjoint" run "$example" two.idx --sched none -o plain.npy >out 2>err &&
    "$adjoint" run "$example" two.idx --sched m.sched -o tuned.npy >out 2>err &&
    cmp -s plain.npy tuned.npy
verdict "it computes the same bits" $?

# The first seconds go to compiling; before signals are heeded one ends the process.
interrupted() {
    for after in 1 2 4 8; do
        rm -f i.sched
        timeout --foreground -s INT $after "$adjoint" tune "$example" --seconds 600 -o i.sched >out 2>err
        grep -q 'interrupted after [0-9]* rounds; i.sched has the best so far' err && return
    done
    false
}
interrupted && [ "$(wc -l <i.sched)" = "$layers" ]
verdict "interrupted, it writes the best so far" $?

"$adjoint" tune "$example" --cpu x86-64,haswell --seconds 1 -o n.sched >out 2>err
[ $? = 2 ] && grep -q -- '--cpu: one at a time is tuned' err && ! [ -e n.sched ]
verdict "refused: two CPUs" $?
"$adjoint" tune "$example" --seconds 1 >out 2>err
[ $? = 2 ] && grep -q -- '-o: say what to write' err
verdict "refused: no output" $?
"$adjoint" tune "$example" --generic --seconds 1 -o n.sched >out 2>err
[ $? = 1 ] && grep -q 'has no convolution that a claim runs' err && ! [ -e n.sched ]
verdict "refused: nothing to tune" $?

report cli_tune
