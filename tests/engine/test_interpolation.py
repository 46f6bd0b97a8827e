"""Variables of a compose file are filled in as compose does, those within defaults too."""

from __future__ import annotations

import pytest
from pytest_runbook.interpolation import filled


@pytest.mark.parametrize(
    ("text", "told", "missing"),
    [
        ("nightscan/web:$VERSION", "nightscan/web:1.4", set()),
        ("nightscan/web:${VERSION}-$ARCH.x", "nightscan/web:1.4-.x", {"ARCH"}),
        ("web:${TAG:-${DEFAULT:-latest}}!", "web:latest!", set()),
        ("web:${TAG:-${VERSION}}", "web:1.4", set()),
        ("web:${TAG:-${ARCH}}", "web:", {"ARCH"}),
        ("web:${VERSION:-${ARCH}}", "web:1.4", set()),
        ("${SSL_ARGS:+--ssl} ${VERSION:+--version $VERSION}", " --version 1.4", set()),
        ("${EMPTY:?say which} ${EMPTY-none}", " none", {"EMPTY"}),
        ("costs $$5 and $${VERSION} ${PRICE}", "costs $5 and ${VERSION} a$VERSION", set()),
        ('{"a": "${VERSION}"} }', '{"a": "1.4"} }', set()),
        ("5$ ${ ${1}", "5 ", set()),
    ],
)
def test_what_compose_would_make_of_it(text: str, told: str, missing: set[str]) -> None:
    variables = {"VERSION": "1.4", "EMPTY": "", "PRICE": "a$VERSION"}
    assert filled(text, variables) == (told, missing)
