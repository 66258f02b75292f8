"""The scripts of `podpin completion`, one for each shell, out of one description of the commands.

bash, zsh and kubectl share one function in the language of every POSIX shell, which prints the words that fit; around
it stands what each of them asks for. fish has a language of its own, in which completions are a list.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Values:
    """What may stand somewhere: `words`, `file`, `rollout`, `namespace`, `context`, or `any`."""

    kind: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flag:
    """An option: its values are None where it takes none."""

    name: str
    what: str
    values: Values | None


@dataclass(frozen=True, slots=True)
class Verb:
    """A command: what its options are, and what else may follow it."""

    name: str
    what: str
    flags: tuple[Flag, ...]
    rest: Values | None


_FUNCTIONS: Final = """\
__podpin_words() {
    while [ $# -gt 0 ]; do printf '%s\\n' "$1"; shift; done
}

__podpin_of() {
    case $1 in
    rollout) podpin get -o name $2 2>/dev/null | sed 's,.*/,,' ;;
    namespace) kubectl get namespaces -o name 2>/dev/null | sed 's,.*/,,' ;;
    context) kubectl config get-contexts -o name 2>/dev/null ;;
    file) printf ':file\\n' ;;
    words) shift 2; __podpin_words "$@" ;;
    esac
}

# The words that fit, given all words after the program's name, the last of which is to be completed.
__podpin_complete() {
    [ -z "${ZSH_VERSION-}" ] || emulate -L sh
    local verb awaited scope lead
    verb='' awaited='' scope='' lead=''
    while [ $# -gt 1 ]; do
        case $1 in
        =) ;;
        *)
            if [ -n "$awaited" ]; then
                case $awaited in -n|--namespace|--context|--kubeconfig) scope="$scope $awaited $1" ;; esac
                awaited=''
            else
                case $1 in
                --namespace=*|--context=*|--kubeconfig=*) scope="$scope $1" ;;
                -*=*) ;;
                -*) ! __podpin_takes "$verb" "$1" || awaited=$1 ;;
                *) [ -n "$verb" ] || verb=$1 ;;
                esac
            fi
            ;;
        esac
        shift
    done
    case ${1-} in
    =) set -- '' ;;
    --*=*)
        awaited=${1%%=*}
        lead=$awaited=
        set -- "${1#*=}"
        ;;
    esac
    {
        if [ -n "$awaited" ]; then
            __podpin_value "$verb" "$awaited" "$scope"
        elif [ -z "$verb" ]; then
            __podpin_verbs
        else
            case ${1-} in
            -*) __podpin_flags "$verb" ;;
            *) __podpin_rest "$verb" "$scope" ;;
            esac
        fi
    } | while IFS= read -r word; do
        case $word in
        :file|:any) [ "$word" = :any ] || printf ':file\\n' ;;
        "${1-}"*) printf '%s%s\\n' "$lead" "$word" ;;
        esac
    done
}
"""

_BASH: Final = """\
_podpin() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        if [ "$word" = :file ]; then
            compopt -o default
        else
            word=${word%%$'\\t'*}
            [[ $word == */ ]] && compopt -o nospace
            COMPREPLY+=("$word")
        fi
    done < <(__podpin_complete "${COMP_WORDS[@]:1:COMP_CWORD}")
}
complete -F _podpin podpin
"""

_ZSH: Final = """\
_podpin() {
    local word
    local -a found
    while IFS= read -r word; do
        if [[ $word == :file ]]; then
            _files
        else
            found+=("${${word%%$'\\t'*}//:/\\\\:}${${(M)word:#*$'\\t'*}:+:${word#*$'\\t'}}")
        fi
    done < <(__podpin_complete "${(@)words[2,CURRENT]}")
    (( $#found )) && _describe -V podpin found
}
if [[ $funcstack[1] == _podpin ]]; then
    _podpin "$@"
else
    compdef _podpin podpin
fi
"""

_KUBECTL: Final = """\
# kubectl takes a word and what it is for in a line, and at the end 4, or 0 where files may follow.
directive=4
while IFS= read -r word; do
    case $word in
    :file) directive=0 ;;
    '') ;;
    *) printf '%s\\n' "$word" ;;
    esac
done <<END
$(__podpin_complete "$@")
END
printf ':%s\\n' "$directive"
"""


def bash(verbs: Sequence[Verb]) -> str:
    """The script for bash."""
    return f"# Completions of podpin for bash: source <(podpin completion bash)\n{_shared(verbs)}\n{_BASH}"


def zsh(verbs: Sequence[Verb]) -> str:
    """The script for zsh, to be sourced or put into the search path of functions as _podpin."""
    return f"#compdef podpin\n# Completions of podpin for zsh.\n{_shared(verbs)}\n{_ZSH}"


def kubectl(verbs: Sequence[Verb]) -> str:
    """The program kubectl_complete-podpin."""
    return f"#!/bin/sh\n# Completions of kubectl podpin, as kubectl asks for them.\n{_shared(verbs)}\n{_KUBECTL}"


def fish(verbs: Sequence[Verb]) -> str:
    """The script for fish."""
    lines = ["# Completions of podpin for fish.", "complete -c podpin -f"]
    for verb in verbs:
        lines.append(f"complete -c podpin -n __fish_use_subcommand -a {verb.name} -d {_fish(verb.what)}")
        there = f"complete -c podpin -n {_fish(f'__fish_seen_subcommand_from {verb.name}')}"
        for flag in verb.flags:
            name = flag.name.lstrip("-")
            kind = f"-l {name}" if flag.name.startswith("--") else f"-s {name}"
            taken = "" if flag.values is None else f" -r{_fish_values(flag.values)}"
            lines.append(f"{there} {kind}{taken} -d {_fish(flag.what)}")
        if verb.rest is not None and verb.rest.kind != "any":
            lines.append(f"{there}{_fish_values(verb.rest)}")
    return "\n".join(lines) + "\n"


SHELLS: Final[Mapping[str, Callable[[Sequence[Verb]], str]]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
    "kubectl": kubectl,
}
"""The scripts by the names of their shells."""

_FISH_ASKS: Final = {
    "rollout": r"(podpin get -o name 2>/dev/null | string replace -r '.*/' '')",
    "namespace": r"(kubectl get namespaces -o name 2>/dev/null | string replace -r '.*/' '')",
    "context": "(kubectl config get-contexts -o name 2>/dev/null)",
}


def _fish_values(values: Values) -> str:
    match values.kind:
        case "words":
            return f" -f -a {_fish(' '.join(values.words))}"
        case "file":
            return " -F"
        case "any":
            return " -f"
        case _:
            return f" -f -a {_fish(_FISH_ASKS[values.kind])}"


def _fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _shared(verbs: Sequence[Verb]) -> str:
    """The functions that know podpin's commands, and the one that asks them."""
    described = _printed([(verb.name, verb.what) for verb in verbs])
    flags = {verb.name: _printed([(flag.name, flag.what) for flag in verb.flags]) for verb in verbs if verb.flags}
    values = {
        f"{verb.name}:{flag.name}": _asked(flag.values, '"$3"')
        for verb in verbs
        for flag in verb.flags
        if flag.values is not None
    }
    rest = {verb.name: _asked(verb.rest, '"$2"') for verb in verbs if verb.rest is not None}
    return "\n".join(
        (
            f"__podpin_verbs() {{\n    {described}\n}}\n",
            _cases("__podpin_flags", "$1", flags),
            f'__podpin_takes() {{\n    case "$1:$2" in {"|".join(values)}) ;; *) return 1 ;; esac\n}}\n',
            _cases("__podpin_value", "$1:$2", values),
            _cases("__podpin_rest", "$1", rest),
            _FUNCTIONS,
        )
    )


def _cases(function: str, asked: str, answers: Mapping[str, str]) -> str:
    arms: dict[str, list[str]] = {}
    for name, answer in answers.items():
        arms.setdefault(answer, []).append(name)
    body = "".join(f"    {'|'.join(names)}) {answer} ;;\n" for answer, names in arms.items())
    return f'{function}() {{\n    case "{asked}" in\n{body}    esac\n}}\n'


def _printed(pairs: Iterable[tuple[str, str]]) -> str:
    return "__podpin_words " + " ".join(shlex.quote(f"{name}\t{what}" if what else name) for name, what in pairs)


def _asked(values: Values, scope: str) -> str:
    if values.kind == "any":
        return "printf ':any\\n'"
    return " ".join((f"__podpin_of {values.kind}", scope, *map(shlex.quote, values.words)))
