#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# new.sh ADJOINT [PYTHON]: new networks compile to what the evaluator says, are the same bytes from
# the same options, and, where PYTHON has onnx and onnxruntime, are what these read.
set -u
adjoint=$1
python=${2:-}

. "${0%/*}/../check.sh"

# refuses NAME STATUS NEEDLE ARGUMENT...: one line that has the needle, and no file
refuses() {
    name=$1 status=$2 needle=$3
    shift 3
    "$adjoint" new "$@" >out 2>&1
    [ $? = "$status" ] && [ "$(wc -l <out)" = 1 ] && grep -qF -e "$needle" out && [ ! -e x.onnx ]
    check "$name" test $? = 0
}

onnxruntime() { # MODEL, and the shape of its logits
    "$python" - "$@" <<'END'
import sys
import numpy, onnx, onnxruntime
onnx.checker.check_model(onnx.load(sys.argv[1]), full_check=True)
net = onnxruntime.InferenceSession(sys.argv[1])
x = numpy.random.default_rng(0).random([2] + net.get_inputs()[0].shape[1:], numpy.float32)
z = net.run(None, {net.get_inputs()[0].name: x})[0]
assert str(list(z.shape)) == sys.argv[2] and numpy.isfinite(z).all() and z.std() > 0, z
END
}

paper="--depth 8 --widths 4,8,8 --input 3x16x16 --preact --activation hhrelu --mean .49,.48,.45
    --std .25,.24,.26"
check "paper" "$adjoint" new resnet $paper -o paper.onnx
check "plain" "$adjoint" new resnet --depth 10 --widths 4,6 --input 1x13x11 --classes 3 --zero-last \
    -o plain.onnx
for net in paper plain; do
    check "verify $net" "$adjoint" verify $net.onnx --entry forward,gradient
done
check "again" "$adjoint" new resnet $paper -o again.onnx
check "same bytes" cmp paper.onnx again.onnx
check "another seed" "$adjoint" new resnet $paper --seed 1 -o other.onnx
cmp -s paper.onnx other.onnx
check "other bytes" test $? = 1
if [ "$python" ] && "$python" -c 'import onnx, onnxruntime' 2>/dev/null; then
    check "ONNX Runtime paper" onnxruntime paper.onnx "[2, 10]"
    check "ONNX Runtime plain" onnxruntime plain.onnx "[2, 3]"
fi

refuses "depth" 2 "a multiple of 6, not 19" resnet --depth 19 -o x.onnx
refuses "kind" 2 "vgg" vgg -o x.onnx
refuses "widths" 2 "--widths" resnet --widths 16,0 -o x.onnx
refuses "input" 2 "CxHxW" resnet --input 32x32 -o x.onnx
refuses "mean" 2 "each of 3 channels" resnet --mean .1,.2 -o x.onnx
refuses "folder" 1 "nowhere" resnet -o nowhere/x.onnx

report train_new
