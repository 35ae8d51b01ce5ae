#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tools/examples, built against an installed Adjoint, run on Fashion-MNIST test images and held
# against what the command says of the same images.
# usage: test_examples.sh CMAKE BUILD SOURCE
cmake=$1 build=$2 source=$3
data=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}
model=$source/tools/demo/standard.onnx
. "${0%/*}/../check.sh"

says() { # says TEXT COMMAND...
    text=$1
    shift
    "$@" >said.txt 2>&1
    status=$?
    cat said.txt
    [ $status = 0 ] && grep -qF -e "$text" said.txt
}

check "installs" "$cmake" --install "$build" --prefix "$dir/prefix"
adjoint=$dir/prefix/bin/adjoint
for example in classify attack embedded; do
    check "$example: configures" "$cmake" -G Ninja -S "$source/tools/examples/$example" \
        -B $example -DCMAKE_PREFIX_PATH="$dir/prefix" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_C_FLAGS="-Wall -Wextra -Werror"
    check "$example: builds" "$cmake" --build $example
done
check "embedded: needs memcpy and memset at most" \
    sh "$source/tools/examples/embedded/check_imports.sh" nm embedded/firmware.o
check "embedded: has its code within" says device_classify nm embedded/firmware.o

if [ -r "$data/t10k-images-idx3-ubyte.gz" ]; then
    for part in images-idx3 labels-idx1; do
        gzip -dc "$data/t10k-$part-ubyte.gz" >$part
    done
    # Counts as the command has them.
    "$adjoint" run "$model" images-idx3 --labels labels-idx1 --limit 1000 >run.txt
    right=$(sed -n 's/.*(\([0-9]*\) of 1000).*/\1/p' run.txt | head -n 1)
    "$adjoint" attack "$model" images-idx3 --labels labels-idx1 --limit 64 --eps 8/255 \
        --step 2/255 --steps 10 >attack.txt
    robust=$(sed -n 's/^robust.*(\([0-9]*\) of 64).*/\1/p' attack.txt | head -n 1)
    check "classify: as adjoint run has it" says "right ${right:-?} of 1000" \
        classify/classify images-idx3 labels-idx1 1000
    check "attack: as adjoint attack has it" says "robust ${robust:-?} of 64" \
        attack/attack images-idx3 labels-idx1 64 3
    cp said.txt attack.out
    check "attack: the same bits" says "one thread gives the same bits" cat attack.out
    check "attack: exact counts" says "704 forwards, 640 backwards" cat attack.out
    wanted=$(classify/classify images-idx3 labels-idx1 100)
    check "embedded: as classify" says "$wanted" embedded/embedded images-idx3 labels-idx1 100
    cp said.txt embedded.out
    check "embedded: says what it needs" says "arena" cat embedded.out
    check "a missing file is said" [ "$(classify/classify absent labels-idx1 2>&1)" = absent ]
else
    skip "running them" "$data is not there (dataset-fashion-mnist)"
fi
report examples
