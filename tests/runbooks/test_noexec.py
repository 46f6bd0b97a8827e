"""Scripts on a disk where nothing can be started: not here, but wherever they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backup.test_files import mounted
from tests.managers.engine import engine
from tests.probes.machines import container
from tests.runbooks.performing import Book

STEP = '@correct()\ndef step(at):\n    """Do it."""\n    return script("mend.sh"{})\n'


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    found = Book(tmp_path)
    found.folder.mkdir()
    with mounted("-t", "tmpfs", "-o", "noexec", "none", found.folder):
        found.script("mend.sh", "#!/bin/sh\necho mended\n")
        yield found


def test_a_script_on_a_disk_where_nothing_can_be_started_says_so(book: Book) -> None:
    book.write(STEP.format(""))
    why = f'"{book.folder / "mend.sh"}" lies on a disk that is mounted with noexec: nothing there can be started\n  hint: '
    assert why in book.perform().why


def test_a_script_on_such_a_disk_runs_where_it_is_sent(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine() as daemon:
        monkeypatch.setenv("DOCKER_HOST", daemon.address)
        with container() as name:
            book.settings(f'[probes.there]\nkind = "host"\nuri = "docker://{name}"\n')
            book.write(STEP.format(', on="there"'))
            assert book.perform().output == "mended\n"
