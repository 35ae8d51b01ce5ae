#compdef adjoint
# SPDX-License-Identifier: Apache-2.0
# Completion of the adjoint command for zsh. Commands, options and what is said of them are those
# that --help prints; where nothing of ours fits, names of files.

_adjoint_commands() {
    "$1" --help 2>/dev/null | sed -n '/^Examples:/q; s/^  \([a-z][a-z-]*\)  *\(.*\)/\1:\2/p'
}

# "--eps:radius of the ball, in the norm of": the first line of each
_adjoint_options() {
    "$1" "$2" --help 2>/dev/null |
        sed -n 's/^  \(-.,\|   \) \(--[a-z][a-z-]*\)[^ ]*\( [^ ]*\)\{0,1\}  *\(.*\)/\2:\4/p'
}

_adjoint() {
    local -a found
    if ((CURRENT == 2)); then
        found=("${(@f)$(_adjoint_commands ${words[1]})}" '--help:show the commands')
        _describe command found
    elif [[ ${words[CURRENT]} == -* ]]; then
        found=("${(@f)$(_adjoint_options ${words[1]} ${words[2]})}")
        _describe option found
    else
        _files
    fi
}

_adjoint "$@"
