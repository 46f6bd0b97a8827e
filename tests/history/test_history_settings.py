"""Where the history is: one line of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runbook.errors import SettingsError
from pytest_runbook.settings import load
from pytest_runbook.settings.display import displayed

SECRET = "s3cret-of-the-history"


def url(root: Path, **environment: str) -> str:
    return load(root, file=None, environ=environment).settings.history.url.get_secret_value()


def test_history_is_a_file_unless_told_otherwise(tmp_path: Path) -> None:
    assert url(tmp_path) == "sqlite:///var/history.db"


def test_history_is_named_by_a_variable_or_a_file(tmp_path: Path) -> None:
    given = f"postgresql+psycopg://runbook:{SECRET}@db/history"
    (tmp_path / "url").write_text(f"{given}\n")
    assert url(tmp_path, RUNBOOK__HISTORY__URL=given) == given
    assert url(tmp_path, RUNBOOK__HISTORY__URL_FILE=str(tmp_path / "url")) == given


def test_password_of_the_history_is_a_secret(tmp_path: Path) -> None:
    given = f"postgresql+psycopg://runbook:{SECRET}@db/history"
    loaded = load(tmp_path, file=None, environ={"RUNBOOK__HISTORY__URL": given})
    assert SECRET in loaded.secrets
    assert displayed(loaded)["history.url"]["value"] == "postgresql+psycopg://runbook:****@db/history"


def test_file_of_the_history_is_no_secret(tmp_path: Path) -> None:
    assert displayed(load(tmp_path, file=None, environ={}))["history.url"]["value"] == "sqlite:///var/history.db"


@pytest.mark.parametrize("given", ["var/history.db", f"mysql://runbook:{SECRET}@db/history", "sqlite://"])
def test_history_of_no_known_kind_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(SettingsError) as caught:
        url(tmp_path, RUNBOOK__HISTORY__URL=given)
    assert "history.url" in str(caught.value)
    assert "should be sqlite:///FILE or postgresql+psycopg://" in str(caught.value)
    assert SECRET not in str(caught.value)
