#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# models.sh FILL_WEIGHTS ADJOINT: networks of several exporters, compiled and verified against the
# evaluator. Structures whose weights were left out are filled first. One line a case: the file below
# $ADJ_SHARED/models, and options of `adjoint verify`. The large ones (torchvision's at 224x224) take
# minutes each: by hand, `fill-weights` and `adjoint verify`.
set -u
fill=$1 adjoint=$2
models=${ADJ_SHARED:-}/models
if [ ! -d "$models" ]; then
    echo "models: 0 passed, 0 failed, 1 skipped (no models: ADJ_SHARED is not set)"
    exit 77
fi

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

verify() {
    file=$models/$1
    shift
    case $file in
    *-light.onnx)
        "$fill" "$file" -o "$dir/filled.onnx" || return 1
        file=$dir/filled.onnx
        ;;
    esac
    "$adjoint" verify "$file" "$@"
}

while read -r model options; do
    [ "$model" ] || continue
    # shellcheck disable=SC2086 # options are words
    if verify "$model" $options >"$dir/log" 2>&1; then
        passed=$((passed + 1))
    else
        echo "FAIL $model $options"
        sed 's/^/    /' "$dir/log"
        failed=$((failed + 1))
    fi
done <<'CASES'
misc/mnist_8.onnx
misc/onnc_resnet20.onnx
misc/ppocr_cls.onnx --dim x.2=48,x.3=192
misc/super_resolution_10.onnx --entry forward --limit 1
torchvision-structure/resnet18-op9-light.onnx --entry forward --limit 1
torchvision-structure/resnet18-op17-light.onnx --entry forward --limit 1
torchvision-structure/resnet18-op13-bnkept-dynHW-light.onnx --dim H=64,W=96
torchvision-structure/resnet50-op13-bnkept-dynHW-light.onnx --dim H=64,W=32
CASES

echo "models: $passed passed, $failed failed"
[ "$failed" = 0 ]
