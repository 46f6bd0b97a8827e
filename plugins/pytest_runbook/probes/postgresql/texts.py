"""What a statement's text may say outside of its server: its shape, and none of the values that somebody wrote into it."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<value> (?:[a-z]|u&)? '(?:[^'\\]|''|\\[^'])*(?:'|\Z)                    # 'text', E'text'
             | (?:[a-z]|u&)? '.*                                               # with \', which ends it on some servers only
             | \$(?P<tag>(?:[^\W\d]\w*)?)\$ .*? (?:\$(?P=tag)\$|\Z)            # $$text$$
             | \.?\d[\w.]* )                                                   # a number
    | (?P<comment> --[^\n]* | /\*(?:(?!/\*|\*/).)*(?:\*/|.*) )                 # one that holds another: all that follows
    | (?P<name> [^\W\d][\w$]* | "(?:[^"]|"")*" | \$\d+ )                       # of a table, a word, a parameter
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def without_values(text: str) -> str:
    """The statement TEXT with `?` for each literal, and without comments.

    A literal that is not whole, because the server cut TEXT off, and one that can be read in two ways go on to the end.
    """
    return _TOKEN.sub(lambda found: found["name"] or ("?" if found["value"] else " "), text).strip()
