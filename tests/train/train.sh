#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# train.sh ADJOINT MAKE_SET [PYTHON]: the command trains a small net, writes a file that others load,
# and writes the same bytes again, after kills too (KILLS of them, 4 if not set); what it says to bad
# input.
set -u
adjoint=$1
make_set=$2
python=${3:-}

. "${0%/*}/../check.sh"
"$make_set" || exit 1

# refuses NAME STATUS NEEDLE ARGUMENT...: one line that has the needle, and no net
refuses() {
    name=$1 status=$2 needle=$3
    shift 3
    "$adjoint" train "$@" >said 2>&1
    got=$?
    [ "$got" = "$status" ] && [ "$(wc -l <said)" = 1 ] && grep -qF -e "$needle" said &&
        ! ls -d */net.onnx.tmp* 2>/dev/null
    check "$name" test $? = 0
    [ $got = "$status" ] || sed 's/^/    /' said
}

same() { cmp "$1/net.onnx" "$2/net.onnx" && cmp "$1/train.csv" "$2/train.csv"; }
last() { # FOLDER COLUMN
    tail -n 1 "$1/train.csv" | cut -d , -f "$2"
}
above() { awk "BEGIN { exit !($1 > $2) }"; }

"$adjoint" new resnet --depth 6 --widths 4,8 --input 3x8x8 --classes 4 --preact --activation hhrelu \
    -o net.onnx || exit 1
set_="--data images.npy --labels labels.txt --set batch=16 --set lr=0.05 --set crop=1 --set flip=0"
base="train net.onnx $set_ --set epochs=5"
train() { "$adjoint" $base "$@"; }

check "standard" train -o a --test images.npy --test-labels labels.txt
check "it learns" above "$(last a 8)" 0.9
check "loss falls" above "$(sed -n 2p a/train.csv | cut -d , -f 3)" "$(last a 3)"
check "again" train -o b --test images.npy --test-labels labels.txt
check "same bytes" same a b
run() { "$adjoint" run "$1/net.onnx" images.npy --labels labels.txt | grep "^accuracy"; }
check "adjoint run agrees" sh -c "[ \"$(run a | cut -d ' ' -f 2 | cut -c 1-5)\" = \
    \"$(printf %.4f "$(last a 8)" | cut -c 1-5)\" ]"
check "another seed" train -o c --seed 1
cmp -s a/net.onnx c/net.onnx
check "other bytes" test $? = 1

# ---- threads share the kernels of a step ----
"$adjoint" new resnet --depth 6 --widths 32,64 --input 3x8x8 --classes 4 -o wide.onnx || exit 1
wide="train wide.onnx $set_ --set batch=64 --set epochs=1"
check "one thread" "$adjoint" $wide --threads 1 -o w1
check "several threads" "$adjoint" $wide --threads 3 -o w3
check "same bytes with threads" same w1 w3

# ---- the penalty ----
check "robust" train -o r --recipe robust --set psi=3000
check "the input gradient is small" above "0.001" "$(last r 4)"
check "psi follows the loss" above "$(last r 5)" 3000

# ---- stopped, and going on ----
check "checkpoints" train -o k --test images.npy --test-labels labels.txt --every 1
check "same bytes with checkpoints" same a k

long="--every 1 --set epochs=100" # seconds, that kills can fall into
check "without" train -o t $long
tried=0 kills=0
while [ $tried -lt ${KILLS:-4} ] && [ ! -e q/net.onnx ]; do
    tried=$((tried + 1))
    "$adjoint" $base -o q $long --resume >/dev/null 2>&1 & # the process itself is to be killed
    pid=$!
    seen=$(cksum q/checkpoint 2>/dev/null)
    tries=0 # until it has gone a little further
    while [ "$(cksum q/checkpoint 2>/dev/null)" = "$seen" ] && [ $tries -lt 400 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    [ $? != 137 ] || kills=$((kills + 1))
done
check "killed, $kills of $tried times" test $kills -gt 0
check "goes on after kills" sh -c "[ -e q/net.onnx ] || \"$adjoint\" $base -o q $long --resume"
check "same bytes after kills" same q t

# A signal: it says so, with the shell's status for it, and goes on as well.
"$adjoint" $base -o s $long >said 2>&1 &
pid=$!
tries=0
while [ ! -e s/checkpoint ] && [ $tries -lt 400 ]; do
    sleep 0.05
    tries=$((tries + 1))
done
kill -INT $pid
wait $pid
check "interrupt" test $? = 130 -a ! -e s/net.onnx
check "interrupt says how to go on" grep -qF -e "--resume goes on from there" said
# A disk that is full (a limit on the size of files) while a checkpoint is written.
seen=$(cksum s/checkpoint)
full() { (
    trap '' XFSZ
    ulimit -f 4
    "$adjoint" $base -o s $long --resume >said 2>&1
); }
full
check "full disk" test $? = 1 -a "$(cksum s/checkpoint)" = "$seen" -a ! -e s/net.onnx
check "full disk is said" grep -q "s/checkpoint: .*File too large" said
check "goes on after an interrupt" train -o s $long --resume
check "same bytes after an interrupt" same s t

refuses "checkpoint is there" 1 "k/checkpoint: is there" net.onnx $set_ --set epochs=5 -o k
refuses "another recipe" 1 "another model, data or recipe" net.onnx $set_ --set epochs=6 -o k --resume
"$adjoint" new resnet --depth 6 --widths 4,8 --input 3x8x8 --classes 4 --seed 5 -o other.onnx
refuses "another model" 1 "another model, data or recipe" other.onnx $set_ --set epochs=5 \
    --test images.npy --test-labels labels.txt -o k --resume
printf x | dd of=k/checkpoint bs=1 seek=4000 conv=notrunc 2>/dev/null
refuses "damaged checkpoint" 1 "damaged checkpoint" net.onnx $set_ --set epochs=5 \
    --test images.npy --test-labels labels.txt -o k --resume
check "names the last good one" grep -qF "the last good one is k/checkpoint.1" said
mv k/checkpoint.1 k/checkpoint
rm k/net.onnx
check "goes on from the last good one" train -o k --test images.npy --test-labels labels.txt \
    --every 1 --resume
check "same bytes from the last good one" same a k

# ---- every recipe ----
for recipe in adversarial all madry trades mart; do
    check "$recipe" "$adjoint" $base -o "r-$recipe" --recipe $recipe --set epochs=1 \
        --set batch=32 --set attack_steps=2
done
check "other parts" "$adjoint" train net.onnx $set_ -o parts --set epochs=2 --set optimiser=adamw \
    --set average=ema --set ema=0.5 --set schedule=one-cycle --set depth=stochastic \
    --set constraint=spectral --set lr=0.01

# ---- another start ----
"$adjoint" new resnet --depth 6 --widths 4,8 --input 3x8x8 --classes 4 -o relu.onnx
fresh() { # FOLDER OPTION...
    folder=$1
    shift
    "$adjoint" train relu.onnx $set_ --set epochs=1 -o "$folder" "$@" &&
        "$adjoint" verify "$folder/start.onnx" --entry gradient
}
check "fresh weights" fresh f1 --init kaiming-zero --activation hhrelu
check "fresh weights, another seed" fresh f2 --init kaiming-zero --activation hhrelu --seed 1
cmp -s f1/start.onnx f2/start.onnx
check "other weights" test $? = 1
check "the trained net has the activation" sh -c \
    "! grep -q Relu f1/net.onnx && grep -q half_huber_relu f1/net.onnx"
refuses "no ReLU" 1 "has no Relu" net.onnx $set_ --activation hhrelu -o x

# ---- ONNX Runtime ----
onnxruntime() {
    "$adjoint" run r/net.onnx images.npy -o logits.npy >/dev/null && "$python" - <<'END'
import numpy, onnxruntime
net = onnxruntime.InferenceSession("r/net.onnx")
x = numpy.load("images.npy").astype(numpy.float32) / 255
z, ours = net.run(None, {"x": x})[0], numpy.load("logits.npy")
assert (z.argmax(1) == ours.argmax(1)).all() and abs(z - ours).max() < 1e-4 * abs(z).max()
END
}
if [ "$python" ] && "$python" -c 'import onnxruntime' 2>/dev/null; then
    check "ONNX Runtime" onnxruntime
    check "ONNX Runtime: start" "$python" "${0%/*}/start.py" relu.onnx f1/start.onnx
else
    skip "ONNX Runtime" "there is no Python with onnxruntime"
fi

# ---- the evaluator says the same, attack and all ----
for parts in attack=kl-linf,loss=trades attack=l2-min,attack_norm=batch,penalty=lipschitz; do
    check "verify $parts" "$adjoint" verify net.onnx --entry train-step --batch 4 --train $parts
done

# ---- a report ----
check "report" "$adjoint" report a r -o report.html
check "report of two trainings" test "$(grep -c 'data-l="test accuracy"' report.html)" = 2
sed 's/^2,/7,/' a/train.csv >damaged.csv
damaged() { ! "$adjoint" report damaged.csv -o x.html 2>said && grep -q "damaged: line 4" said; }
check "report of a damaged file" damaged

# ---- recipes ----
printf '# a recipe\nepochs = 1\n\nlr = 0.02 # small\n' >recipe
recipe() { "$adjoint" train net.onnx --data images.npy --labels labels.txt --recipe recipe \
    --batch 32 -o f && [ "$(last f 2)" = 0.02 ] && [ "$(wc -l <f/train.csv)" = 2 ]; }
check "recipe file" recipe
check "help" sh -c '"$0" train --help-recipe | grep -q "^  momentum  *0.9  sgd"' "$adjoint"

# ---- bad input ----
refuses "no data" 1 "absent.npy" net.onnx --data absent.npy -o x
refuses "wrong size" 1 "[3,7,7]" net.onnx --data small.npy --labels labels.txt -o x
refuses "label out of range" 1 "label 4 of image 4" net.onnx --data images.npy --labels more.txt \
    --set batch=16 -o x
refuses "no labels" 1 "--labels" net.onnx --data images.npy -o x
refuses "few images" 1 "less than one batch" net.onnx --data images.npy --labels labels.txt -o x
refuses "unknown key" 1 "did you mean momentum?" net.onnx $set_ --set momentun=1 -o x
refuses "unknown word" 1 "none of: sgd, adamw" net.onnx $set_ --set optimiser=adam -o x
refuses "unknown recipe" 1 "standard, adversarial" net.onnx $set_ --recipe sturdy -o x
printf 'lr = 1\nsmoothing: 2\n' >bad
refuses "line of a recipe" 1 "bad: line 2" net.onnx $set_ --recipe bad -o x
refuses "range" 1 "not between" net.onnx $set_ --set momentum=2 -o x
refuses "loss" 1 "not finite, first in" net.onnx $set_ --set lr=1e6 --set epochs=50 -o n
check "names the node" grep -q "step [0-9]*: the .* is not finite, first in .*(.*)" said
refuses "loss, after an epoch" 1 "checkpoint is o/checkpoint" net.onnx $set_ --set lr=1e6 \
    --set epochs=20 --set schedule=one-cycle --set rise_from=1e9 --set rise=0.5 -o o
refuses "nowhere" 1 "nowhere/x" net.onnx $set_ -o nowhere/x
refuses "no model" 2 "missing argument" --data images.npy -o x

report train
