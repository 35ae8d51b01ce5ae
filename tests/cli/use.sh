#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# use.sh ADJOINT MAKE_BAD EXAMPLE.onnx: what the command prints and writes for a model of one Flatten and one
# Gemm, whose results are known without it: logit j of constant pixels v is the sum over 16 pixels
# i of v * (3 i + j) / 64, plus j / 64.
set -u
adjoint=$1
make_bad=$2
example=$3

. "${0%/*}/../check.sh"
"$make_bad" . || exit 1

# says NAME NEEDLE COMMAND...: it ends well, and its output has the line
says() {
    name=$1 needle=$2
    shift 2
    "$@" >stdout 2>stderr && grep -qxF -e "$needle" stdout
    verdict "$name" $?
}

# ---- inspect ----
dot() { "$adjoint" inspect good.onnx --dot; }
says "dot: input" '  n0 [label="x", shape=ellipse];' dot
says "dot: node" '  n2 [label="Gemm (Gemm)\n48 MACs"];' dot
says "dot: output" '  n3 [label="logits", shape=ellipse];' dot
says "dot: edge" '  n1 -> n2 [label="f32[1,16]"];' dot
json() { "$adjoint" inspect good.onnx --entry forward,gradient --json; }
says "json: arithmetic" '    "macs": 48.0,' json
says "json: FLOPs of the gradient" '      "flops_step": 192.0,' json
says "json: gradient against forward" '      "of_forward": 2.0,' json

# The example's seven ReLUs keep a bit an element for the backward pass, the loss its 10 scores.
saved() {
    "$adjoint" inspect "$example" --entry gradient "$@" | awk '
        $1 == "saved_bytes" { bytes = $2 }
        $2 == "(Relu)" && $3 == "bits" { masks += $4; n++ }
        $1 == "of_forward" { ratio = $2 }
        END { print n " masks, " masks " bytes, " bytes - masks " others, " ratio " x forward" }'
}
says "saved: a bit an element" "7 masks, 7056 bytes, 40 others, 2 x forward" saved
says "saved: the same of a batch" "7 masks, 7056 bytes, 40 others, 2 x forward" saved --batch 8

# Where the maximum of a window is takes a byte, and is found in the forward pass.
pooling() {
    "$adjoint" inspect "$ADJ_SHARED/models/misc/mnist_8.onnx" --entry gradient |
        awk '$2 == "(MaxPool)" && $3 == "u8" { print $1, $4 }'
}
if [ -n "${ADJ_SHARED:-}" ]; then
    says "saved: a byte a window" "Pooling66 1568" pooling
else
    skip "saved: a byte a window" "ADJ_SHARED is not set"
fi

# F(4,3) has 36 planes of weights and errs by up to 3e-6, F(2,3) has 16.
bounded() {
    "$adjoint" compile "$example" -o bounded --cpu znver4 -v --max-error 1e-6
}
says "max-error: the smaller form" "packed conv by winograd 360448 bytes" bounded

# ---- a start in f64 keeps its digits ----
start() {
    "$adjoint" attack good.onnx images.npy --labels labels.npy --precision f64 --start start.npy \
        --steps "$1" --step 0 -o adv.npy >/dev/null &&
        od -A n -v -t x8 -j 128 adv.npy | tr -s ' ' '\n' | sort -u | tail -n +2
}
says "start: the file's f64" 3fe000000000232f start 0
says "start: after a step of length 0" 3fe000000000232f start 1

# ---- inputs that are given a constant ----
for shape in shape.pb shape.npy; do
    shaped() { "$adjoint" inspect shaped.onnx --const shape=$shape --dot; }
    says "const: $shape" '  n2 [label="Gemm (Gemm)\n48 MACs"];' shaped
done

# ---- several inputs and outputs ----
# floats of an .npy file, after its 128 bytes of head
floats() { od -A n -v -t f4 -w12 -j 128 "$1" | tr -s ' '; }
two() { "$adjoint" run two.onnx images.npy --input shift=images.npy "$@"; }

says "run: two outputs" ' 5.625 5.890625 6.15625' \
    sh -c '"$@" >/dev/null && od -A n -v -t f4 -w12 -j 128 l.npy | tr -s " "' - \
    "$adjoint" run two.onnx images.npy --input shift=images.npy -o logits=l.npy -o moved=m.npy
check_moved() { floats m.npy; }
says "run: the other output" ' 1 1 1' check_moved
same_npz() { two -o a.npz >/dev/null && two -o b.npz >/dev/null && cmp a.npz b.npz && echo same; }
says "run: .npz" same same_npz
members() { grep -ao 'logits.npy\|moved.npy' a.npz | sort -u | wc -l | tr -d ' '; }
says "run: .npz holds both" 2 members
arrays() {
    "$adjoint" run two.onnx --input x=m.npy --input shift=images.npy --first 1 -o moved=n.npy &&
        floats n.npy
}
says "run: arrays alone, from the second" ' 1.5 1.5 1.5' arrays
mv m.npy x.npy
image() { "$adjoint" run good.onnx --input x=x.npy -o c.npy && floats c.npy; }
says "run: the image as an array" ' 5.625 5.890625 6.15625' image
verify() {
    "$adjoint" verify two.onnx --input x=images.npy --input shift=images.npy --entry \
        forward,gradient,pgd-linf --each | sed -n 's/.*values on \(2 images\);.*/\1/p'
}
says "verify: two inputs" "2 images" verify
verify_one() { "$adjoint" verify good.onnx --batch 1 | sed -n 's/.*values on \(1 images\);.*/\1/p'; }
says "verify: a batch of one" "1 images" verify_one

# ---- bench against a peer: this one says that a call took a second ----
cat >peer <<'END'
#!/bin/sh
echo ready
while read -r line; do echo 1.0; done
END
chmod +x peer
bench() {
    "$adjoint" bench good.onnx --entry forward --n 2 --repeats 3 --vs torch,jax --python "$1" |
        sed -n 's/^ *\(torch: [^;]*\).*/\1/p'
}
says "bench: peer" 'torch: 2 images/s [2, 2]' bench ./peer
says "bench: no interpreter" 'torch: ./absent: No such file or directory' bench ./absent
says "bench: peer that fails" 'torch: ended' bench false

report cli_use
