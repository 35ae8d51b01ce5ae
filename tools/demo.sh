#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# From a clone to a network that is classified with and attacked, as code linked into a C program.
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

echo "== adjoint compile tools/demo/fashion.onnx -o $out/fashion --entry forward,gradient,pgd-linf"
build/release/tools/adjoint compile tools/demo/fashion.onnx -o "$out/fashion" --verbose \
    --entry forward,gradient,pgd-linf >"$out/compile.txt"
grep -v ' b8: ' "$out/compile.txt" # a line a layer: how it is run

echo "== gcc demo.c fashion.o, with the runtime's thread pool"
gcc -std=c99 -O2 -Wall -I"$out" -I. tools/demo/demo.c "$out/fashion.o" \
    build/release/runtime/libadj_runtime.a -pthread -o "$out/demo"
echo "what fashion.o imports: $(nm -u "$out/fashion.o" | awk '{ print $2 }' | tr '\n' ' ')"

for part in images-idx3 labels-idx1; do
    gzip -dc "$data/t10k-$part-ubyte.gz" >"$out/$part"
done

echo "== $out/demo: Fashion-MNIST test images"
"$out/demo" "$out/images-idx3" "$out/labels-idx1"
echo "object          $(($(wc -c <"$out/fashion.o"))) bytes, weights within"

images=$data/t10k-images-idx3-ubyte.gz labels=$data/t10k-labels-idx1-ubyte.gz
pages=$out/report
mkdir -p "$pages"
# example COMMAND OPTION...: of the example network and the test images
example() {
    command=$1
    shift
    build/release/tools/adjoint "$command" tools/demo/fashion.onnx "$images" --labels "$labels" "$@"
}
echo "== adjoint ara: the least change that fools (L2-min), for 100 images"
example ara --limit 100 -o "$pages/ara.csv" --json "$pages/ara.json" >"$out/ara.txt"
sed -n '/^sizes/p; /^ARA/p; /^speed/p' "$out/ara.txt"
example attack --limit 500 --csv "$pages/pgd.csv" --json "$pages/pgd.json" >"$out/pgd.txt"
echo "== adjoint explain: what would make the next likely class of four images"
example explain --limit 4 --method adversarial,integrated-gradients,grad-cam \
    -o "$pages/sheet.png" --json "$pages/sheet.json"
echo "== adjoint report $pages -o $out/report.html"
build/release/tools/adjoint report "$pages" --title "The example network" -o "$out/report.html"
echo "$out/report.html $(($(wc -c <"$out/report.html"))) bytes"

cat <<END

What to try next:
  open $out/report.html in a browser, read $out/ara.txt
  less $out/fashion.h                   how to call it; a ten-line example
  build/release/tools/adjoint attack tools/demo/fashion.onnx $data/t10k-images-idx3-ubyte.gz \\
      --labels $data/t10k-labels-idx1-ubyte.gz --eps 16/255 --step 4/255 --steps 20 --limit 500
  build/release/tools/adjoint verify tools/demo/fashion.onnx --each
  build/release/tools/adjoint inspect tools/demo/fashion.onnx
  build/release/tools/adjoint --help
END
