"""Words in the columns of a terminal: nothing wider than the screen, nothing lost, colours around words only."""

from __future__ import annotations

import random
import re

import pytest
from runbook_reports.layout import Paragraph, labelled, paragraph

WORDS = ["a", "web/availability::answers", "é", "目录不存在", "cafe\u0301", "x" * 90, "2.31", "\n", "   ", "—"]


def lines(told: Paragraph, width: int, color: bool = False) -> list[str]:
    return list(told.lines(width, color))


def test_words_are_folded_between_words() -> None:
    assert lines(paragraph(("one two  three", ""), indent=2), 11) == ["  one two", "  three"]


def test_a_word_wider_than_the_line_is_broken_where_the_line_ends() -> None:
    assert lines(paragraph(("see abcdefghijkl mn", "")), 5) == ["see", "abcde", "fghij", "kl mn"]


def test_line_ends_and_spaces_that_were_meant_are_kept() -> None:
    assert lines(paragraph(("one\n  two   three\n\nfour", "")), 40) == ["one", "  two   three", "", "four"]


def test_east_asian_characters_take_two_columns_and_accents_none() -> None:
    assert lines(paragraph(("目录 目录", "")), 5) == ["目录", "目录"]
    assert lines(paragraph(("目录不存在", "")), 5) == ["目录", "不存", "在"]
    assert lines(paragraph(("cafe\u0301 bar", "")), 8) == ["cafe\u0301 bar"]


def test_labels_stand_left_of_one_column_of_texts() -> None:
    told = labelled([("seen", "dim", "refused\nagain"), ("blocks 12345", "red", "web")])
    assert [line for one in told for line in lines(one, 40)] == [
        "    seen          refused",
        "                  again",
        "    blocks 12345  web",
    ]


def test_colours_are_around_words_and_leave_no_style_open() -> None:
    told = paragraph(("P1", "bold red"), ("  some check", "bold"), ("  ok", ""))
    assert lines(told, 40, color=True) == ["\x1b[1;31mP1\x1b[0m\x1b[1m  some check\x1b[0m  ok"]


def test_control_characters_do_not_come_through() -> None:
    assert lines(paragraph(("\x1b[31mred\x07", "")), 40) == ["red\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_said_nothing_is_lost_and_no_line_is_too_wide(seed: int) -> None:
    chance = random.Random(seed)
    words = [chance.choice(WORDS) for _ in range(60)]
    spans = [(f" {word}", chance.choice(["", "bold", "dim"])) for word in words]

    shown = lines(paragraph(*spans), 30, color=True)

    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown]
    assert "".join("".join(plain).split()) == "".join("".join(words).split())
    assert max(len(line) + sum(map(line.count, "目录不存在")) - line.count("\u0301") for line in plain) <= 30
    assert all(line == line.rstrip() for line in plain)
