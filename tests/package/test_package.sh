#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The installed compiler, as projects meet it: files under a prefix, manual pages, completion,
# pkg-config, find_package with a model as a build step.
# usage: test_package.sh CMAKE BUILD SOURCE
cmake=$1 build=$2 source=$3
. "${0%/*}/../check.sh"

says() { # says TEXT COMMAND...
    text=$1
    shift
    "$@" >said.txt 2>&1
    cat said.txt
    grep -qF -e "$text" said.txt
}
not() {
    ! "$@"
}

check "installs" "$cmake" --install "$build" --prefix "$dir/first"
mv first prefix # what is installed finds itself wherever it lies
adjoint=$dir/prefix/bin/adjoint
check "the command runs" "$adjoint" --help

# Manual pages and completion say what --help says: every command, every option.
commands() {
    "$adjoint" --help | sed -n '/^Examples:/q; s/^  \([a-z][a-z-]*\)  .*/\1/p'
}
options() {
    "$adjoint" "$1" --help | grep -o '^  .\{0,4\}--[a-z][a-z-]*' | sed 's/.*--/--/'
}
has_options() { # has_options PAGE COMMAND
    tr -d '\\' <"$1" >page.txt
    for option in $(options "$2"); do
        grep -q -e "^.fB.*$option" -e "^fB.*$option" page.txt || { echo "no $option"; return 1; }
    done
    [ "$(grep -c '^.TP' "$1")" -ge "$(options "$2" | wc -l)" ] && ! grep -q '^ *-.*--.*=' page.txt
}
formats() { # without a warning
    man --warnings -l "$1" >formatted.txt 2>warnings.txt && cat warnings.txt &&
        [ ! -s warnings.txt ] && grep -q SYNOPSIS formatted.txt
}
pages=prefix/share/man/man1
for command in $(commands); do
    check "adjoint-$command(1) has every option" has_options $pages/adjoint-$command.1 $command
    check "adjoint(1) names $command" says "\\fB$command\\fR" cat $pages/adjoint.1
done
check "a page for each command and no other" [ "$(commands | wc -l)" = \
    "$(ls $pages/adjoint-*.1 | wc -l)" ]
if command -v man >/dev/null; then
    check "adjoint(1) formats" formats $pages/adjoint.1
    check "adjoint-compile(1) formats" formats $pages/adjoint-compile.1
else
    skip "manual pages format" "man is not installed"
fi

complete_words() { # complete_words WORD... completes the last
    bash -c '. prefix/share/bash-completion/completions/adjoint
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _adjoint "$1"; echo " ${COMPREPLY[*]} "' \
        bash "$adjoint" "$@"
}
if command -v bash >/dev/null; then
    check "completes a command" says " compile " complete_words co
    check "completes every command" says " $(commands | tr '\n' ' ')" complete_words ""
    check "completes an option" says " --entry " complete_words compile --e
    check "completes no option of another command" not says "--emit" complete_words run --e
    check "leaves files to the shell" says "  " complete_words compile mod
else
    skip "completion" "bash is not installed"
fi

# What zsh's own functions are given, a line a word.
zsh_words() { # zsh_words WORD... completes the last
    zsh -f -c '_describe() { print -rl -- "${(@P)2}" }; _files() { print files }
        words=("$@"); CURRENT=$#; . prefix/share/zsh/site-functions/_adjoint' zsh "$adjoint" "$@"
}
if command -v zsh >/dev/null; then
    check "zsh parses its completion" zsh -n prefix/share/zsh/site-functions/_adjoint
    check "zsh completes a command" says "ara:the curve of accuracy" zsh_words ""
    check "zsh completes every command" [ "$(zsh_words "" | wc -l)" = $(($(commands | wc -l) + 1)) ]
    check "zsh completes an option" says "--entry:programs to compile" zsh_words compile --e
    check "zsh leaves out an option's value" says "--const:give an input" zsh_words compile --c
    check "zsh completes no option of another command" not says "--emit" zsh_words run --e
    check "zsh leaves files to the shell" says "files" zsh_words compile mod
else
    skip "completion of zsh" "zsh is not installed"
fi

# A project: found by find_package, its model a build step.
mkdir project
cp "$source/tools/demo/standard.onnx" project/net.onnx
cat >project/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.21)
project(user C)
find_package(Adjoint 0.1 REQUIRED)
adjoint_compile(my-net net.onnx ENTRY forward gradient BATCH 2 OPTIONS --weights file)
add_executable(user user.c)
target_link_libraries(user my-net Adjoint::runtime)
END
cat >project/user.c <<'END'
#include <adjoint/pool.h>
#include <my-net.h>
int main(void)
{
    AdjPool *pool = adj_pool_new(2);
    return !pool || my_net_model.nentry != 2 || my_net_model.entry[1].slots != 2 ||
           my_net_model.weights_bytes != MY_NET_WEIGHTS_BYTES;
}
END
check "configures" "$cmake" -G Ninja -S project -B built -DCMAKE_PREFIX_PATH="$dir/prefix"
check "builds" "$cmake" --build built
check "runs" built/user
check "has its weights beside" [ -s built/adjoint/my-net/my-net.weights ]
check "builds nothing twice" not says my-net.o "$cmake" --build built
touch project/net.onnx
check "compiles a model that changed" says my-net "$cmake" --build built
check "runs again" built/user
mkdir wrong
cp project/user.c project/net.onnx wrong
sed 's/BATCH 2/TARGET 2/; s/ENTRY forward gradient //' project/CMakeLists.txt >wrong/CMakeLists.txt
check "an argument that it does not know" says "adjoint_compile(my-net)" \
    "$cmake" -G Ninja -S wrong -B wrong/built -DCMAKE_PREFIX_PATH="$dir/prefix"

if command -v pkg-config >/dev/null; then
    PKG_CONFIG_PATH=$(dirname "$(find prefix -name adjoint.pc)")
    export PKG_CONFIG_PATH
    echo '#include <adjoint/arena.h>
int main(void) { void *p = adj_arena_new(64); adj_arena_free(p); return !p; }' >pc.c
    # shellcheck disable=SC2046 # words
    check "pkg-config" cc pc.c -o pc $(pkg-config --cflags --libs adjoint)
    check "runs with pkg-config's flags" ./pc
else
    skip "pkg-config" "it is not installed"
fi
report package
