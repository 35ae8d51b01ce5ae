#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Checks the rules of the tree that a compiler cannot: tests/check_includes.sh [ROOT]
#
#   - a file includes only what its room may know (the table below, docs/design.md);
#   - llvm-c only in targets/, protobuf only in compiler/onnx* and
#     tools/fill-weights;
#   - lines of .c and .h are at most 100 columns wide;
#   - every room has a README.md; every row of ir/ops.def has a row in docs/ir.md.
#
# Prints each violation and one closing count. Exit status 1 if there is any.
set -eu
root=${1:-$(dirname "$0")/..}
cd "$root"

rooms="ir passes targets compiler runtime tools"
readmes="$rooms tests tools/data"

# One line a check: "ok", or "bad" and what is wrong.
check_sources() {
    find $rooms -type f \( -name '*.c' -o -name '*.h' \) | LC_ALL=C sort | LC_ALL=C awk '
    BEGIN {
        abi = "runtime/adjoint_abi.h"
        may["ir"] = "ir"
        may["passes"] = "passes ir"
        may["targets"] = "targets ir " abi
        may["compiler"] = "compiler ir passes targets " abi
        may["runtime"] = "runtime"
    }
    function verdict(ok, where, what) { print ok ? "ok" : "bad " where ": " what }
    function exists(path,   line, there) {
        there = (getline line < path) >= 0
        close(path)
        return there
    }
    # The path from the root: names are relative to the file, else to the root.
    function resolve(file, name,   folder, parts) {
        folder = file
        sub(/[^\/]*$/, "", folder)
        return exists(folder name) ? folder name : name
    }
    function allowed(room, target,   word, n, i) {
        if (room == "tools") return 1
        n = split(may[room], word, " ")
        for (i = 1; i <= n; i++)
            if (target == word[i] || index(target, word[i] "/") == 1) return 1
        return 0
    }
    function check_include(file, room, line, where,   name, target) {
        name = line
        sub(/^[ \t]*#[ \t]*include[ \t]*[<"]/, "", name)
        sub(/[>"].*$/, "", name)
        if (name ~ /^llvm/) {
            verdict(room == "targets", where, "llvm is for targets/ only: " name)
        } else if (name ~ /protobuf|\.pb-c\.h/) {
            verdict(file ~ /^(compiler\/onnx|tools\/fill-weights\/)/, where, \
                "protobuf is for compiler/onnx* and tools/fill-weights only: " name)
        } else if (line ~ /"/) {
            target = resolve(file, name)
            if (room != "tools" && !exists(target)) # tools may include what the build makes
                verdict(0, where, "names no file of the tree: " name)
            else verdict(allowed(room, target), where, room "/ may not include " target)
        }
    }
    function columns(line) { # bytes, less those that continue a UTF-8 sequence
        gsub(/[\200-\277]/, "", line)
        return length(line)
    }
    {
        file = $0
        room = file
        sub(/\/.*/, "", room)
        wide = number = 0
        while ((getline line < file) > 0) {
            number++
            where = file ":" number
            if (line ~ /^[ \t]*#[ \t]*include[ \t]*[<"]/) check_include(file, room, line, where)
            if (columns(line) > 100) {
                verdict(0, where, columns(line) " columns, at most 100")
                wide = 1
            }
        }
        close(file)
        if (!wide) verdict(1)
    }'
}

check_readmes() {
    for folder in $readmes; do
        [ -s "$folder/README.md" ] && echo ok || echo "bad $folder: has no README.md"
    done
}

check_op_rows() {
    for op in $(sed -n 's/^OP(\([a-z0-9_]*\),.*/\1/p' ir/ops.def); do
        grep -qs "^| \`$op\` |" docs/ir.md && echo ok || echo "bad docs/ir.md: no row for $op"
    done
}

{
    check_sources
    check_readmes
    check_op_rows
} | awk '
    /^ok/ { passed++ }
    /^bad/ { failed++; sub(/^bad /, ""); print }
    END {
        printf "includes: %d passed, %d failed\n", passed, failed
        exit failed > 0 || passed == 0
    }'
