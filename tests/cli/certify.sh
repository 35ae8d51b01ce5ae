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
report certify
