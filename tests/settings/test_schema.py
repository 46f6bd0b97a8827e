"""What the parts of the settings mean: moments, services, tables that are read by attribute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError
from pytest_runbook.settings import MaintenanceWindow, SettingsError, Table, Waiver

from .conftest import Project

LIMITS = Table("limits", {"web": {"uptime": 0.9, "pages": ["/", "/login"]}, "host": {}})


def test_waiver_on_a_date_ends_with_that_day(project: Project) -> None:
    project.settings(
        "[[waivers]]\ncheck='web/*'\nowner='m'\nreason='r'\nexpires=2026-12-31\n"
        "[[waivers]]\ncheck='db/*'\nowner='m'\nreason='r'\nexpires=2026-12-31T10:00:00+02:00\n"
        "[[waivers]]\ncheck='ml/*'\nowner='m'\nreason='r'\nexpires='2026-12-31T10:00:00'\n"
    )
    moments = [waiver.expires for waiver in project.load().settings.waivers]
    assert moments[0] == datetime(2027, 1, 1, tzinfo=UTC)
    assert moments[1] == datetime(2026, 12, 31, 8, tzinfo=UTC)
    assert moments[2] == datetime(2026, 12, 31, 10, tzinfo=UTC)


def test_a_waiver_may_last_for_ever(project: Project) -> None:
    project.settings("[[waivers]]\ncheck='web/*'\nowner='m'\nreason='r'\nexpires=9999-12-31\n")
    assert project.load().settings.waivers[0].expires.year == 9999


def test_window_covers_the_days_it_names(project: Project) -> None:
    project.settings("[[maintenance]]\nservices=['web']\nowner='m'\nreason='r'\nstart=2026-12-05\nend=2026-12-06")
    window = project.load().settings.maintenance[0]
    assert window.start == datetime(2026, 12, 5, tzinfo=UTC)
    assert window.end - window.start == timedelta(days=2)


@pytest.mark.parametrize("missing", ["check", "owner", "reason", "expires"])
def test_waiver_needs_check_owner_reason_and_expiry(project: Project, missing: str) -> None:
    given = {"check": "'web/*'", "owner": "'m'", "reason": "'r'", "expires": "2026-12-31"}
    del given[missing]
    project.settings("[[waivers]]\n" + "\n".join(f"{key}={value}" for key, value in given.items()))
    message = project.refused()
    assert message.startswith(f"runbook.toml: waivers.0.{missing}: missing")


@pytest.mark.parametrize("value", ["'soon'", "3", "''", "12:00:00"])
def test_expiry_that_is_no_date_is_refused(project: Project, value: str) -> None:
    project.settings(f"[[waivers]]\ncheck='web/*'\nowner='m'\nreason='r'\nexpires={value}")
    message = project.refused()
    assert "runbook.toml: waivers.0.expires: should be a date" in message
    assert "2026-12-31" in message


def test_reason_has_to_say_something() -> None:
    with pytest.raises(ValidationError, match="reason"):
        Waiver(check="web/*", owner="m", reason="  ", expires=datetime(2026, 12, 31, tzinfo=UTC))


def test_window_has_to_end_after_it_starts() -> None:
    moment = datetime(2026, 12, 5, tzinfo=UTC)
    with pytest.raises(ValidationError, match="end should be later than start"):
        MaintenanceWindow(services=("web",), start=moment, end=moment, owner="m", reason="r")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            "[[maintenance]]\nservices=['wbe']\nowner='m'\nreason='r'\nstart=2026-12-05\nend=2026-12-06",
            'maintenance.0.services: unknown service "wbe" (known: database, web)',
        ),
        ("[probes.x]\nkind='http'\nservice='wbe'", 'probes.x.service: unknown service "wbe" (known: database, web)'),
        ("[schedules]\ndaily = 'again'", "schedules.daily: there is a schedule of this name already"),
    ],
)
def test_names_of_services_and_schedules_have_to_fit(project: Project, more: str, problem: str) -> None:
    project.settings(more)
    assert problem in project.refused()


def test_settings_cannot_be_changed(project: Project) -> None:
    settings = project.load().settings
    with pytest.raises(ValidationError):
        settings.gate = "P3"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        settings.limits.web.uptime = 0
    with pytest.raises(TypeError):
        settings.limits["web"] = {}


def test_table_is_read_by_attribute_and_by_name() -> None:
    assert LIMITS.web.uptime == LIMITS["web"]["uptime"] == 0.9
    assert LIMITS.web.pages == ("/", "/login")
    assert dict(LIMITS.web) == {"uptime": 0.9, "pages": ("/", "/login")}
    assert "uptime" in LIMITS.web and "x" not in LIMITS.web
    assert LIMITS.get("nowhere") is None


def test_key_of_a_table_that_is_not_declared_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        _ = LIMITS.web.uptme
    assert str(caught.value) == (
        'unknown key "limits.web.uptme" (known: uptime, pages)\n  hint: declare it under [limits.web] in the settings file'
    )


def test_empty_table_knows_no_key() -> None:
    with pytest.raises(SettingsError, match=r'unknown key "limits.host.memory" \(known: none\)'):
        _ = LIMITS.host.memory


@pytest.mark.parametrize("written", ['["junit", "html"]', "junit, html"])
def test_reports_are_chosen_by_name(project: Project, written: str) -> None:
    project.environ["RUNBOOK__REPORT__FORMATS"] = written
    assert project.load().settings.report.formats == ("junit", "html")


def test_a_report_that_nobody_writes_is_refused(project: Project) -> None:
    project.settings("[report]\nformats = ['html', 'pdf']")
    message = project.refused()
    assert message.startswith('runbook.toml: report.formats: unknown report "pdf" (known: allure, html, junit, text)')


def test_without_a_word_about_reports_all_are_written(project: Project) -> None:
    assert project.load().settings.report.formats is None
