#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# ara.sh ADJOINT EXAMPLE.onnx: an ARA that is killed at random moments (SIGINT and SIGKILL in turn)
# and resumed writes the CSV bytes of an uninterrupted one, with other threads and other chunks too;
# checkpoints that are damaged or of another run are refused. KILLS=n: so many kills (default 4).
set -u
adjoint=$1
model=$2
kills=${KILLS:-4}
here=$(cd "${0%/*}" && pwd)

. "${0%/*}/../check.sh"
cp "$model" net.onnx || exit 1

. "$here/ara_images.sh"

ara() {
    "$adjoint" ara net.onnx images.idx --labels labels.txt --indices order.txt --steps 24 \
        --guard warn "$@" >stdout 2>stderr
}
same() { # NAME FILE
    cmp -s whole.csv "$2"
    verdict "$1" $?
}

# ---- the whole run, and what it says ----
start=$(date +%s%N)
ara -o whole.csv --json whole.json --threads 1
verdict "whole run" $?
whole=$((($(date +%s%N) - start) / 1000000))
[ "$(wc -l <whole.csv)" = 151 ] && [ ! -e whole.csv.part ]
verdict "a row an image, no checkpoint left" $?
awk -F, 'NR > 1 && $4 > 0 { n++ } END { exit !(n > 30) }' whole.csv
verdict "sizes are there" $?
# Both areas again, from the rows and their definitions in docs/ara.md.
tail -n +2 whole.csv | cut -d, -f4 | sort -g | awk '
    function above(share) { return share > 0.1 ? share - 0.1 : 0 }
    { size[NR] = $1 }
    END {
        for (i = 1; i <= NR; i++) exact += (size[i] - size[i - 1]) * above((NR - i + 1) / NR)
        for (bin = 1; bin <= 1000; bin++) {
            while (within < NR && (size[within + 1] < size[NR] * bin / 1000 || bin == 1000)) within++
            binned += size[NR] / 1000 * above(1 - within / NR)
        }
        printf "%.6f as published (1000 bins), %.6f exact;", binned, exact
    }' >area
grep -qF -e "$(cat area)" stdout
verdict "the areas are those of the rows" $?
ara -o again.csv --threads 3 --batch 8
same "three threads" again.csv

# ---- kills ----
stopped=0
i=0
while [ "$i" -lt "$kills" ]; do
    random "$whole"
    signal=$([ $((i % 2)) = 0 ] && echo INT || echo KILL)
    after=$(seconds $((whole / 4 + number * 3 / 4 + 1)))
    timeout --foreground -s "$signal" "$after" "$adjoint" ara net.onnx images.idx --labels labels.txt \
        --indices order.txt --steps 24 --guard warn -o part.csv --resume >stdout 2>stderr
    status=$?
    i=$((i + 1))
    if [ -e part.csv ]; then # too late: it is whole
        same "kill $i came too late (status $status)" part.csv
        rm part.csv
    else
        [ "$status" = 124 ] || [ "$status" = 137 ] # of timeout, of SIGKILL
        verdict "killed by SIG$signal" $?
        [ ! -e part.csv.part ] || stopped=$((stopped + 1))
    fi
done
ara -o part.csv --resume
verdict "the last resumption" $?
same "same bytes after $kills kills" part.csv

# ---- a stop for certain: the first chunk is written, then SIGINT ----
rm -f part.csv
timeout --foreground -s INT 300 "$adjoint" ara net.onnx images.idx --labels labels.txt --indices order.txt \
    --steps 200 --guard warn -o part.csv --threads 1 >stdout 2>stderr &
watched=$!
while [ ! -e part.csv.part ] && kill -0 "$watched" 2>/dev/null; do sleep 0.05; done
kill -INT "$watched"
wait "$watched"
[ $? = 130 ] && grep -q '^adjoint: stopped after [0-9]* of 150 images; .*--resume' stderr
verdict "SIGINT: status 130, and how to resume" $?

# ---- checkpoints that are refused ----
refused() { # NAME NEEDLE OPTION...
    name=$1 needle=$2
    shift 2
    ara -o part.csv "$@"
    [ $? = 1 ] && [ "$(wc -l <stderr)" = 1 ] && grep -qF -e "$needle" stderr && [ ! -e part.csv ]
    verdict "$name" $?
}
refused "there already" --resume --steps 200
refused "other settings" "another run" --steps 201 --resume
refused "other list" "another run" --steps 200 --first 1 --resume
cp part.csv.part kept
sed '4s/ 8 / 9 /' kept >part.csv.part
refused "changed" "damaged" --steps 200 --resume
head -c 300 kept >part.csv.part
refused "cut short" "damaged" --steps 200 --resume
: >part.csv.part
refused "empty" "is empty" --steps 200 --resume
rm part.csv.part
refused "guard" "never fooled" --steps 4 --eps 0.0001 --guard error
cp kept part.csv.part
awk '{ print 7 }' labels.txt >other && mv other labels.txt
refused "other labels" "image 5 or its label" --steps 200 --resume

echo "$stopped of $kills kills left a checkpoint"
report cli_ara
