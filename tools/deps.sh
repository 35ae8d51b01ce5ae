#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that are missing: tools/deps.sh [build] [demo] [mpi] [test]
# Without a group: build. Says and does nothing when all are there. Asks before it uses sudo.
set -eu

usage() {
    echo "usage: tools/deps.sh [build] [demo] [mpi] [test]" >&2
    exit 2
}

# The packages of one group. protoc-c brings its own copy of the protobuf compiler library.
packages_of() {
    case $1 in
    build)
        echo gcc libc6-dev cmake ninja-build pkg-config binutils git \
            llvm-22-dev libonnx-dev libprotobuf-c-dev protobuf-c-compiler \
            libpng-dev libjpeg-dev liblzma-dev zlib1g-dev libzip-dev libpopt-dev libjansson-dev \
            libcairo2-dev fonts-dejavu-core
        ;;
    demo) echo dataset-fashion-mnist ;;
    mpi) echo libopenmpi-dev openmpi-bin ;; # optional: ranks of adjoint ara
    test)
        echo python3-numpy qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
            gcc-riscv64-linux-gnu libc6-dev-riscv64-cross gcc-arm-linux-gnueabihf \
            libc6-dev-armhf-cross
        ;;
    *) usage ;;
    esac
}

# Those of the named packages that are not installed. dpkg-query fails if it does not know one.
missing_of() {
    installed=$(dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' "$@" 2>/dev/null |
        sed -n 's/^installed \([^:]*\).*/\1/p') || true
    for package in "$@"; do
        printf '%s\n' "$installed" | grep -qxF -- "$package" || printf '%s ' "$package"
    done
}

# Runs a command as root, through sudo once the user has agreed.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

ask_for_sudo() {
    [ "$(id -u)" = 0 ] && return 0
    printf 'Use sudo to install them? [y/N] '
    read -r answer || answer=
    case $answer in
    y | Y | yes) ;;
    *)
        echo "deps: not installed; as root: apt-get install --no-install-recommends $*" >&2
        exit 1
        ;;
    esac
}

[ $# -gt 0 ] || set -- build
wanted=
for group in "$@"; do
    wanted="$wanted $(packages_of "$group")" || exit 2
done
if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "deps: this is not Debian; install what corresponds to:$wanted" >&2
    exit 1
fi
# shellcheck disable=SC2086 # the lists are words
missing=$(missing_of $wanted)
[ -n "$missing" ] || exit 0

echo "deps: to install: ${missing% }"
# shellcheck disable=SC2086
ask_for_sudo $missing
as_root apt-get -qq update
# shellcheck disable=SC2086
as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing
