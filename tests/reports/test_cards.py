"""What the first screen tells once: targets of one check that say the same, and only those."""

from __future__ import annotations

from collections.abc import Callable

from pytest_runbook.model import Outcome, Result, RunRecord
from runbook_reports.html.sections import story
from runbook_reports.story import Story


def test_targets_of_one_check_that_say_the_same_share_a_card(
    new_result: Callable[..., Result], new_record: Callable[..., RunRecord]
) -> None:
    names = [f"web/pages::answers[{n:03}]" for n in range(100)]
    results = [new_result(name, Outcome.FAILED, "answered 503", title="Pages answer.") for name in names]
    results += [new_result("web/pages::answers[odd]", Outcome.FAILED, "answered 404", title="Pages answer.")]
    results += [new_result("web/pages::is_quick[000]", Outcome.FAILED, "answered 503", title="Pages answer.")]
    record = new_record(*results)

    markup = story(Story(record), results)

    assert markup.count("<article") == 3
    assert markup.count("the same of 99 more checks") == 1
    assert all(f">{name}</a>" in markup for name in names)


def test_a_target_that_blocks_others_or_was_treated_has_a_card_of_its_own(
    new_result: Callable[..., Result], new_record: Callable[..., RunRecord]
) -> None:
    results = [new_result(f"web/pages::answers[{n}]", Outcome.FAILED, "no", title="Pages answer.") for n in range(4)]
    results[1].recurred = "web-down fixed it 2 h ago"
    results[2].hint = "look at the log"
    blocked = new_result("web/pages::is_quick", Outcome.BLOCKED, root="web/pages::answers[3]")

    markup = story(Story(new_record(*results, blocked)), results)

    assert markup.count("<article") == 4
    assert "the same of" not in markup
