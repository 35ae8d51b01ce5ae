#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The artefact as a deployment engineer meets it: imports, headers in C99 and C++, byte-identical
# rebuilds, two models in one program, weights beside the object, a shared object, other targets.
# usage: test_abi.sh ADJOINT MODEL SOURCE_DIR RUNTIME_LIBRARY
adjoint=$1 model=$2 source=$3 runtime=$4
. "${0%/*}/../check.sh"

imports_only() { # imports_only OBJECT NAMES...
    object=$1
    shift
    for symbol in $(nm -u "$object" | awk '{print $NF}'); do
        case " $* " in
        *" $symbol "*) ;;
        *) echo "$object imports $symbol"; return 1 ;;
        esac
    done
}
exports_only() { # every global symbol of the object starts with the prefix
    ! nm -g --defined-only "$1" | awk '{print $NF}' | grep -v "^$2_"
}

entries=forward,gradient,pgd-linf
check "compiles" "$adjoint" compile "$model" -o one --prefix one --entry $entries
check "compiles with weights beside" \
    "$adjoint" compile "$model" -o two --prefix two --entry forward --weights file
check "imports memcpy and memset at most" imports_only one.o memcpy memset
check "exports its prefix only" exports_only one.o one
read_only() { # weights are bytes that nobody writes, one section, behind the code
    readelf -SW one.o | grep -Eq '\.rodata\.weights +PROGBITS +0+ [0-9a-f]+ [0-9a-f]+ 00 +A '
}
check "weights are read-only data" read_only
# "bytes" are padded to 64 each in weights_bytes: at most 64 for each of a small net's tensors
packed_adds_up() {
    "$adjoint" inspect "$model" --entry $entries --json | tr -d ' ,"' | awk -F: '
        $1 == "weights_bytes" { all = $2 }
        $1 == "face" { inside = 1; faces[$2] = 1 }
        $1 == "bytes" && inside { sum += $2; inside = 0 }
        END { exit !(faces["conv"] && faces["conv_dx"] && sum <= all && sum > all - 64 * 64) }'
}
check "the packed bytes of the faces are the weights" packed_adds_up
mkdir again
check "compiles again" "$adjoint" compile "$model" -o again/one --prefix one --entry $entries
for f in o h json; do
    check "byte-identical rebuild: .$f" cmp one.$f again/one.$f
done
echo '#include "one.h"
int main(void) { return one_model.nentry != 3; }' > user.c
check "header is C99" cc -std=c99 -Wall -Wextra -Wpedantic -Werror user.c one.o -o user99
check "C99 program runs" ./user99
if command -v c++ > /dev/null; then
    cp user.c user.cc
    check "header is C++" c++ -Wall -Wextra -Werror user.cc one.o -o usercc
    check "C++ program runs" ./usercc
else
    skip "header is C++" "no C++ compiler"
fi
sed -n '/^\/\* Example/,/^ \*\//s/^ \*   //p' one.h > example.c
echo 'int main(void) { return run(); }' >> example.c
check "the header's example compiles" cc -std=c99 example.c one.o -o example
check "the header's example runs" ./example
check "two models link into one program" \
    cc -O1 -I. "$source/tests/abi/two.c" one.o two.o -lpthread -o both
check "two models, two threads each" ./both two.weights
check "shared object" "$adjoint" compile "$model" -o one --prefix one --emit so
check "archive" "$adjoint" compile "$model" -o lib --prefix one --emit lib
check "archive links" cc -std=c99 -I. user.c lib.a -o userlib
for emit in asm llvm ir kernels; do
    check "--emit $emit" "$adjoint" compile "$model" -o text --emit $emit --entry $entries
done
check "--emit ptx" "$adjoint" compile "$model" -o gpu --target nvptx64-nvidia-cuda --cpu sm_90 \
    --emit ptx --entry gradient
ptxas=$(command -v ptxas || ls /usr/local/cuda/bin/ptxas 2> /dev/null)
if [ -n "$ptxas" ]; then
    check "ptxas assembles every kernel of the gradient" "$ptxas" -arch=sm_90 gpu.ptx -o gpu.cubin
else
    skip "ptxas assembles every kernel of the gradient" "ptxas is not installed"
fi
python=
for candidate in python3 /usr/bin/python3; do
    [ "$python" ] || ! "$candidate" -c 'import numpy' 2> /dev/null || python=$candidate
done
if [ "$python" ]; then
    export PYTHONDONTWRITEBYTECODE=1
    check "shared object with an attack" \
        "$adjoint" compile "$model" -o np --prefix np --emit so --entry forward,pgd-linf
    check "from NumPy" "$python" "$source/tools/examples/numpy/example.py" ./np.so np
else
    skip "from NumPy" "python3-numpy is not installed"
fi

data=/usr/share/datasets/fashion-mnist
if [ -r $data/t10k-images-idx3-ubyte.gz ]; then
    for part in images-idx3 labels-idx1; do gzip -dc $data/t10k-$part-ubyte.gz > $part; done
    for net in standard robust; do
        check "compiles the demo's $net network" "$adjoint" compile "${model%/*}/$net.onnx" \
            -o $net --entry forward,pgd-linf
    done
    check "the demo builds" cc -std=c99 -O2 -Wall -Werror -I. -I"$source" \
        "$source/tools/demo/demo.c" standard.o robust.o "$runtime" -pthread -o demo
    check "the demo runs" ./demo images-idx3 labels-idx1
    cp out.txt demo.txt
    check "the standard network's accuracy" grep -q '^standard.* accuracy  *0\.[89]' demo.txt
    check "the robust network's accuracy" grep -q '^robust.onnx  *accuracy  *0\.8[0-9]' demo.txt
else
    skip "the demo" "dataset-fashion-mnist is not installed"
fi
report abi
