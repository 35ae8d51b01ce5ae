# SPDX-License-Identifier: Apache-2.0
# What test scripts begin with: . "${0%/*}/../check.sh". It goes to a new folder, $dir, which is
# removed in the end; check, verdict and skip count; report NAME closes, with the status that ctest wants.
# Paths that a script is given must be absolute.
passed=0 failed=0 skipped=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

check() { # check NAME COMMAND...
    name=$1
    shift
    if "$@" >out.txt 2>&1; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        sed 's/^/      /' out.txt
    fi
}
verdict() { # verdict NAME STATUS, of what wrote stdout and stderr, or out and err
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL  $1"
        for file in stdout stderr out err; do
            [ ! -f $file ] || sed 's/^/      /' $file
        done
    fi
}
skip() { # skip NAME REASON
    skipped=$((skipped + 1))
    echo "skip  $1: $2"
}
report() { # report NAME
    echo "$1: $passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ]
}
