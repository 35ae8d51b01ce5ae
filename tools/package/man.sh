#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# man.sh ADJOINT FOLDER: manual pages adjoint.1 and adjoint-COMMAND.1, made of what --help prints,
# so that they say what the command says. Lines of --help are of these kinds:
#
#   Usage: adjoint ...                   the synopsis
#         --option=VALUE    text         an option; deeper lines go on
#   The artefact:                        a heading among the options
#   text, then Examples: and more        after the options
set -eu
adjoint=$1 folder=$2

commands() {
    "$adjoint" --help | sed -n '/^Examples:/q; s/^  \([a-z][a-z-]*\)  *\(.*\)/\1 \2/p'
}

# page NAME DESCRIPTION: --help on standard input becomes roff
page() {
    awk -v name="$1" -v description="$2" '
    function roff(s) {
        gsub(/\\/, "\\e", s)
        gsub(/-/, "\\-", s)
        return s ~ /^[.\047]/ ? "\\&" s : s
    }
    function verbatim(heading) {
        if (open) print ".fi"
        print ".SH " heading "\n.nf"
        open = 1
    }
    BEGIN {
        print ".\\\" Made from --help by man.sh."
        print ".TH " toupper(name) " 1 \"\" \"Adjoint\" \"User Commands\""
        print ".SH NAME\n" roff(name) " \\- " roff(description)
    }
    /^Usage: / { sub(/^Usage: */, ""); print ".SH SYNOPSIS\n" roff($0); part = "options"; next }
    /^Examples:/ { verbatim("EXAMPLES"); part = "text"; next }
    part == "options" && /^  +-/ {
        if (!options++) print ".SH OPTIONS"
        line = $0
        sub(/^ +/, "", line)
        at = match(line, /  +/)
        print ".TP\n\\fB" roff(at ? substr(line, 1, at - 1) : line) "\\fR"
        if (at) print roff(substr(line, at + RLENGTH))
        next
    }
    part == "options" && options && /^          / { sub(/^ +/, ""); print roff($0); next }
    part == "options" && options && /:$/ { print ".SS " roff($0); next }
    part == "options" && /^  [a-z]/ {
        if (!rows++) print ".SH COMMANDS"
        split($0, word, " ")
        line = $0
        sub(/^ +[^ ]+ +/, "", line)
        print ".TP\n\\fB" roff(word[1]) "\\fR\n" roff(line)
        next
    }
    part == "options" && /^$/ { next }
    part == "options" { verbatim("NOTES"); part = "text" }
    part == "text" { print roff($0) }
    END { if (open) print ".fi" }' >"$folder/$1.1.tmp"
}

see_also() {
    echo ".SH SEE ALSO"
    for one in adjoint $(commands | sed 's/^\([^ ]*\).*/adjoint-\1/'); do
        [ "$one" = "$1" ] || printf '.BR %s (1)\n' "$(echo "$one" | sed 's/-/\\-/g')"
    done
}

finish() {
    see_also "$1" >>"$folder/$1.1.tmp"
    mv "$folder/$1.1.tmp" "$folder/$1.1"
}

mkdir -p "$folder"
rm -f "$folder"/*.1 # of commands that are no more
"$adjoint" --help | page adjoint "compile ONNX classifiers, their gradients and attacks"
finish adjoint
commands | while read -r command description; do
    "$adjoint" "$command" --help | page "adjoint-$command" "$description"
    finish "adjoint-$command"
done
