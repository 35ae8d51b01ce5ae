#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# together.sh ADJOINT MAKE_SET MPI: ranks under mpirun with `statistics = synchronised` against one rank
# with all of their images, in f64: what a checkpoint holds (parameters, running statistics, velocity,
# psi's control) and the losses. MPI is 1 where the command is built with it. And the threads of a rank
# change no bit.
set -u
adjoint=$1 make_set=$2 mpi=$3
. "${0%/*}/../check.sh"
export TMPDIR=$dir ASAN_OPTIONS=detect_leaks=0 # Open MPI's own
if [ "$mpi" != 1 ]; then
    echo "skipped: built without MPI"
    exit 77
fi
command -v mpirun >/dev/null || { echo "skipped: no mpirun"; exit 77; }
"$make_set" || exit 1
ranks() { # N COMMAND...
    n=$1
    shift
    mpirun --oversubscribe --allow-run-as-root -n "$n" "$@"
}
ranks 2 sh -c ': >pid.$OMPI_COMM_WORLD_RANK' >/dev/null 2>&1
[ -e pid.1 ] || { echo "skipped: mpirun starts no ranks here"; exit 77; }

net() { # WIDTH FILE
    "$adjoint" new resnet --depth 4 --widths "$1" --input 3x8x8 --classes 4 --preact \
        --activation hhrelu -o "$2"
}
net 4 net.onnx && net 32 wide.onnx || exit 1
train() { # N NET FOLDER OPTION...
    n=$1 net=$2 folder=$3
    shift 3
    ranks "$n" "$adjoint" train "$net" -o "$folder" --data images.npy --labels labels.txt \
        --set lr=0.05 --set crop=1 --set statistics=synchronised "$@"
}

# The numbers at the end of a checkpoint, one a line.
numbers() {
    bytes=$(tail -n +3 "$1/checkpoint" | head -n 1 | wc -c)
    csv=$(sed -n 3p "$1/checkpoint" | awk '{ print $8 }')
    from=$(($(head -n 2 "$1/checkpoint" | wc -c) + bytes + csv))
    size=$(($(wc -c <"$1/checkpoint") - from - 9))
    tail -c +$((from + 1)) "$1/checkpoint" | head -c $size | od -A n -v -w8 -t f8
}
near() { # A B: each number is off by 1e-10 of the largest at most, and there are many
    numbers "$1" >a.txt
    numbers "$2" >b.txt
    paste a.txt b.txt | awk '
        NF != 2 { bad = 1 }
        { d = $1 - $2; d = d < 0 ? -d : d; off = d > off ? d : off
          m = $2 < 0 ? -$2 : $2; most = m > most ? m : most }
        END { printf "%d numbers, %g off, the largest is %g\n", NR, off, most
              exit bad || NR < 500 || !(off <= 1e-10 * most) }'
}
for recipe in standard robust; do
    set -- --recipe $recipe --precision f64 --threads 1 --set epochs=2
    check "$recipe: one rank" train 1 net.onnx $recipe.1 "$@" --batch 24
    check "$recipe: two" train 2 net.onnx $recipe.2 "$@" --batch 12
    check "$recipe: three" train 3 net.onnx $recipe.3 "$@" --batch 8
    for n in 2 3; do
        check "$recipe: states of $n" near $recipe.$n $recipe.1
        check "$recipe: losses of $n" cmp $recipe.$n/train.csv $recipe.1/train.csv
    done
done

same() { cmp "$1/net.onnx" "$2/net.onnx" && cmp "$1/train.csv" "$2/train.csv"; }
set -- --batch 48 --set epochs=1
check "a thread each" train 2 wide.onnx one "$@" --threads 1
check "two each" train 2 wide.onnx two "$@" --threads 2
check "same bytes with threads" same one two
report train_together_ranks
