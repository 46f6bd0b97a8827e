"""Kinds of probes are found where they are declared, and only those that are asked for are imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_runbook import probes
from pytest_runbook.errors import UsageError
from pytest_runbook.probes.base import Probe, ProbeSettings

from .conftest import Project

GOOD = """
from pytest_runbook.probes.base import Probe, ProbeSettings

class {name}Settings(ProbeSettings):
    depth: int = 1

class {name}(Probe[{name}Settings]):
    kind = "{kind}"
    Settings = {name}Settings
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A second folder of probes beside the engine's own."""
    monkeypatch.setattr(probes, "__path__", [*probes.__path__, str(tmp_path)])
    _forget()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("pytest_runbook.probes.only_")]:
        del sys.modules[name]
    _forget()


def _forget() -> None:
    probes.find.cache_clear()
    probes._places.cache_clear()


def test_every_kind_has_its_class_and_settings() -> None:
    found = probes.kinds()
    assert {"http", "postgresql"} <= set(found)
    for kind, probe in found.items():
        assert probe.kind == kind
        assert issubclass(probe, Probe)
        assert issubclass(probe.Settings, ProbeSettings)


def test_naming_the_kinds_imports_none_of_them() -> None:
    code = "import sys; from pytest_runbook import probes; print(probes.names()); print('pydantic' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")
    assert "'http'" in answer[0]
    assert answer[1] == "False"


def test_loading_settings_imports_no_client(project: Project) -> None:
    code = (
        "import sys, pathlib; from pytest_runbook.settings import load;"
        "load(pathlib.Path('.'), file=pathlib.Path('runbook.toml'), environ={});"
        "print([name for name in ('boto3', 'httpx', 'psycopg', 'redis', 'testinfra', 'pynvml') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=project.root, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_module_in_the_folder_is_a_kind(folder: Path) -> None:
    (folder / "only_dowsing.py").write_text(GOOD.format(name="Dowsing", kind="dowsing"))
    (folder / "only_words.py").write_text('"""A helper, and no probe."""\n')
    assert "dowsing" in probes.names()
    assert probes.find("dowsing").Settings(kind="dowsing").depth == 1  # type: ignore[attr-defined]
    assert "only_words" not in probes.names()


def test_package_in_the_folder_is_a_kind(folder: Path) -> None:
    (folder / "only_package").mkdir()
    (folder / "only_package" / "__init__.py").write_text(GOOD.format(name="Package", kind="package"))
    assert probes.find("package").__name__ == "Package"


def test_module_that_cannot_be_imported_is_named(folder: Path) -> None:
    (folder / "only_broken.py").write_text(
        "import not_installed_anywhere\n" + GOOD.format(name="Broken", kind="broken")
    )
    with pytest.raises(UsageError) as caught:
        probes.find("broken")
    assert str(caught.value) == (
        "probe kind \"broken\" cannot be imported: ModuleNotFoundError: No module named 'not_installed_anywhere'\n"
        '  hint: install what it needs, or repair "pytest_runbook.probes.only_broken"'
    )


def test_broken_kind_stops_only_those_who_use_it(folder: Path, project: Project) -> None:
    (folder / "only_broken.py").write_text("1/0\n" + GOOD.format(name="Broken", kind="broken"))
    project.load()
    project.settings('[probes.more]\nkind = "broken"\n[confirm]\nfailurs = 1')
    message = project.refused()
    assert 'runbook.toml: probes.more.kind: probe kind "broken" cannot be imported: ZeroDivisionError' in message
    assert "confirm.failurs: unknown key" in message, "the other faults are told as well"


def test_declared_kind_without_a_class_is_named(folder: Path) -> None:
    (folder / "only_hollow.py").write_text('class Hollow:\n    kind = "hollow"\n')
    with pytest.raises(UsageError, match=r'"pytest_runbook\.probes\.only_hollow" holds no Probe with kind = "hollow"'):
        probes.find("hollow")


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r'unknown kind of probe "telepathy" \(known: .*http.*postgresql'):
        probes.find("telepathy")


def test_installed_package_adds_a_kind(tmp_path: Path, project: Project) -> None:
    (tmp_path / "dowsing.py").write_text(GOOD.format(name="Dowsing", kind="dowsing"))
    info = tmp_path / "dowsing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dowsing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[pytest_runbook.probes]\ndowsing = dowsing:Dowsing\nhttp = dowsing:Dowsing\n"
    )
    project.settings('[probes.well]\nkind = "dowsing"\ndepth = 30')
    code = (
        "import pathlib; from pytest_runbook.settings import load;"
        "s = load(pathlib.Path('.'), file=pathlib.Path('runbook.toml'), environ={}).settings;"
        "print(s.probes['well'].depth, type(s.probes['web']).__name__)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=project.root,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert answer.stdout == "30 HttpSettings\n", answer.stderr
