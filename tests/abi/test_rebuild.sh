#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The same input gives the same bytes, wherever and whenever it is compiled: again, from another
# folder, in another time zone, in a locale whose decimal point is a comma. The network has Winograd
# weights, and the entries hyperparameters that are not whole numbers.
# usage: test_rebuild.sh ADJOINT IN_LOCALE MODEL
adjoint=$1 in_locale=$2 model=$3
. "${0%/*}/../check.sh"
unset LC_ALL LANG LOCPATH TZ

entries=forward,pgd-linf
files="m.o m.h m.json w.o w.h w.json w.weights"

build() { # build FOLDER MODEL [NAME=VALUE...]: from within the folder
    folder=$1 file=$2
    shift 2
    mkdir -p "$folder" &&
        (cd "$folder" &&
            env "$@" "$adjoint" compile "$file" -o m --prefix m --batch 1 --entry $entries &&
            env "$@" "$adjoint" compile "$file" -o w --prefix w --batch 1 --weights file)
}
same() { # same FOLDER: as the first
    for f in $files; do cmp first/$f "$1/$f" || return 1; done
}
rebuild() { # rebuild NAME FOLDER MODEL [NAME=VALUE...]
    where=$1
    shift
    check "compiles $where" build "$@"
    check "the same bytes $where" same "$1"
}

check "compiles" build first "$model"
check "has Winograd weights" grep -q '"by": "winograd"' first/m.json
check "has a number with a point" grep -q '0\.0' first/m.json
rebuild "again" again "$model"
mkdir -p there/models
cp "$model" there/models/
rebuild "from another folder" there/deep/er "../../models/${model##*/}"
rebuild "in another time zone" zone "$model" TZ=Asia/Kathmandu
rebuild "with another time and home" home "$model" SOURCE_DATE_EPOCH=1 HOME=/ USER=nobody

# Locales are made here, since a machine has few: the C library reads those that LOCPATH names.
german=LC_ALL=de_DE.UTF-8 here=LOCPATH=$dir/locale
mkdir locale
if ! command -v localedef > /dev/null; then
    skip "in a German locale" "localedef is not installed"
elif ! localedef -i de_DE -f UTF-8 "$dir/locale/de_DE.UTF-8" > /dev/null 2>&1; then
    skip "in a German locale" "localedef has no sources for de_DE.UTF-8 (package locales)"
else
    check "the locale has a decimal comma" \
        sh -c "env $here $german locale -k decimal_point | grep -q 'decimal_point=\",\"'"
    rebuild "in a German locale" german "$model" "$german" "$here"
    mkdir library
    check "a program in a German locale compiles" \
        env "$german" "$here" "$in_locale" "$model" library/m
    files="m.o m.h m.json"
    check "the same bytes from a program in a German locale" same library
fi
report rebuild
