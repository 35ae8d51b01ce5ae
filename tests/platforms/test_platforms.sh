#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Artefacts on other machines: what other architectures compute against this one, which variant of
# an object for several CPUs runs where, and the stack that entries claim against what they use.
# Other machines are qemu's; without it, or without a compiler for them, their lines are skipped.
# usage: test_platforms.sh ADJOINT MODEL FOLDER_OF_THIS
adjoint=$1 model=$2 here=$3
. "${0%/*}/../check.sh"

have() {
    command -v "$1" > /dev/null
}
fails() { # fails TEXT COMMAND...
    text=$1
    shift
    if "$@" > fails.txt 2>&1; then
        cat fails.txt
        return 1
    fi
    grep -q -- "$text" fails.txt || { cat fails.txt; return 1; }
}
# compile FOLDER OPTION...: prefix m, in a folder of its own
compile() {
    mkdir -p "$1" || return 1
    out=$1/m
    shift
    "$adjoint" compile "$model" -o "$out" --prefix m "$@"
}
# build CC FOLDER PROGRAM FLAG...
build() {
    cc=$1 folder=$2 program=$3
    shift 3
    "$cc" -O1 -Wall -Wextra "$@" -I"$folder" -I"$here" "$here/$program.c" "$folder/m.o" \
        -o "$folder/$program" -lpthread
}
imports_only() { # imports_only FOLDER NAMES...
    object=$1/m.o manifest=$1/m.json
    shift
    for symbol in $(nm -u "$object" | awk '{print $NF}'); do
        case " $* " in
        *" $symbol "*) ;;
        *) echo "$object imports $symbol"; return 1 ;;
        esac
        grep -A 20 '"imports"' "$manifest" | grep -q "\"$symbol\"" ||
            { echo "$manifest does not list $symbol"; return 1; }
    done
}
same_stack() { # the header's claim is the manifest's
    sed -n 's/^#define M_.*_STACK \([0-9]*\)u.*/\1/p' "$1/m.h" > header.txt
    sed -n 's/.*"stack_bytes": \([0-9]*\).*/\1/p' "$1/m.json" > manifest.txt
    [ -s header.txt ] && ! grep -qx 0 header.txt && cmp header.txt manifest.txt
}

# ---- this machine ----

if [ "$(uname -m)" = x86_64 ]; then host="x86-64 x86-64-v3 haswell znver3 x86-64-v4 znver4"; else host=; fi
check "compiles for this machine" compile here --entry forward,gradient
check "builds" build cc here run
check "forward" here/run forward 2 here/forward.bin
check "gradient" here/run gradient 2 here/gradient.bin
cc -O1 "$here/compare.c" -o compare || exit 1

# ---- stack ----

for cpu in $host; do
    compile "stack-$cpu" --cpu "$cpu" --entry forward,gradient,logit-gradient,pgd-linf > out.txt
    check "$cpu: header and manifest tell the stack" same_stack "stack-$cpu"
    check "$cpu: stack program builds" build cc "stack-$cpu" stack -Wl,-z,now
    if "stack-$cpu/stack" > out.txt; then
        passed=$((passed + 1))
        sed "s/^/ok    $cpu: /" out.txt
    elif grep -q 'returned -3' out.txt; then
        skip "$cpu: stack" "this machine is none"
    else
        check "$cpu: stack" cat out.txt /dev/missing
    fi
done

# ---- several CPUs in one object ----

bits() { # bits FOLDER COMMAND...: the outputs are those of FOLDER's own CPU
    folder=$1
    shift
    "$@" gradient 2 got.bin && cmp "$folder/gradient.bin" got.bin
}
code() { # FOLDER: bytes of it
    size -A "$1/m.o" | awk '$1 ~ /^\.text/ { n += $2 } END { print n }'
}
code_adds_up() {
    sum=$(($(code one-x86-64) + $(code one-haswell) + $(code one-znver4))) all=$(code several)
    echo "$all bytes, alone $sum"
    [ "$all" -gt $((sum * 8 / 10)) ] && [ "$all" -lt $((sum * 11 / 10)) ]
}
weights_are_shared() { # where variants pack them alike
    sum=$(($(wc -c < one-x86-64/m.o) + $(wc -c < one-haswell/m.o) + $(wc -c < one-znver4/m.o)))
    all=$(wc -c < several/m.o)
    echo "$all bytes, alone $sum"
    [ "$all" -lt $((sum * 8 / 10)) ]
}
if [ -n "$host" ]; then
    cpus=x86-64,haswell,znver4
    check "compiles for $cpus" compile several --cpu $cpus --entry gradient
    check "compiles again" compile again --cpu $cpus --entry gradient
    check "byte-identical rebuild" cmp several/m.o again/m.o
    check "with weights beside" compile beside --cpu $cpus --entry gradient --weights file
    check "imports memcpy and memset at most" imports_only several memcpy memset
    check "builds" build cc several run -static
    best=
    for cpu in x86-64 haswell znver4; do
        compile one-$cpu --cpu $cpu --entry gradient > out.txt
        check "$cpu alone builds" build cc one-$cpu run -static
        one-$cpu/run gradient 2 one-$cpu/gradient.bin 2> out.txt && best=$cpu
    done
    check "code adds up" code_adds_up
    check "weights are shared" weights_are_shared
    check "here it runs $best" bits one-$best several/run
    check "stack program builds" build cc several stack -Wl,-z,now
    check "stack of the largest" several/stack
    check "twice the same CPU is refused" fails "twice" compile bad --cpu haswell,haswell
    check "an unknown CPU is refused" fails "unknown CPU" compile bad --cpu haswell,pentium
    check "a list for AArch64 is refused" fails "x86-64 only" \
        compile bad --target aarch64-linux-gnu --cpu generic,cortex
    if have qemu-x86_64; then
        for pair in qemu64:x86-64 Nehalem:x86-64 Haswell:haswell; do
            machine=${pair%:*} cpu=${pair#*:}
            one-$cpu/run gradient 2 one-$cpu/gradient.bin 2> out.txt ||
                qemu-x86_64 -cpu max one-$cpu/run gradient 2 one-$cpu/gradient.bin
            check "on a $machine it runs $cpu" \
                bits one-$cpu qemu-x86_64 -cpu $machine several/run
        done
        check "haswell alone is refused on a Nehalem" \
            fails "returned -3" qemu-x86_64 -cpu Nehalem one-haswell/run gradient 2 got.bin
    else
        skip "variants on other x86-64 machines" "qemu-x86_64 is not installed"
    fi
else
    skip "several CPUs in one object" "this machine is not x86-64"
fi

# ---- other architectures ----

other() { # other NAME TRIPLE QEMU IMPORTS...
    other=$1 triple=$2 qemu=$3
    shift 3
    check "$other: compiles" compile "$other" --target "$triple" --entry forward,gradient
    check "$other: imports $* at most" imports_only "$other" "$@"
    check "$other: header and manifest tell the stack" same_stack "$other"
    have "$triple-gcc" || { skip "$other: links" "$triple-gcc is not installed"; return; }
    check "$other: links" build "$triple-gcc" "$other" run -static
    check "$other: stack program links" build "$triple-gcc" "$other" stack -static
    have "$qemu" || { skip "$other: runs" "$qemu is not installed"; return; }
    for entry in forward gradient; do
        check "$other: $entry runs" "$qemu" "$other/run" $entry 2 "$other/$entry.bin"
        check "$other: $entry within 1e-5" ./compare here/$entry.bin "$other/$entry.bin" 1e-5
        sed 's/^/      /' out.txt
    done
    check "$other: stack" "$qemu" "$other/stack"
}
other aarch64 aarch64-linux-gnu qemu-aarch64 memcpy memset
other riscv64 riscv64-linux-gnu qemu-riscv64 memcpy memset
other arm arm-linux-gnueabihf qemu-arm memcpy memset

# ---- trained networks, 16 images ----

# The numbers of a .npy file of version 1 without its header.
numbers() {
    header=$(od -An -tu2 -j8 -N2 "$1") && tail -c +$((header + 11)) "$1"
}
# logits NAME TRIPLE QEMU: of $net, against this machine's
logits() {
    have "$2-gcc" && have "$3" || { skip "$1: $net" "no compiler or no qemu for it"; return; }
    check "$1: $net compiles" compile "$1-$net" --target "$2" --entry forward
    check "$1: $net links" build "$2-gcc" "$1-$net" run -static
    check "$1: $net runs" "$3" "$1-$net/run" forward 16 "$1-$net/forward.bin" x.bin
    check "$1: $net within 1e-5" ./compare "here-$net/forward.bin" "$1-$net/forward.bin" 1e-5
    sed 's/^/      /' out.txt
}
network() { # network MODEL GOLDEN
    model=$ADJ_SHARED/models/$1 net=$(basename "$1" .onnx)
    [ -r "$model" ] || { skip "$net" "not there"; return; }
    numbers "$ADJ_SHARED/golden/$2/x.npy" > x.bin
    check "$net compiles" compile "here-$net" --entry forward
    check "$net builds" build cc "here-$net" run
    check "$net runs" "here-$net/run" forward 16 "here-$net/forward.bin" x.bin
    logits aarch64 aarch64-linux-gnu qemu-aarch64
    logits riscv64 riscv64-linux-gnu qemu-riscv64
}
if [ -n "${ADJ_SHARED:-}" ]; then
    network resnet-cifar10/resnet20-cifar10-op13.onnx resnet20
    network vnncomp/resnet_2b.onnx resnet_2b
    network mlperf-tiny/resnet8-op13-logits.onnx resnet44-all
else
    skip "trained networks" "ADJ_SHARED is not set"
fi

report platforms
