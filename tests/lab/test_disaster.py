"""The disaster of a drill destroys data of a lab that does not run, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import Lab, disaster
from lab.site import LabError, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """What a lab that went down leaves."""
    made = Site(tmp_path / "lab")
    made.create({})
    for name in ("supervisor", "storage", *disaster.DATA):
        made.path(name).mkdir()
    made.save()
    return made


def test_the_data_go_and_the_bucket_stays(site: Site) -> None:
    gone = disaster.strike(site)
    assert {path.name for path in gone} == set(disaster.DATA)
    assert sorted(path.name for path in site.folder.iterdir()) == ["lab.json", "storage", "supervisor"]
    assert disaster.strike(site) == []


def test_what_is_no_data_of_this_lab_is_refused(site: Site, tmp_path: Path) -> None:
    for path in (Path("/"), Path.home(), tmp_path, site.folder, site.path("storage"), tmp_path / "other" / "database"):
        assert disaster.refusal(site, path) == "it is not among the data of a lab"
    assert "there is no lab" in str(disaster.refusal(Site(tmp_path), tmp_path / "database"))


def test_a_link_is_refused_and_then_nothing_is_destroyed(site: Site, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    site.path("nightscan").rmdir()
    site.path("nightscan").symlink_to(precious)
    with pytest.raises(LabError, match="no folder of its own"):
        disaster.strike(site)
    assert precious.is_dir()
    assert site.path("database").is_dir()


def test_a_lab_that_runs_is_left_alone(lab: Lab) -> None:
    assert "the lab runs" in str(disaster.refusal(lab.site, lab.site.path("database")))
