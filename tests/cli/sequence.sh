#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# sequence.sh ADJOINT EXAMPLE.onnx RANDOM.onnx: AutoAttack on a few images. Results are the same bytes with other
# threads and chunks, and after SIGINT and SIGKILL; each image is broken by one stage, within the
# radius; checkpoints that are damaged or of another run are refused.
set -u
adjoint=$1
model=$2
random=$3

. "${0%/*}/../check.sh"
cp "$model" net.onnx && cp "$random" random.onnx || exit 1

# Pixels that are all different and never change: bytes of the network. 40 images of 28 x 28.
{
    printf '\000\000\010\003\000\000\000\050\000\000\000\034\000\000\000\034'
    tail -c +1001 net.onnx | head -c $((40 * 784))
} >images.idx
awk 'BEGIN { for (i = 0; i < 40; i++) print 8 }' >labels.txt

sequence() {
    "$adjoint" attack net.onnx images.idx --labels labels.txt --limit 12 --attack autoattack \
        --eps 3/255 --seed 5 "$@" >stdout 2>stderr
}
same() { # NAME: part.csv and part.npy are those of the whole run
    cmp -s whole.csv part.csv && cmp -s whole.npy part.npy
    verdict "$1" $?
}

sequence --csv whole.csv -o whole.npy --json whole.json --threads 1
verdict "whole run" $?
awk -F, 'NR > 1 { n++; by[$5]++; far = $6 > far ? $6 : far }
    END { exit !(n == 12 && by["apgd-ce"] && by[""] && far > 0.01 && far < 3 / 255 + 1e-6) }' whole.csv
verdict "some are broken, some survive, within the radius" $?
survive=$(awk -F, '$5 == "" { n++ } END { print n }' whole.csv)
grep -q "^robust accuracy .*($survive of 12)" stdout && grep -q "\"robust\": $survive," whole.json
verdict "the count is that of the rows" $?
for stage in $(grep -o '"stage": "[a-z-]*"' whole.json | cut -d'"' -f4 | sort -u); do
    grep -q "^after $stage " stdout
    verdict "$stage is reported" $?
done
sequence --csv part.csv -o part.npy --threads 3 --batch 3
same "three threads, chunks of 18"

# ---- the other norm, a model that draws random numbers ----
"$adjoint" attack net.onnx images.idx --labels labels.txt --limit 6 --attack autoattack --norm l2 \
    --eps 0.3 --csv l2.csv >stdout 2>stderr && grep -q "^after fab-t " stdout
verdict "L2" $?
awk -F, 'NR > 1 && $5 != "" && $5 != "clean" { n++; if ($7 > 0.3 * (1 + 1e-6)) far++ }
    END { exit !(n && !far) }' l2.csv
verdict "some are broken within the radius in L2" $?
# ---- the dearer form, in which every stage has its turn at what is left ----
"$adjoint" attack net.onnx images.idx --labels labels.txt --limit 2 --attack autoattack-plus \
    --eps 3/255 --csv plus.csv --json plus.json --threads 1 >stdout 2>stderr
verdict "autoattack-plus" $?
stages=$(grep -o '"stage": "[a-z-]*"' plus.json | cut -d'"' -f4 | awk '!seen[$0]++' |
    tr '\n' ' ')
[ "$stages" = "apgd-ce apgd-dlr fab square apgd-t fab-t " ]
verdict "its stages: $stages" $?
awk -F, 'NR > 1 { n++; if ($6 > 3 / 255 + 1e-6) far++ } END { exit !(n == 2 && !far) }' plus.csv
verdict "autoattack-plus: within the radius" $?
# It begins with the first stage of the plain one and has all of its others.
awk -F, 'FNR == 1 { file++ } FNR > 1 && file == 1 && $5 != "" { broken[$1] }
    FNR > 1 && file == 2 && $5 == "" && $1 in broken { lost++ } END { exit lost > 0 }' whole.csv plus.csv
verdict "autoattack-plus breaks what autoattack breaks" $?
# Each image that was right goes through all steps of 20 gradients, unless the first stage broke it.
"$adjoint" attack random.onnx images.idx --labels labels.txt --limit 8 --attack autoattack-rand \
    --eps 1/255 --csv rand.csv --json rand.json >stdout 2>stderr
verdict "autoattack-rand" $?
right=$(awk -F, 'NR > 1 && $5 != "clean" { n++ } END { print n + 0 }' rand.csv)
grep -q "\"backwards\": $((right * 2000))\b" rand.json && [ "$right" -gt 0 ]
verdict "20 gradients a step, 100 steps, of $right images" $?
"$adjoint" attack random.onnx images.idx --labels labels.txt --limit 2 --attack autoattack \
    --eps 1/255 >stdout 2>stderr
grep -q "random.onnx: its outputs are random; autoattack-rand" stderr
verdict "random outputs are warned of" $?

# ---- stopped, killed ----
# In the foreground `timeout` passes a signal on once; else it sends two, and the second stops at once.
stop_at_checkpoint() { # SIGNAL
    rm -f part.csv part.npy
    timeout --foreground -s INT 300 "$adjoint" attack net.onnx images.idx --labels labels.txt --limit 12 \
        --attack autoattack --eps 3/255 --seed 5 --threads 1 --batch 2 --checkpoint part \
        --resume --csv part.csv -o part.npy >stdout 2>stderr &
    watched=$!
    while [ ! -e part ] && kill -0 "$watched" 2>/dev/null; do sleep 0.05; done
    sleep 0.3
    [ "$1" = KILL ] && child=$(ps -o pid= --ppid "$watched" | tr -d ' ') && kill -KILL "$child"
    [ "$1" = INT ] && kill -INT "$watched"
    wait "$watched"
}
stop_at_checkpoint INT
[ $? = 130 ] && grep -q '^adjoint: stopped; .*--resume' stderr && [ ! -e part.csv ]
verdict "SIGINT: status 130, and how to resume" $?
cp part kept
sequence --csv part.csv -o part.npy --checkpoint part
[ $? = 1 ] && grep -q '^adjoint: part: .*--resume' stderr
verdict "a checkpoint is not written over" $?
sequence --csv part.csv -o part.npy --checkpoint part --batch 2 --resume --threads 2
same "resumed after SIGINT"
[ ! -e part ]
verdict "no checkpoint is left" $?
stop_at_checkpoint KILL
sequence --csv part.csv -o part.npy --checkpoint part --batch 2 --resume
same "resumed after SIGKILL"

# ---- checkpoints that are refused ----
refused() { # NAME NEEDLE OPTION...
    name=$1 needle=$2
    shift 2
    rm -f part.csv
    sequence --csv part.csv --checkpoint part --batch 2 --resume "$@"
    [ $? = 1 ] && grep -qF -e "$needle" stderr && [ ! -e part.csv ]
    verdict "$name" $?
}
cp kept part
refused "another seed" "another run" --seed 6
refused "another radius" "another run" --eps 2/255
head -c 200 kept >part
refused "cut short" "damaged"
echo "nothing of the kind" >part
refused "no checkpoint" "no checkpoint"
cp kept part
awk '{ print 7 }' labels.txt >other && mv other labels.txt
refused "other labels" "image 0 or its label"

report cli_sequence
