#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# hostile.sh ADJOINT MAKE_HOSTILE: models that are damaged or meant to do harm, disks that are full
# and interrupts. Each ends in exit status 1, the one line that is given here, and no output file.
set -u
adjoint=$1
make=$2
if ! command -v python3 >/dev/null; then
    echo "cli_hostile: 0 passed, 0 failed, 1 skipped (no python3)"
    exit 77
fi

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/models" "$dir/models/out"
python3 "$make" "$dir/models" || exit 1
cd "$dir/models" || exit 1

passed=0
failed=0

verdict() { # NAME FAULT
    if [ "$2" ]; then
        echo "FAIL $1: $2"
        sed 's/^/    /' stderr
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
    rm -rf out
    mkdir out
}

# 8 GiB, but for AddressSanitizer, whose shadow is larger than any machine.
memory=8388608
if nm "$adjoint" | grep -q __asan_init; then memory=unlimited; fi

# expect LINE COMMAND...: within a minute and 8 GiB
expect() {
    line=$1 fault=
    shift
    (ulimit -v "$memory" 2>/dev/null; exec timeout 60 "$@") >stdout 2>stderr
    status=$?
    [ "$status" = 1 ] || fault="exit status $status"
    [ "$(cat stderr)" = "adjoint: $line" ] || fault="$fault, not: adjoint: $line"
    [ -z "$(ls -A out)" ] || fault="$fault, left $(ls -A out)"
    verdict "$line" "$fault"
}

# refused MODEL REASON: by compile, and by run and inspect alike
refused() {
    expect "$1.onnx: $2" "$adjoint" compile "$1.onnx" -o out/m
    expect "$1.onnx: $2" "$adjoint" inspect "$1.onnx"
    expect "$1.onnx: $2" "$adjoint" run "$1.onnx" images.npy -o out/y.npy
}

# The good one first: the others fail for their own reasons.
"$adjoint" compile good.onnx -o out/m >/dev/null 2>stderr && [ -s out/m.o ]
verdict "good" "$([ -s out/m.o ] || echo 'does not compile')"

# ---- files that are no models ----
bad="not an ONNX file:"
refused empty "$bad empty"
refused garbage "$bad overlong number at byte 10"
for k in 1 2 3 4 5 6 7; do
    refused truncated$k "$bad a field reaches beyond its message at byte 9"
done
refused fifo "not a regular file"
refused claim "$bad a field reaches beyond its message at byte 8"
refused many "$bad too many fields at byte 8388617"
refused nested "$bad nested too deeply at byte 264"

# ---- graphs ----
refused opset99 "opset 99 is newer than 27, the last that is known here: export with that"
refused opset0 "the model says no opset of the default domain"
refused twice 'value "y" is defined twice'
refused weights_twice 'value "w" is defined twice'
refused cycle 'the Add (Add): nothing before it defines its input "b"'
refused newline 'the Frob?nicate (Frob?nicate): operator Frob?nicate is not supported'

# ---- shapes ----
refused rank 'the Gemm (Gemm): input 1 has rank 3, not 2'
refused rank9 'tensor "w": rank 9, at most 8 is supported'
for model in negative huge overflow; do
    refused $model 'tensor "w": its dimensions are negative or too large'
done
refused short 'tensor "w": 252 bytes for the 256 of its dimensions'
refused long 'tensor "w": 260 bytes for the 256 of its dimensions'
refused input_negative 'input "x": dimension 2 is -4'
refused input_huge 'input "x": larger than 2^40 bytes'
refused input_overflow 'input "x": larger than 2^40 bytes'

# ---- bombs ----
refused constant 'a tensor type does not work: larger than 2^40 bytes'
refused tile 'the Tile (Tile): broadcast: the result is out of bounds: larger than 2^40 bytes'
refused tile_big 'the Tile (Tile): broadcast: the result is out of bounds: larger than 2^40 bytes'
refused range 'the Range (Range): too many numbers'
refused expand 'a tensor type does not work: larger than 2^40 bytes'

# ---- weights in other files ----
w='tensor "w": external data'
outside="$w outside the model's folder:"
refused ext_parent "$outside ../secret.bin"
refused ext_absolute "$outside /etc/passwd"
refused ext_link "$outside link.bin is a link"
refused ext_link_folder "$outside folder/secret.bin is a link"
refused ext_device "$outside zero.bin is a link"
refused ext_fifo "$w: not a regular file"
refused ext_folder "$w: not a regular file"
refused ext_absent "$w: cannot open absent.bin beside the model; put that file there"
refused ext_few "$w: the file ends before the tensor does"
"$adjoint" compile ext_inside.onnx -o out/m >/dev/null 2>stderr
verdict "a link within the folder" "$([ -s out/m.o ] || echo 'does not compile')"

# ---- data and disks ----
expect "fifo.npy: not a regular file" "$adjoint" run good.onnx fifo.npy -o out/y.npy
full="No space left on device"
no_file="/dev/full: is there, and no regular file"
expect "$no_file" "$adjoint" run good.onnx images.npy -o /dev/full
expect "$no_file" "$adjoint" attack good.onnx images.npy --json /dev/full
expect "standard output: cannot write: $full" \
    sh -c '"$1" inspect good.onnx >/dev/full' sh "$adjoint"
expect "standard output: cannot write: $full" \
    sh -c '"$1" --help >/dev/full' sh "$adjoint"
[ -c /dev/full ]
verdict "/dev/full is still a device" "$([ -c /dev/full ] || echo 'it was replaced')"
# A file of at most 512 bytes, and an error instead of the signal.
expect "out/m.o: cannot be written: File too large" \
    sh -c 'trap "" XFSZ; ulimit -f 1; exec "$1" compile good.onnx -o out/m' sh "$adjoint"

# ---- interrupts: all of the files, or none ----
for emit in obj so; do
    for delay in 0.01 0.02 0.03 0.05 0.08 0.12 0.2 0.3; do
        "$adjoint" compile good.onnx --emit $emit -o out/m >stdout 2>stderr &
        sleep $delay
        kill -TERM $! 2>/dev/null
        wait $! 2>/dev/null
        n=$(ls -A out | wc -l)
        verdict "$emit interrupted after $delay s" \
            "$([ $n = 0 ] || [ $n = 3 ] || echo "left only $(ls -A out)")"
    done
done

echo "cli_hostile: $passed passed, $failed failed"
[ "$failed" = 0 ]
