#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# errors.sh ADJOINT MAKE_ERRORS DOC: the lines of docs/errors.md are those that the compiler prints.
set -u
adjoint=$1 make=$2 doc=$3
if ! command -v python3 >/dev/null; then
    echo "cli_errors: 0 passed, 0 failed, 1 skipped (no python3)"
    exit 77
fi
. "${0%/*}/../check.sh"
export PYTHONDONTWRITEBYTECODE=1
python3 "$make" . || exit 1

# printed LINE: by the model that it names, with status 1, and nothing written
printed() {
    rest=${1#adjoint: }
    mkdir out
    "$adjoint" compile "${rest%%:*}" -o out/m --entry forward,gradient >/dev/null 2>stderr
    status=$?
    left=$(ls -A out)
    rm -rf out
    cat stderr
    [ $status = 1 ] && [ -z "$left" ] && [ "$(cat stderr)" = "$1" ]
}

mkdir good
check "a good one compiles" "$adjoint" compile good.onnx -o good/m --entry forward,gradient
grep '^adjoint: ' "$doc" >lines
while IFS= read -r line; do
    check "$line" printed "$line"
done <lines
check "ten lines or more" test "$passed" -gt 10
report cli_errors
