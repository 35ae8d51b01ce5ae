#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# ara_ranks.sh ADJOINT EXAMPLE.onnx MPI: an ARA of one, two and three ranks under mpirun writes the
# same CSV bytes; so does one that is killed at random moments (mpirun by SIGINT, a rank or mpirun by
# SIGKILL) and resumed with another number of ranks; only rank 0 prints. MPI is 1 where the command
# is built with it. KILLS=n: so many kills (default 3).
set -u
adjoint=$1 model=$2 mpi=$3
kills=${KILLS:-3}
here=$(cd "${0%/*}" && pwd)
. "$here/../check.sh"
export TMPDIR=$dir ASAN_OPTIONS=detect_leaks=0 # Open MPI's own
cp "$model" net.onnx || exit 1
. "$here/ara_images.sh"

# rank N: what runs as a rank; its process is known by a file
cat >rank <<END
#!/bin/sh
echo \$\$ >pid.\$OMPI_COMM_WORLD_RANK
exec $adjoint ara net.onnx images.idx --labels labels.txt --indices order.txt --threads 1 "\$@"
END
chmod +x rank
usual='--steps 24 --guard warn'
ranks() { # N OPTION...
    n=$1
    shift
    mpirun --oversubscribe --allow-run-as-root -n "$n" ./rank "$@"
}

# ---- without MPI it says so ----
if [ "$mpi" != 1 ]; then
    says_so() {
        "$adjoint" ara net.onnx images.idx --mpi >out 2>&1
        [ $? = 2 ] && grep -q '^adjoint: .*built without MPI' out
    }
    check "--mpi" says_so
    report cli_ara_ranks || exit 1
    echo "skipped: built without MPI"
    exit 77
fi
command -v mpirun >/dev/null || { echo "skipped: no mpirun"; exit 77; }
ranks 2 true >/dev/null 2>&1
[ -e pid.1 ] || { echo "skipped: mpirun starts no ranks here"; exit 77; }

# ---- the same bytes ----
# shellcheck disable=SC2086 # usual is words
alone() { ./rank $usual -o whole.csv; }
together() { # N
    # shellcheck disable=SC2086
    ranks "$1" $usual -o "r$1.csv" >stdout && cmp whole.csv "r$1.csv" &&
        [ "$(grep -c '^ARA ' stdout)" = 1 ] && [ ! -e "r$1.csv.part" ]
}
export OMPI_COMM_WORLD_RANK=0
check "alone" alone
unset OMPI_COMM_WORLD_RANK
start=$(date +%s%N)
for n in 1 2 3; do check "$n ranks" together $n; done
whole=$((($(date +%s%N) - start) / 3000000))

# ---- what only one of them says ----
one_line() { # STATUS NEEDLE OPTION...
    status=$1 needle=$2
    shift 2
    ranks 3 "$@" >stdout 2>stderr
    [ $? = "$status" ] && [ "$(grep -c '^adjoint: ' stderr)" = 1 ] &&
        grep -q "^adjoint: .*$needle" stderr && [ ! -s stdout ] && [ ! -e bad.csv ]
}
check "unknown option" one_line 2 "unknown option" --bad
check "no such list" one_line 1 "absent.txt" --indices absent.txt
check "guard" one_line 1 "never fooled" --steps 4 --eps 0.0001 -o bad.csv
rm -f bad.csv.part
# an image that only one rank reads
awk '{ print NR == 160 ? 77 : $1 }' labels.txt >labels && mv labels.txt kept && mv labels labels.txt
rank=$(awk '{ if ($1 == 159) print int((NR - 1) / 8) % 3 }' order.txt)
check "a label of rank $rank" one_line 1 "rank $rank: .*label 77 of image 159" \
    --steps 2 --guard warn -o bad.csv
rm -f bad.csv.part
mv kept labels.txt

# ---- kills ----
gone() { # every rank of the last job has ended
    for p in pid.*; do
        t=0
        while kill -0 "$(cat "$p")" 2>/dev/null && [ $t -lt 100 ]; do sleep 0.1 && t=$((t + 1)); done
        [ $t -lt 100 ] || return 1
    done
}
first_round() {
    while [ ! part.csv.part -nt begin ] && kill -0 $job 2>/dev/null; do sleep 0.05; done
}
end_job() { # HOW MILLISECONDS N ROUND: the status of a job that is ended so long after its start, or
    # after its first round
    rm -f pid.*
    : >begin
    # shellcheck disable=SC2086
    mpirun --oversubscribe --allow-run-as-root -n "$3" ./rank $usual -o part.csv --resume \
        >stdout 2>stderr &
    job=$!
    [ "$4" = 0 ] || first_round
    sleep "$(seconds "$2")"
    case $1 in
    mpirun-int) kill -INT $job ;;
    mpirun-kill) kill -KILL $job ;;
    rank-kill) kill -KILL "$(cat pid.$(($3 - 1)))" ;;
    esac 2>/dev/null
    wait $job
}
killed() { # HOW MILLISECONDS N ROUND: ended by it, or too late
    end_job "$@"
    status=$?
    gone || return 1
    if [ -e part.csv ]; then
        cmp whole.csv part.csv && rm part.csv
    else
        [ $status != 0 ]
    fi
}
stopped=0 i=0
while [ $i -lt "$kills" ]; do
    random $((whole / 2))
    case $((i % 3)) in 0) how=rank-kill ;; 1) how=mpirun-int ;; 2) how=mpirun-kill ;; esac
    check "$how" killed $how $number $((2 + i % 2)) $((i % 4))
    [ ! -e part.csv.part ] || stopped=$((stopped + 1))
    i=$((i + 1))
done
finally() { # shellcheck disable=SC2086
    ranks 2 $usual -o part.csv --resume >stdout && cmp whole.csv part.csv
}
check "same bytes after $kills kills" finally
echo "$stopped of $kills kills left a checkpoint"
report cli_ara_ranks
