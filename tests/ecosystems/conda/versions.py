"""Versions to be compared with py-rattler's reading of them."""

from __future__ import annotations

import rattler
from hypothesis import strategies as st

segment = st.one_of(
    st.sampled_from(["0", "1", "2", "10", "00", "01", "a", "rc1", "dev", "post", "1dev2", "0a0"]),
    st.from_regex(r"[0-9a-c]{1,4}", fullmatch=True),
)
body = st.builds(
    lambda first, rest: first + "".join(sep + part for sep, part in rest),
    segment,
    st.lists(st.tuples(st.sampled_from("._"), segment), max_size=4),
)
versions = st.builds(
    # Not after a word: see test_an_underscore_after_a_word_is_part_of_it.
    lambda epoch, main, end, local: epoch + main + (end if main[-1].isdigit() else "") + local,
    st.sampled_from(["", "", "", "0!", "1!"]),
    body,
    st.sampled_from(["", "", "", "_"]),
    st.one_of(st.just(""), st.just(""), body.map("+{}".format)),
)


def oracle(text: str) -> rattler.Version | None:
    try:
        return rattler.Version(text)
    except rattler.exceptions.InvalidVersionError:
        return None
