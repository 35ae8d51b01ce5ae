#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# From a clone to two networks, one trained to be robust, that are classified with and attacked as
# code linked into a C program, then measured and explained side by side.
set -eu
cd "$(dirname "$0")/.."

sh tools/deps.sh build demo

data=/usr/share/datasets/fashion-mnist
out=build/demo
mkdir -p "$out"
echo "== building the compiler"
{
    cmake --preset release
    cmake --build --preset release --target adjoint adj_runtime
} >"$out/build.log" 2>&1 || {
    cat "$out/build.log"
    exit 1
}

for net in standard robust; do
    echo "== adjoint compile tools/demo/$net.onnx -o $out/$net --entry forward,pgd-linf"
    build/release/tools/adjoint compile tools/demo/$net.onnx -o "$out/$net" --verbose \
        --entry forward,pgd-linf >"$out/compile-$net.txt"
done
grep -v ' b8: ' "$out/compile-robust.txt" # the others are a line a layer: how it is run

echo "== gcc demo.c standard.o robust.o, with the runtime's thread pool"
gcc -std=c99 -O2 -Wall -I"$out" -I. tools/demo/demo.c "$out/standard.o" "$out/robust.o" \
    build/release/runtime/libadj_runtime.a -pthread -o "$out/demo"
echo "what robust.o imports: $(nm -u "$out/robust.o" | awk '{ print $2 }' | tr '\n' ' ')"

for part in images-idx3 labels-idx1; do
    gzip -dc "$data/t10k-$part-ubyte.gz" >"$out/$part"
done

echo "== $out/demo: Fashion-MNIST test images"
"$out/demo" "$out/images-idx3" "$out/labels-idx1"

images=$data/t10k-images-idx3-ubyte.gz labels=$data/t10k-labels-idx1-ubyte.gz
pages=$out/report
rm -rf "$pages"
mkdir -p "$pages"
# example COMMAND NETWORK OPTION...: with the test images
example() {
    command=$1 net=$2
    shift 2
    build/release/tools/adjoint "$command" "tools/demo/$net.onnx" "$images" --labels "$labels" "$@"
}
echo "== adjoint ara: the least change that fools (L2-min), of 100 images"
for net in standard robust; do
    example ara $net --limit 100 -o "$pages/$net-ara.csv" --json "$pages/$net-ara.json" \
        >"$out/ara-$net.txt"
    sed -n "/^sizes/p; /^ARA/p; /^speed/p" "$out/ara-$net.txt" | sed "s/^/$(printf %-9s $net)/"
    example attack $net --limit 500 --csv "$pages/$net-pgd.csv" --json "$pages/$net-pgd.json" \
        >"$out/pgd-$net.txt"
done
awk '/^ARA/ { area[++n] = $2 }
    END { printf "robust by standard: an ARA %.1f times as large\n", area[2] / area[1] }' \
    "$out/ara-standard.txt" "$out/ara-robust.txt"
echo "== adjoint explain: what would make the next likely class of four images, as each has it"
for net in standard robust; do
    example explain $net --limit 4 --method adversarial,integrated-gradients,grad-cam \
        -o "$pages/$net-sheet.png" --json "$pages/$net-sheet.json"
done
echo "== adjoint report $pages -o $out/report.html"
build/release/tools/adjoint report "$pages" --title "The example networks" -o "$out/report.html"
echo "$out/report.html $(($(wc -c <"$out/report.html"))) bytes"

cat <<END

What to try next:
  open $out/report.html in a browser, read $out/ara-robust.txt
  less $out/robust.h                    how to call it; a ten-line example
  build/release/tools/adjoint attack tools/demo/robust.onnx $data/t10k-images-idx3-ubyte.gz \\
      --labels $data/t10k-labels-idx1-ubyte.gz --eps 16/255 --step 4/255 --steps 20 --limit 500
  build/release/tools/adjoint verify tools/demo/robust.onnx --each
  build/release/tools/adjoint inspect tools/demo/robust.onnx
  sh tools/demo/train.sh                trains both networks anew, in ten minutes of a core
  build/release/tools/adjoint --help
END
