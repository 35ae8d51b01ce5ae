#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing, builds, runs all tests: those without the label e2e under
# AddressSanitizer and UBSan, those with it as released. The last line is `N passed, M failed[, K
# skipped]`, the sum of the lines `name: N passed, M failed[, K skipped]` that test programs print;
# a test that fails and counts no failure is one more. Real models are looked for in ADJ_SHARED.
# With ADJ_BROWSER set, pages are looked at in headless Chromium too.
set -u
cd "$(dirname "$0")/.." || exit 1

sh tools/deps.sh build demo test || exit 1

if [ -z "${ADJ_SHARED:-}" ] && [ -d ../shared/data ]; then
    ADJ_SHARED=$(cd ../shared/data && pwd)
fi
export ADJ_SHARED="${ADJ_SHARED:-}"
# LLVM keeps what it has until the process ends.
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}"

mkdir -p build
log=build/test.log
: >"$log"

# build PRESET
build() {
    echo "== building $1"
    { cmake --preset "$1" && cmake --build --preset "$1"; } >build/build.log 2>&1 && return 0
    tail -n 40 build/build.log
    echo "1/1 Test #0: build-$1 ***Failed" >>"$log"
    return 1
}

# What of the log shows at once: outcomes, counts, and what failed.
shown='^ *[0-9]+/[0-9]+ Test|^[0-9]+: .*: [0-9]+ passed, [0-9]+ failed|: (FAIL|error:)|ERROR:'

# run PRESET ARGUMENT...: the tests' output goes to the log, their outcomes here as well
run() {
    preset=$1
    shift
    echo "== testing $preset"
    ctest --test-dir "build/$preset" --verbose --no-tests=ignore --parallel "$(nproc)" "$@" 2>&1 |
        tee -a "$log" |
        grep -E "$shown"
}

build asan && run asan -LE 'e2e|browser'
build release && run release -L "e2e${ADJ_BROWSER:+|browser}"

# Numbers of a line such as "12: cli: 10 passed, 0 failed, 1 skipped"; ctest puts the test's number
# in front, since tests run side by side. An outcome line closes a test and its counts.
awk '
    function number(word,    part) {
        return match($0, "[0-9]+ " word) ? substr($0, RSTART, RLENGTH) + 0 : 0
    }
    /^[0-9]+: [A-Za-z0-9_.\/ -]+: [0-9]+ passed, [0-9]+ failed/ {
        test = $1 + 0
        passed += number("passed"); failed += number("failed"); skipped += number("skipped")
        own_failed[test] += number("failed"); counted[test] = 1
        next
    }
    /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
        test = number_of_test()
        bad = !/ Passed /
        if (/Skipped/) skipped++
        else if (bad && !own_failed[test]) { failed++; print "failed: " $0 }
        else if (!bad && !counted[test]) passed++
        delete own_failed[test]; delete counted[test]
    }
    function number_of_test() {
        match($0, "#[0-9]+")
        return substr($0, RSTART + 1, RLENGTH - 1) + 0
    }
    END {
        printf "%d passed, %d failed", passed, failed
        if (skipped) printf ", %d skipped", skipped
        printf "\n"
        exit failed > 0 || passed == 0
    }' "$log"
