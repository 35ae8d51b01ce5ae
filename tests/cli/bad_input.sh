#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# bad_input.sh ADJOINT MAKE_BAD: each kind of bad input ends with its exit status, exactly one line
# on standard error that opens with "adjoint: " and names the culprit, and no output file.
set -u
adjoint=$1
make_bad=$2

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/out"
"$make_bad" "$dir" || exit 1
cd "$dir" || exit 1

passed=0
failed=0

fault() {
    echo "FAIL $name: $*"
    sed 's/^/    /' stderr
    bad=1
}

# expect NAME STATUS NEEDLE COMMAND...; status 0 must say nothing
expect() {
    name=$1 status=$2 needle=$3
    shift 3
    bad=
    "$@" >stdout 2>stderr
    got=$?
    [ "$got" = "$status" ] || fault "exit status $got, not $status"
    lines=$(($(wc -l <stderr)))
    if [ "$status" = 0 ]; then
        [ "$lines" = 0 ] || fault "says something"
    else
        [ "$lines" = 1 ] || fault "$lines lines on standard error, not 1"
        grep -q '^adjoint: ' stderr || fault "does not open with 'adjoint: '"
        grep -qF -e "$needle" stderr || fault "does not name $needle"
        [ -z "$(ls -A out)" ] || fault "left $(ls -A out) behind"
    fi
    rm -rf out
    mkdir out
    if [ "$bad" ]; then failed=$((failed + 1)); else passed=$((passed + 1)); fi
}

attack() {
    "$adjoint" attack good.onnx "$@" -o out/adv.npy --json out/report.json
}

# What is good first: the others fail for their own reasons.
expect "good compile" 0 "" "$adjoint" compile good.onnx -o out/m --entry forward,pgd-linf
expect "good run" 0 "" "$adjoint" run good.onnx images.npy --labels labels.npy -o out/logits.npy
expect "good attack, all files" 0 "" "$adjoint" attack good.onnx images.npy --labels labels.npy \
    --steps 2 -o out/adv.npy --json out/a.json --csv out/a.csv --png out/png
expect "max-error" 2 "--max-error" "$adjoint" compile good.onnx -o out/m --max-error -1
expect "max-error no number" 2 "--max-error" "$adjoint" compile good.onnx -o out/m --max-error small
expect "compat" 0 "" "$adjoint" attack good.onnx images.npy --labels labels.npy --compat madry \
    --keep last
expect "compat tool" 2 nobody "$adjoint" attack good.onnx images.npy --labels labels.npy \
    --compat nobody
expect "compat attack" 2 "foolbox has no btr" "$adjoint" attack good.onnx images.npy \
    --labels labels.npy --compat foolbox --attack btr
expect "csv" 1 out/no/a.csv "$adjoint" attack good.onnx images.npy --labels labels.npy \
    --csv out/no/a.csv
expect "png folder" 1 good.onnx "$adjoint" attack good.onnx images.npy --labels labels.npy \
    --png good.onnx
expect "good run, weights apart" 0 "" "$adjoint" run good.onnx images.npy --weights file
expect "good attack" 0 "" attack images.npy --labels labels.npy
expect "good eot" 0 "" attack images.npy --labels labels.npy --eot 3
expect "eot below 1" 2 "--eot: 0" attack images.npy --labels labels.npy --eot 0
expect "eot no number" 2 "--eot" attack images.npy --labels labels.npy --eot many
expect "eot without gradients" 1 "--eot: no entry takes steps along gradients" \
    attack images.npy --labels labels.npy --attack square-linf --eot 2
expect "eot, entry without steps" 1 "--eot" "$adjoint" compile good.onnx -o out/m --eot 2
expect "eot not compiled in" 2 "pgd-linf has no parameter eot" \
    attack images.npy --labels labels.npy --set eot=2
expect "a sequence's steps" 2 "--steps: the stages of autoattack" \
    attack images.npy --labels labels.npy --attack autoattack --steps 5
expect "a sequence's norm" 2 "--norm" attack images.npy --labels labels.npy --attack autoattack --norm l7
expect "a sequence's eps" 2 "--eps" attack images.npy --labels labels.npy --attack autoattack --eps 9/8
expect "resume without checkpoint" 2 "--resume: needs --checkpoint" \
    attack images.npy --labels labels.npy --attack autoattack --resume
expect "checkpoint folder" 1 out/no/part \
    attack images.npy --labels labels.npy --attack autoattack --checkpoint out/no/part
expect "norm of one attack" 2 "--norm: is of sequences" attack images.npy --labels labels.npy --norm l2
expect "checkpoint of one attack" 2 "--checkpoint: is of sequences" \
    attack images.npy --labels labels.npy --checkpoint out/part
expect "too few classes for DLR" 1 "needs 4" attack images.npy --labels labels.npy --attack autoattack
expect "good help" 0 "" "$adjoint" attack --help

certify() {
    "$adjoint" certify good.onnx images.npy "$@" -o out/c.csv --json out/c.json
}
expect "good certify" 0 "" certify --n 200
expect "certify help" 0 "" "$adjoint" certify --help
expect "certify sigma 0" 2 "--sigma" certify --sigma 0
expect "certify sigma" 2 "--sigma: 'x'" certify --sigma x
expect "certify alpha 0" 2 "--alpha" certify --alpha 0
expect "certify alpha" 2 "--alpha" certify --alpha 0.7
expect "certify n" 2 "--n: 0" certify --n 0
expect "certify every" 2 "--every: 0" certify --every 0
expect "certify every, no number" 2 "--every: '1/2'" certify --every 1/2
expect "certify n, too many" 2 "--n" certify --n 9000000
expect "certify n0 with predict" 2 "--n0" certify --predict --n0 10
expect "certify, no logits" 1 "prose.onnx" "$adjoint" certify prose.onnx images.npy -o out/c.csv
expect "certify, pixels" 1 "bright.npy" "$adjoint" certify good.onnx bright.npy -o out/c.csv
expect "certify, labels" 1 "beyond.npy" certify --n 20 --labels beyond.npy
expect "certify, no folder" 1 "out/no" "$adjoint" certify good.onnx images.npy -o out/no/c.csv
expect "certify, one argument" 2 "certify: missing argument" "$adjoint" certify good.onnx

lipschitz() {
    "$adjoint" lipschitz good.onnx images.npy "$@" -o out/m.csv --json out/m.json
}
expect "good lipschitz" 0 "" lipschitz
expect "good ascent" 0 "" lipschitz --measure ascent --norm linf --radius 8/255
expect "good clever" 0 "" lipschitz --measure clever --batches 3 --points 4
expect "lipschitz help" 0 "" "$adjoint" lipschitz --help
expect "measure" 2 "--measure" lipschitz --measure slope
expect "norm of ascent" 2 "ascent has no l1" lipschitz --measure ascent --norm l1
expect "norm" 2 "--norm" lipschitz --measure clever --norm l3
expect "norm of gradient" 2 "--norm" lipschitz --norm l2
expect "radius" 2 "--radius" lipschitz --measure clever --radius -1
expect "step of clever" 2 "--step: belongs to --measure ascent" lipschitz --measure clever --step 1
expect "points" 2 "--points: 0" lipschitz --measure clever --points 0
expect "too many points" 2 "--batches" lipschitz --measure clever --batches 10000 --points 10000
expect "target" 2 "--target: the model has the classes 0 to 2" \
    lipschitz --measure clever --target 3
expect "lipschitz, labels" 1 "beyond.npy" lipschitz --labels beyond.npy
expect "lipschitz, pixels" 1 "bright.npy" "$adjoint" lipschitz good.onnx bright.npy -o out/m.csv

# 1-5: the model
for model in truncated prose operator missing overflow; do
    expect "$model" 1 "$model.onnx" "$adjoint" compile "$model.onnx" -o out/m
    expect "$model, run" 1 "$model.onnx" "$adjoint" run "$model.onnx" images.npy -o out/logits.npy
done
expect "unknown operator is named" 1 Frobnicate "$adjoint" inspect operator.onnx
expect "missing input is named" 1 nowhere "$adjoint" inspect missing.onnx
expect "samples that depend on each other" 1 ReduceMean "$adjoint" compile coupled.onnx -o out/m
expect "a node without a derivative" 1 "rounded.onnx: Round (Round): has no derivative" \
    "$adjoint" compile rounded.onnx --entry gradient -o out/m
expect "no derivative, attacked" 1 "Round (Round): has no derivative" \
    "$adjoint" attack rounded.onnx images.npy --labels labels.npy
expect "no derivative, none needed" 0 "" \
    "$adjoint" compile rounded.onnx --entry forward,square-linf -o out/m
expect "no derivative, a way past it" 0 "" "$adjoint" compile beside.onnx --entry gradient -o out/m
expect "no model" 1 absent.onnx "$adjoint" compile absent.onnx -o out/m

# 6, 7: the data
expect "image size" 1 "[1,5,5]" "$adjoint" run good.onnx wide.npy -o out/logits.npy
expect "image size, the model's" 1 "[1,4,4]" attack wide.npy --labels labels.npy
expect "label" 1 beyond.npy attack images.npy --labels beyond.npy
expect "label's image" 1 "image 1" "$adjoint" run good.onnx images.npy --labels beyond.npy \
    -o out/logits.npy
expect "pixel" 1 bright.npy attack bright.npy --labels labels.npy
expect "no labels" 1 images.npy attack images.npy

# 8: numbers
for eps in nan inf -1/255 -0.1 8/0 8/255x "" 2; do
    expect "eps '$eps'" 2 --eps attack images.npy --labels labels.npy --eps "$eps"
done
expect "steps" 2 --steps attack images.npy --labels labels.npy --steps 1.5
expect "limit" 2 --limit "$adjoint" run good.onnx images.npy --limit 0 -o out/logits.npy
expect "target class" 2 --targeted attack images.npy --labels labels.npy --targeted 3

expect "two forms of inspect" 2 --dot "$adjoint" inspect good.onnx --json --dot

expect "preset" 2 "none of: imagenet cifar" "$adjoint" run good.onnx images.npy --preset coco
expect "preset and mean" 2 --preset "$adjoint" run good.onnx images.npy --preset cifar --mean 0
expect "preset's channels" 1 "3 numbers of mean for 1 channels" \
    sh -c 'exec "$0" "$@" 2>&1 >/dev/null | grep -v preset >&2; exit 1' \
    "$adjoint" run good.onnx images.npy --preset cifar

# inputs that are given a constant
inspect() { "$adjoint" inspect shaped.onnx "$@"; }
expect "const: not NAME=FILE" 2 --const inspect --const shape.npy
expect "const: twice" 2 "'shape' twice" inspect --const shape=shape.npy --const shape=shape.pb
expect "const: no file" 1 absent.npy inspect --const shape=absent.npy
expect "const: no such input" 1 "the inputs are: x, shape" inspect --const shade=shape.npy
expect "const: element type" 1 '"shape" is i64' inspect --const shape=bright.npy
expect "const: shape" 1 "another shape" inspect --const shape=wide_shape.npy
expect "const: no tensor" 1 prose.onnx inspect --const shape=prose.onnx
expect "const: missing" 1 "shaped.onnx" inspect
# 8b: areas
ara() {
    "$adjoint" ara good.onnx "$@" -o out/ara.csv --json out/ara.json
}
echo 0 >one.txt
echo 99 >far.txt
echo first >prose.txt
: >nothing.txt
expect "ara: index" 1 far.txt ara images.npy --labels labels.npy --indices far.txt
expect "ara: no integer" 1 prose.txt ara images.npy --labels labels.npy --indices prose.txt
expect "ara: no index" 1 nothing.txt ara images.npy --labels labels.npy --indices nothing.txt
expect "ara: beyond the list" 2 --first ara images.npy --labels labels.npy --indices one.txt --first 1
expect "ara: no labels" 1 images.npy ara images.npy
expect "ara: pixel" 1 bright.npy ara bright.npy --labels labels.npy
expect "ara: attack" 2 --attack ara images.npy --labels labels.npy --attack nosuch
expect "ara: guard" 2 --guard ara images.npy --labels labels.npy --guard nosuch
expect "ara: steps" 2 --steps ara images.npy --labels labels.npy --steps 0
expect "ara: mu" 2 --mu ara images.npy --labels labels.npy --mu 1.5
expect "ara: eps" 2 --eps ara images.npy --labels labels.npy --eps -1
expect "ara: nothing to resume" 2 --resume "$adjoint" ara good.onnx images.npy --resume
expect "ara: no folder" 1 out/no/a.csv "$adjoint" ara good.onnx images.npy -o out/no/a.csv

# several inputs and outputs
two() { "$adjoint" run two.onnx images.npy "$@"; }
expect "input: none" 2 "--input shift=FILE" two
expect "input: not NAME=FILE" 2 "'labels.npy' is not NAME=FILE" two --input labels.npy
expect "input: unknown" 2 "the inputs are: x, shift" two --input shift=images.npy --input y=images.npy
expect "input: twice" 2 "fed by images.npy" two --input shift=images.npy --input x=images.npy
expect "input: shape" 1 "[2,1,5,5]" two --input shift=wide.npy
expect "input: rank" 1 "[2]" two --input shift=labels.npy
expect "input: given twice" 2 "'shift' twice" two --input shift=images.npy --input shift=wide.npy
expect "input: count" 1 "another input 1" two --first 1 --input shift=three.npy
expect "outputs: one file" 2 "logits, moved" two --input shift=images.npy -o out/l.npy
expect "outputs: unknown" 2 "logits, moved" two --input shift=images.npy -o side=out/l.npy
expect "outputs: no folder" 1 out/no/l.npz two --input shift=images.npy -o out/no/l.npz
expect "gradient: two inputs" 1 "2 inputs" \
    "$adjoint" gradient two.onnx images.npy --labels labels.npy -o out/g.npy
expect "verify: input" 2 "--input shift=FILE" "$adjoint" verify two.onnx images.npy

expect "bench: peer" 2 "none of: onnxruntime" "$adjoint" bench good.onnx --vs tvm
expect "bench: another model than the peer's" 2 --vs "$adjoint" bench good.onnx --vs torch --mean 0.5

# 8c: explanations
explain() { "$adjoint" explain good.onnx images.npy -o out/sheet.png "$@"; }
expect "explain: no sheet" 2 -o "$adjoint" explain good.onnx images.npy
expect "explain: class" 2 --to explain --to 3
expect "explain: no class" 2 --to explain --to -1
expect "explain: which" 2 --to explain --to third
expect "explain: method" 2 --method explain --method nosuch
expect "explain: method twice" 2 "'saliency' twice" explain --method saliency,saliency
expect "explain: second method" 2 "'nosuch'" explain --method saliency,nosuch
expect "explain: layer of nothing" 2 --layer explain --layer Gemm
expect "explain: no convolution" 1 "good.onnx: has no convolution" explain --method grad-cam
expect "explain: no such layer" 1 "the nearest name is Gemm" explain --method grad-cam --layer Gem
expect "explain: layer without places" 1 "Gemm (Gemm) is f32[8,3]" explain --method grad-cam \
    --layer Gemm
expect "explain: labels of several sets" 2 --labels explain images.npy --labels labels.npy
expect "explain: second set" 1 absent.png explain absent.png
expect "explain: second set's size" 1 "[1,5,5]" explain wide.npy
expect "explain: too many" 2 --limit explain $(yes images.npy | head -n 33)
expect "explain: no folder for JSON" 1 out/no/s.json explain --json out/no/s.json
expect "compile: layer" 2 --layer "$adjoint" compile good.onnx -o out/m --layer Gemm
expect "explain: rmse" 2 --rmse explain --rmse -1
expect "explain: steps" 2 --steps explain --steps 0
expect "explain: samples" 2 --samples explain --samples 0
expect "explain: sigma" 2 --sigma explain --sigma 2
expect "explain: limit" 2 --limit explain --limit 65
expect "explain: pixel" 1 bright.npy "$adjoint" explain good.onnx bright.npy -o out/sheet.png
expect "explain: no folder" 1 out/no/s.png "$adjoint" explain good.onnx images.npy -o out/no/s.png

# 8d: reports
report() { "$adjoint" report "$@" -o out/r.html; }
attack images.npy --labels labels.npy --csv a.csv >/dev/null 2>&1
mkdir -p mixed empty
"$adjoint" attack good.onnx images.npy --labels labels.npy --json mixed/a.json --csv mixed/a.csv \
    >/dev/null
"$adjoint" ara good.onnx images.npy --labels labels.npy --steps 5 --guard warn --json ara.json \
    -o ara.csv >/dev/null 2>&1
"$adjoint" explain good.onnx images.npy -o lost.png --json lost.json
rm lost.png
head -c 300 mixed/a.json >cut.json
echo '{"name": "x"}' >other.json
echo '{"settings": {}, "results": {"curve": [[0.5, 0.5], [0.1, 0.2]], "n": 2}}' >back.json
echo '{"settings": {}, "results": {"curve": 3}}' >curve.json
head -c 60 ara.csv >cut.csv
sed '2s/[^,]*$/x,y/' ara.csv >wide.csv
echo 'index,label,predicted,rmse,first_success,late' >head.csv
head -c 60 out/sheet.png >cut.png 2>/dev/null || printf '\211PNG\r\n' >cut.png
rm -rf out && mkdir out
expect "good report" 0 "" report mixed ara.json ara.csv
echo 'index,label,clean_prediction,adversarial_prediction,broken_by,linf,l2,rmse' >aa.csv
echo '0,1,1,1,,0,0,0' >>aa.csv
expect "good report, of AutoAttack" 0 "" report aa.csv
"$adjoint" certify good.onnx images.npy --labels labels.npy --n 200 --json radii.json >/dev/null
"$adjoint" lipschitz good.onnx images.npy --json norms.json >/dev/null
expect "good report, of certify and lipschitz" 0 "" report radii.json norms.json
"$adjoint" report radii.json norms.json -o page.html
for row in '<h2>Certificates' 'data-l="mean radius"' '<h2>Local measures' 'gradient-norms: linf' \
    '<td class="n" data-l="images">2</td>'; do
    expect "report has $row" 0 "" grep -qF "$row" page.html
done
expect "report: no page" 2 -o "$adjoint" report mixed
expect "report: no file" 1 absent.json report mixed absent.json
expect "report: other files" 1 images.npy report images.npy
expect "report: nothing" 1 "found nothing" report empty
expect "report: JSON cut" 1 "cut.json: is damaged: line" report cut.json
expect "report: other JSON" 1 other.json report other.json
expect "report: a curve that goes back" 1 "back.json: is damaged: corner 1" report back.json
expect "report: no curve" 1 "curve.json: is damaged" report curve.json
expect "report: CSV cut" 1 "cut.csv: is damaged: line" report cut.csv
expect "report: CSV of more columns" 1 "wide.csv: is damaged: line 2" report wide.csv
expect "report: CSV of no rows" 1 "head.csv: has no images" report head.csv
expect "report: other CSV" 1 labels.csv sh -c 'echo a,b >labels.csv; exec "$@"' - \
    "$adjoint" report labels.csv -o out/r.html
expect "report: PNG cut" 1 cut.png report cut.png
expect "report: sheet lost" 1 lost.png report lost.json
expect "report: damaged in a folder" 1 mixed/b.json sh -c 'cp cut.json mixed/b.json; exec "$@"' - \
    "$adjoint" report mixed -o out/r.html
expect "report: no folder" 1 out/no/r.html "$adjoint" report ara.json -o out/no/r.html

# 9: outputs
expect "no folder" 1 out/no/m "$adjoint" compile good.onnx -o out/no/m
expect "no folder, run" 1 out/no/l.npy "$adjoint" run good.onnx images.npy -o out/no/l.npy
expect "folder is a file" 1 good.onnx/m "$adjoint" compile good.onnx -o good.onnx/m
expect "output is a folder" 1 /tmp "$adjoint" run good.onnx images.npy -o /tmp

# 10: the machine
expect "CPU" 1 nosuch "$adjoint" compile good.onnx -o out/m --cpu nosuch
expect "CPU, run" 1 nosuch "$adjoint" run good.onnx images.npy -o out/logits.npy --cpu nosuch
expect "target" 1 nosuch "$adjoint" compile good.onnx -o out/m --target nosuch

# The command line itself
expect "entry" 2 --entry "$adjoint" compile good.onnx -o out/m --entry forward,nosuch
expect "prefix" 2 --prefix "$adjoint" compile good.onnx -o out/m --prefix 9x
expect "option" 2 --nosuch "$adjoint" compile good.onnx -o out/m --nosuch
expect "missing value" 2 --eps "$adjoint" attack good.onnx images.npy --eps
expect "missing argument" 2 images "$adjoint" run good.onnx -o out/logits.npy
expect "no output" 2 -o "$adjoint" compile good.onnx
expect "command" 2 nosuch "$adjoint" nosuch
expect "no command" 2 --help "$adjoint"

echo "cli: $passed passed, $failed failed"
[ "$failed" = 0 ]
