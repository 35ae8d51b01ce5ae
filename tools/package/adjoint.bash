# SPDX-License-Identifier: Apache-2.0
# Completion of the adjoint command for bash. Commands and options are those that --help prints.

_adjoint_commands() {
    "$1" --help 2>/dev/null | sed -n '/^Examples:/q; s/^  \([a-z][a-z-]*\)  .*/\1/p'
}

_adjoint_options() {
    "$1" "$2" --help 2>/dev/null | sed -n 's/^  \(-.,\|   \) \(--[a-z][a-z-]*\).*/\2/p'
}

_adjoint() {
    local word=${COMP_WORDS[COMP_CWORD]} words=
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        words="$(_adjoint_commands "$1") --help"
    elif [ "${word#-}" != "$word" ]; then
        words=$(_adjoint_options "$1" "${COMP_WORDS[1]}")
    fi
    # shellcheck disable=SC2207 # words of options hold no spaces
    [ -z "$words" ] || COMPREPLY=($(compgen -W "$words" -- "$word"))
}

# Nothing of ours fits: names of files.
complete -o default -F _adjoint adjoint
