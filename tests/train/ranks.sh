#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# ranks.sh ADJOINT MAKE_SET MPI STATISTICS: training in two ranks under mpirun, with local or
# synchronised statistics, writes the same bytes again, after kills of a rank or of mpirun at random
# moments too; local ones come near to one rank of twice the batch (together.sh has the others). MPI is
# 1 where the command is built with it. KILLS=n: so many kills (default 2, or 1).
set -u
adjoint=$1 make_set=$2 mpi=$3 statistics=$4
[ "$statistics" = local ] && kills=${KILLS:-2} || kills=${KILLS:-1}
. "${0%/*}/../check.sh"
export TMPDIR=$dir ASAN_OPTIONS=detect_leaks=0 # Open MPI's own
if [ "$mpi" != 1 ]; then
    echo "skipped: built without MPI"
    exit 77
fi
"$make_set" || exit 1
"$adjoint" new resnet --depth 6 --widths 4,8 --input 3x8x8 --classes 4 --preact --activation hhrelu \
    -o net.onnx || exit 1

# rank: what runs as a rank; its process is known by a file
cat >rank <<END
#!/bin/sh
echo \$\$ >pid.\$OMPI_COMM_WORLD_RANK
exec $adjoint train net.onnx --data images.npy --labels labels.txt --set lr=0.05 --set crop=1 \
    --set flip=0 --test images.npy --test-labels labels.txt --recipe robust \
    --set statistics=$statistics "\$@"
END
chmod +x rank
ranks() { # N OPTION...
    n=$1
    shift
    mpirun --oversubscribe --allow-run-as-root -n "$n" ./rank "$@"
}
command -v mpirun >/dev/null || { echo "skipped: no mpirun"; exit 77; }
ranks 2 --help >/dev/null 2>&1
[ -e pid.1 ] || { echo "skipped: mpirun starts no ranks here"; exit 77; }
long="--set batch=16 --set epochs=24 --every 1"

check "two ranks" ranks 2 -o two $long
check "it learns" awk -F , 'NR == 2 { a = $3 } END { exit !($3 < .97 * a) }' two/train.csv
close() { # statistics of the batch are each rank's own
    paste -d , one/train.csv two/train.csv |
        awk -F , 'NR == 2 { d = $3 - $11; exit !(d < .05 && d > -.05) }'
}
if [ "$statistics" = local ]; then
    check "one rank of twice the batch" ranks 1 -o one --set batch=32 --set epochs=24
    check "the first epoch's loss is near" close
fi

killed=0 tried=0
while [ $tried -lt "$kills" ] && [ ! -e again/net.onnx ]; do
    tried=$((tried + 1))
    seen=$(cksum again/checkpoint 2>/dev/null)
    rm -f pid.0 pid.1
    ranks 2 -o again $long --resume >/dev/null 2>&1 &
    launcher=$!
    tries=0 # until it has gone a little further
    while [ "$(cksum again/checkpoint 2>/dev/null)" = "$seen" ] && [ $tries -lt 400 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    case $((tried % 3)) in
    0) kill -9 $launcher ;;
    1) kill -9 "$(cat pid.1)" ;;
    2) kill -TERM $launcher ;; # a shell's background ignores SIGINT
    esac 2>/dev/null
    wait $launcher 2>/dev/null
    [ $? = 0 ] || killed=$((killed + 1))
    tries=0 # ranks of a launcher that was killed are going
    while kill -0 "$(cat pid.0)" 2>/dev/null && [ $tries -lt 100 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
done
check "killed, $killed of $tried times" test $killed -gt 0
check "goes on" sh -c "[ -e again/net.onnx ] || mpirun --oversubscribe --allow-run-as-root -n 2 \
    ./rank -o again $long --resume"
same() { cmp "$1/net.onnx" "$2/net.onnx" && cmp "$1/train.csv" "$2/train.csv"; }
check "same bytes after kills" same two again

cp -r two other
rm other/net.onnx
other() {
    ranks 1 -o other $long --resume >said 2>&1
    [ $? = 1 ] && grep -q "another model, data or recipe" said
}
check "another number of ranks is refused" other
report "train_ranks, $statistics"
