#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# fill.sh FILL_WEIGHTS ADJOINT MODEL: the command fill-weights on a trained model: the same seed gives
# the same file, another seed another; the result verifies; faults are one line and leave no file.
set -u
fill=$1 adjoint=$2 model=$3

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
passed=0 failed=0

ok() {
    name=$1
    shift
    if "$@" >log 2>&1; then
        passed=$((passed + 1))
    else
        echo "FAIL $name"
        sed 's/^/    /' log
        failed=$((failed + 1))
    fi
}

# refused STATUS NEEDLE ARGUMENT...
refused() {
    status=$1 needle=$2
    shift 2
    "$fill" "$@" 2>stderr
    [ $? = "$status" ] && [ "$(wc -l <stderr)" -eq 1 ] && grep -q '^adjoint: ' stderr &&
        grep -qF -e "$needle" stderr && [ -z "$(ls | grep bad)" ]
}

echo "a letter, and no model" >prose.onnx
ok "fills" "$fill" "$model" -o a.onnx
ok "fills again" "$fill" "$model" -o b.onnx --seed 0
ok "fills with another seed" "$fill" "$model" -o c.onnx --seed 1
ok "same seed, same bytes" cmp a.onnx b.onnx
ok "other seed, other bytes" sh -c '! cmp -s a.onnx c.onnx'
ok "fills in place" "$fill" c.onnx -o c.onnx
ok "what was there does not matter" cmp a.onnx c.onnx
ok "verifies" "$adjoint" verify a.onnx
ok "help" "$fill" --help
ok "no model" refused 1 absent.onnx absent.onnx -o bad.onnx
ok "not a model" refused 1 prose.onnx prose.onnx -o bad.onnx
ok "no folder" refused 1 bad/m.onnx "$model" -o bad/m.onnx
ok "seed" refused 2 --seed "$model" -o bad.onnx --seed x
ok "no output" refused 2 -o "$model"
ok "option" refused 2 --nosuch "$model" -o bad.onnx --nosuch

echo "fill-cli: $passed passed, $failed failed"
[ "$failed" = 0 ]
