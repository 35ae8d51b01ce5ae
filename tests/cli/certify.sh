#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# certify.sh ADJOINT MAKE_BAD: randomized smoothing of a linear network, whose certified radius is the
# distance to its border, 9/4 here: logit j is the sum over 16 pixels of 1/2 of v (3 i + j) / 64, plus
# j / 64. Estimates come near it from below. The same bytes whatever the threads, batch and range.
set -u
adjoint=$1
make_bad=$2
. "${0%/*}/../check.sh"
"$make_bad" .
certify() {
    "$adjoint" certify good.onnx images.npy "$@"
}
near() { # near FILE LEAST MOST: every radius lies between
    awk -F, -v low="$2" -v high="$3" \
        'NR > 1 { n++; if ($3 != 2 || $7 < low || $7 > high) bad = 1 } END { exit bad || !n }' "$1"
}
column() {
    awk -F, -v k="$2" 'NR > 1 { print $k }' "$1"
}

check "sigma 1" certify --sigma 1 -o one.csv
check "radius, sigma 1" near one.csv 2.19 2.25
check "sigma 2" certify --sigma 2 --n 50000 --alpha 0.01 -o two.csv
check "radius, sigma 2" near two.csv 2.2 2.25
check "few draws certify less" certify --sigma 1 --n 100 -o few.csv
check "radius, few draws" near few.csv 0.5 1.6

certify --sigma 3 --n 1000 -o a.csv --labels labels.npy --json a.json >a.txt
certify --sigma 3 --n 1000 -o b.csv --labels labels.npy --threads 1 --batch 3 >b.txt
certify --sigma 3 --n 1000 -o c.csv --labels labels.npy --threads 3 --batch 1 >c.txt
certify --sigma 3 --n 1000 -o d.csv --labels labels.npy --first 1 >d.txt
check "threads and batch change nothing" cmp a.csv b.csv
check "nor does the number of threads" cmp a.csv c.csv
check "nor where it starts" [ "$(sed -n 3p a.csv)" = "$(sed -n 2p d.csv)" ]
check "samples have noise of their own" [ "$(sed -n 2p a.csv)" != "$(sed -n 3p a.csv)" ]
certify --sigma 3 --n 1000 -o f.csv --labels labels.npy --every 2 >f.txt
check "every second of two: the first" sh -c 'head -2 a.csv | cmp - f.csv'
certify --sigma 3 --n 1000 -o f.csv --labels labels.npy --first 1 --every 5 --json f.json >f.txt
check "every fifth, from the second on" sh -c 'cat f.csv | sed -n 2p | grep -q "^1,"'
check "JSON says which" grep -q '"every": 5' f.json
certify --sigma 3 --n 1000 -o e.csv --seed 9 --labels labels.npy >e.txt
check "another seed, other votes" [ "$(column a.csv 5)" != "$(column e.csv 5)" ]
check "labels: none is right" grep -q '^accuracy  *0.0000 (0 of 2)$' a.txt
check "radii printed" grep -q '^  0.0000  at 0.00$' a.txt
check "JSON" grep -q '"accuracy": 0.0' a.json

check "predict" certify --predict --n 500 --sigma 1 -o p.csv
check "predicts the class" [ "$(column p.csv 3 | tr '\n' ' ')" = "2 2 " ]
certify --predict --n 9 --sigma 1 -o p.csv >p.txt
check "too few votes: it abstains" [ "$(column p.csv 3 | tr '\n' ' ')" = "-1 -1 " ]
certify --sigma 1 --n 9 -o p.csv >p.txt
check "certify abstains, radius 0" [ "$(sed -n 2p p.csv | cut -d, -f3,7)" = "-1,0" ]

# A signal may come before the command is there to heed it: then once more, later.
for pause in 1 2 3; do
    "$adjoint" certify good.onnx images.npy --n 8000000 -o part.csv 2>err.txt >/dev/null &
    watched=$!
    sleep $pause
    kill -INT $watched
    wait $watched
    status=$?
    [ $status != 130 ] || [ ! -s err.txt ] || break
done
check "SIGINT: status 130" [ $status = 130 ]
check "SIGINT: how to go on" grep -q '^adjoint: stopped after .* of 2 images, .*--first' err.txt
check "SIGINT: what is done is written" grep -q '^index,' part.csv

# ---- local measures: gradients are the same everywhere ----
measure() {
    "$adjoint" lipschitz good.onnx images.npy -o m.csv "$@" >m.txt
}
row() { # row WANTED: the first image's
    [ "$(sed -n 2p m.csv)" = "$1" ] || { cat m.csv && false; }
}
between() { # between COLUMN LEAST MOST: of every image
    awk -F, -v k="$1" -v low="$2" -v high="$3" \
        'NR > 1 { n++; if ($k < low || $k > high) bad = 1 } END { exit bad || !n }' m.csv
}
measure --measure clever --radius 5 --batches 20 --points 8
check "clever, L2: the distance to the border" row 0,2,0,0.28125,0.125,2.25
measure --measure clever --norm l1 --batches 20 --points 8
check "clever, L1" row 0,2,0,0.28125,0.03125,9
measure --measure clever --norm linf --radius 1 --batches 20 --points 8
check "clever, Linf" row 0,2,0,0.28125,0.5,0.5625
measure --measure clever --batches 20 --points 8
check "clever: no more than the radius" row 0,2,0,0.28125,0.125,2
measure --measure clever --target 1 --radius 5 --batches 1 --points 1
check "clever: a target" row 0,2,1,0.140625,0.0625,2.25
measure --measure clever --target 2
check "clever: the own class is no target" row 0,2,-1,nan,nan,nan
measure --measure ascent --norm linf --radius 0.2 --step 0.1
check "ascent, Linf: all pixels one way" between 2 17.6 17.63
measure --measure ascent --steps 60
check "ascent, L2: the largest singular value" between 2 2.952 2.954
measure
check "gradient: norms of 16 equal pixels" \
    awk -F, 'NR > 1 && ($3 / $5 < 15.99 || $3 / $5 > 16.01 || $4 / $5 < 3.99) { exit 1 }' m.csv
for how in "--threads 1 --batch 3" "--threads 3 --batch 1" "--threads 2 --batch 8"; do
    measure --measure clever --norm l1 --batches 7 --points 5 $how
    check "clever, $how" cp m.csv "clever $how.csv"
done
check "threads and batch change nothing" cmp "clever --threads 1 --batch 3.csv" m.csv
check "nor does their number" cmp "clever --threads 3 --batch 1.csv" m.csv
report certify
