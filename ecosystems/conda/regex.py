"""Regular expressions in conda's specs (CEP 29): texts that begin with `^` and end with `$`.

Rule: RE2 matches them, so a user's expression takes linear time and bounded memory. What
RE2 reads otherwise than conda does, or cannot do at all, is refused with a sentence.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

import re2

from ecosystems import globs
from ecosystems.errors import SpecError

FORM = 'a regular expression begins with "^" and ends with "$"'

_MEMORY = 256 << 10  # Of one expression; a filter may have a thousand.
_OPEN_REPEAT = re.compile(r"\{,\d+\}")


def is_regex(pattern: str) -> bool:
    """Whether `pattern` is written in the form that conda reads as a regular expression."""
    return len(pattern) > 1 and pattern.startswith("^") and pattern.endswith("$")


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a text fits a regular expression or a pattern with `*`.

    SpecError where the expression is none that can be matched here.
    """
    return _expression(pattern) if is_regex(pattern) else globs.matcher(pattern)


def _expression(pattern: str) -> Callable[[str], bool]:
    options = re2.Options()
    options.case_sensitive = False  # Texts of a spec are compared without regard to case.
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MEMORY
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0] if error.args else ""
        said = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
        raise SpecError(
            f'the regular expression "{pattern}" cannot be matched in linear time: {said}'
        ) from error
    _as_conda_reads_it(pattern)
    # From the beginning on, as Python's `re.match` does for conda.
    return lambda text: compiled.match(text.encode(errors="replace")) is not None


def _as_conda_reads_it(pattern: str) -> None:
    """Refuses what RE2 understands and Python's `re`, which conda uses, does not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, FutureWarning, DeprecationWarning, RecursionError, OverflowError) as error:
        raise SpecError(
            f'"{pattern}" is no regular expression that conda reads: {error}'
        ) from error
    # RE2 reads `{,3}` as these four characters, Python as a repeat from none to three.
    if repeat := _OPEN_REPEAT.search(pattern):
        hint = "{0," + repeat[0][2:]
        raise SpecError(f'write "{hint}" for "{repeat[0]}" in the regular expression "{pattern}"')
