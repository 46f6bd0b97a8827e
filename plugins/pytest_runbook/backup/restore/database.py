"""Puts a dump into a PostgreSQL server: the roles that its objects belong to, then everything else, several tables at once."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_runbook.backup import contents, programs, reading
from pytest_runbook.backup.running import last, output, run
from pytest_runbook.backup.verdict import PASSING, Fault
from pytest_runbook.errors import BackupError

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

    from pytest_runbook.backup.manifest import Database, Manifest
    from pytest_runbook.backup.postgresql import Server
    from pytest_runbook.runbooks.commands import Finished
    from pytest_runbook.settings import Settings

    Session = psycopg.Connection[tuple[Any, ...]]

ROLE_STATEMENT = re.compile(r"(CREATE|ALTER|COMMENT ON) ROLE |GRANT (?!.* ON TABLESPACE )")
"""The only kinds of statement of `roles.sql` that are executed: no tablespace is made in a folder of somebody else's choice."""
NAME = r'("(?:[^"]|"")+"|[^\s";]+)'
OF_DATABASE = re.compile(r"^\d+; \d+ \d+ (?:DATABASE|(?:COMMENT|ACL|SECURITY LABEL) - DATABASE) .*$", re.MULTILINE)
"""What a dump tells of the database itself, in its listing, and below in statements."""
PROPERTY = re.compile(
    r"((?:ALTER|COMMENT ON) DATABASE |(?:GRANT|REVOKE) [A-Z, ]+ ON DATABASE |SECURITY LABEL FOR \S+ ON DATABASE |"
    rf"ALTER ROLE (?:{NAME}) IN DATABASE ){NAME}( .+)",
    re.DOTALL,
)
OWNER, ELSEWHERE = " OWNER TO ", " SET TABLESPACE "
TOKEN = re.compile(r"""--[^\n]*|^\\[^\n]*|E'(?:[^'\\]|\\.)*'|'[^']*'|"[^"]*"|.""", re.DOTALL | re.MULTILINE)
"""Of a script: a comment, a word to psql, a text, a name, or any other letter."""
ABOUT = re.compile(rf"(?:(?:CREATE|ALTER|COMMENT ON) ROLE|GRANT {NAME} TO) {NAME}")
"""Whom a statement about roles changes: the last name."""
LATER = 17
"""Version of pg_restore from which on it sets `transaction_timeout`, which no earlier server has."""
CAME_TO_ITS_END = re.compile(r"^pg_restore: warning: errors ignored on restore: \d+$", re.MULTILINE)
REFUSED = re.compile(r"^pg_restore: error: ", re.MULTILINE)
UNKNOWN = re.compile(f"{REFUSED.pattern}.+\nCommand was: SET transaction_timeout = 0;$", re.MULTILINE)
"""What each of its sessions says of that, the server in a language of its own."""
MISSING = re.compile(r'extension "([^"]+)" is not available|could not open extension control file')
NO_MEMBER = re.compile(r'must be (?:member of role|able to SET ROLE) "([^"]+)"')
ATTRIBUTES = re.compile(rf"(ALTER ROLE {NAME} WITH)([A-Z ]+)")
UNASKED = re.compile(r" NO(?:SUPERUSER|REPLICATION|BYPASSRLS)\b")
"""Of the attributes of a role: what a new one has not anyway, and only a superuser may say."""
GREAT = re.compile(r" (?:SUPERUSER|REPLICATION|BYPASSRLS)\b")
"""What only a superuser may give; from 16 on who has it as well."""
GRANTED = re.compile(rf"(GRANT {NAME} TO {NAME}[A-Z ,]*) GRANTED BY {NAME};")
"""That a role is a member of another, and who made it one, which only a superuser may say of somebody else."""


@dataclass(frozen=True, slots=True)
class Restoring:
    """What a dump is restored with."""

    bindir: Path
    """Folder of pg_restore."""
    server: Server
    """Where to, as a role that may create roles, extensions and databases."""
    jobs: int
    timeout: float
    mark: str = ""
    """By which pg_restore is found when we were killed."""
    options: tuple[str, ...] = ()
    """Further ones of pg_restore."""

    def missing(self, text: str) -> list[str]:
        """The roles that TEXT, `roles.sql`, makes and the server does not have."""
        with self.server.connect() as session:
            there = {name for (name,) in session.execute("SELECT rolname FROM pg_roles")}
        return [_about(one) for one in _statements(text) if one.startswith("CREATE ") and _about(one) not in there]

    def roles(self, text: str, names: Collection[str] | None = None) -> list[str]:
        """Make the roles NAMES, those that are missing, as TEXT, `roles.sql`, tells of them; what could not be done.

        Those that exist are left as they are: what was taken from one since the backup is not given back.
        """
        problems, made = list[str](), set(self.missing(text) if names is None else names)
        with self.server.connect() as session:
            for statement in _statements(text):
                if (name := _about(statement)) not in made:
                    continue
                for asked in _asked(session, statement):
                    problems += (refused := list(_refused(session, asked, _raw(asked))))
                    if refused and asked.startswith("CREATE "):
                        made.remove(name)  # nothing else can be given to it
                        break
        return problems

    def create(self, name: str, encoding: str = "UTF8", locale: Mapping[str, str] | None = None) -> None:
        """Make the empty database NAME, which sorts as LOCALE of a manifest says, or as the server does."""
        from psycopg import sql

        with self.server.connect() as session:
            session.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {}{}").format(
                    sql.Identifier(name), sql.Literal(encoding), _sorted(locale or {})
                )
            )

    def fill(self, name: str, dump: Path, manifest: Manifest) -> list[Fault]:
        """Put DUMP, a folder, into the empty database NAME; what is wrong with it, as the backup of MANIFEST."""
        told = manifest.database
        assert told
        try:
            listing = self._answer("--list", str(dump))
        except BackupError as error:
            return [_fault(error)]
        if faults := list(reading.listed(listing, "database", manifest, told)):
            return faults
        options = ["--no-tablespaces", f"--jobs={self.jobs}", f"--dbname={name}", *self.options]
        try:
            self._restore(*self._severity(), *options, str(dump), reason="not-restored")
        except BackupError as refused:
            found = _fault(refused)
            try:  # what cannot even be unpacked is no dump, whatever server it should go to
                self._restore("--file=/dev/null", str(dump), reason="not-a-dump")
            except BackupError as error:
                return [_fault(error)]
            return [found]
        return []

    def properties(self, name: str, dump: Path, told: Database) -> tuple[dict[str, str], list[str]]:
        """Give the database NAME owner, rights and settings of the one that DUMP is of; those that it has then, and what
        was refused: some of them only a superuser may give.

        pg_restore gives them only to one that it makes itself. Inside of it, since they are written in its encoding.
        """
        problems = list[str]()
        with self.server.connect(dbname=name) as session:
            for statement, executed in self._given(name, dump, told):
                problems += _refused(session, statement, executed)
            return contents.properties(session), problems  # others may not be let in any more

    def owner(self, name: str, dump: Path, told: Database) -> list[str]:
        """Give the database NAME its owner, while it is empty; what was refused.

        Only who may create in the schema `public` is given a table there by who is no superuser.
        """
        problems = list[str]()
        with self.server.connect() as session:
            for statement, executed in self._given(name, dump, told, only=OWNER):
                problems += _refused(session, statement, executed)
        return problems

    def _given(self, name: str, dump: Path, told: Database, only: str = "") -> Iterator[tuple[str, sql.Composed]]:
        """Statements of DUMP about the database that TOLD is of, and the same about NAME; ONLY those that go on so."""
        from psycopg import sql

        for statement in _parted(self._of_database(dump)):
            found = PROPERTY.fullmatch(statement)
            if not found or found[3].strip('"').replace('""', '"') != told.name:
                continue
            if found[4].startswith(only) and not found[4].startswith(ELSEWHERE):
                yield statement, sql.SQL("{}{}{}").format(_raw(found[1]), sql.Identifier(name), _raw(found[4]))

    def _of_database(self, dump: Path) -> str:
        """The script of what DUMP tells of the database itself; no body of a function stands in it."""
        listing = self._answer("--create", "--list", str(dump))
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="runbook-", dir=dump.parent) as chosen:
            chosen.write("\n".join(OF_DATABASE.findall(listing)) + "\n")
            chosen.flush()
            return self._answer("--create", f"--use-list={chosen.name}", str(dump))

    def _severity(self) -> list[str]:
        """The first error ends pg_restore, unless it makes one itself: on a server of an earlier version than its own."""
        with self.server.connect() as session:
            earlier = session.info.server_version // 10000 < LATER <= programs.version(self.bindir / "pg_restore")[0]
        return [] if earlier else ["--exit-on-error"]

    def _command(self, *arguments: str) -> list[str | Path]:
        return [self.bindir / "pg_restore", "--no-password", *arguments]

    def _restore(self, *arguments: str, reason: str) -> None:
        command, environment = self._command(*arguments), self.server.environment
        run(command, environment, self.timeout, mark=self.mark, reason=reason, complaint=_complaint)

    def _answer(self, *arguments: str) -> str:
        command, environment = self._command(*arguments), self.server.environment
        return output(command, environment, self.timeout, mark=self.mark, reason="not-a-dump")


def place(settings: Settings, told: Database, *needed: str) -> Path:
    """The folder of the programs NEEDED: not older than the server and the pg_dump that the backup TOLD is from."""
    least = max(int(text.partition(".")[0]) for text in (told.server_version, told.dump_version or "0"))
    return programs.postgresql(settings.backup.programs.postgresql, ("pg_restore", *needed), least=least)


def _refused(session: Session, statement: str, executed: sql.SQL | sql.Composed) -> Iterator[str]:
    """Have STATEMENT of a dump EXECUTED; what the server says against that."""
    import psycopg

    try:
        session.execute(executed)
    except psycopg.Error as error:
        yield f"{_shown(statement)}: {str(error).partition(chr(10))[0]}"


def _shown(statement: str) -> str:
    """STATEMENT without its texts: the value of a setting may be secret, and a comment may be long."""
    return TOKEN.sub(lambda found: "…" if found[0].endswith("'") else found[0], statement.rstrip(";"))


def _parted(script: str) -> Iterator[str]:
    """The statements of SCRIPT, in whose texts and names anything may stand."""
    words = list[str]()
    for found in TOKEN.finditer(script):
        word = found[0]
        if word == ";":
            yield "".join(words).strip()
            words.clear()
        elif not word.startswith(("--", "\\")):
            words.append(word)


def _complaint(done: Finished) -> list[str]:
    """What pg_restore was refused, from the first on; a setting that an earlier server does not know is none, if that is all."""
    rest = UNKNOWN.sub("", done.stderr)
    first = REFUSED.search(rest)
    if first is None and done.whole and CAME_TO_ITS_END.search(rest):
        return []
    return rest[first.start() if first else 0 :].strip().splitlines() or last(done)


def _statements(text: str) -> Iterator[str]:
    """Statements of TEXT that are about roles; pg_dumpall writes each on one line."""
    return (line for line in text.splitlines() if line.endswith(";") and ROLE_STATEMENT.match(line))


def _asked(session: Session, statement: str) -> Iterator[str]:
    """What SESSION is asked for STATEMENT about a new role: of one that is no superuser's, all that it may give."""
    if session.info.parameter_status("is_superuser") == "on":
        yield statement
    elif statement.startswith("CREATE ROLE "):
        yield statement
        yield f"GRANT {statement.removeprefix('CREATE ROLE ').rstrip(';')} TO CURRENT_USER;"  # or it could give it nothing
    elif found := ATTRIBUTES.match(statement):
        yield found[1] + GREAT.sub("", UNASKED.sub("", found[3])) + statement[found.end() :]
        yield from (f"{found[1]}{great};" for great in GREAT.findall(found[3]))  # each alone: it takes none with it
    elif found := GRANTED.fullmatch(statement):
        yield f"{found[1]};"
    else:
        yield statement


def _about(statement: str) -> str:
    """The role that STATEMENT makes or changes."""
    found = ABOUT.match(statement)
    name = found[2] if found else ""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _fault(error: BackupError) -> Fault:
    """ERROR as what is wrong with the dump; raised again when it says nothing of that, as of a program that was late."""
    if error.reason in PASSING:
        raise error
    if found := MISSING.search(str(error)):
        what = f'the extension "{found[1]}" is' if found[1] else "an extension is"
        return Fault("not-restored", "database", f"{what} not installed beside the server that it is restored into")
    if found := NO_MEMBER.search(str(error)):
        return Fault(
            "not-restored", "database", f'only a member of the role "{found[1]}" or a superuser may give it anything'
        )
    return Fault(error.reason, "database", " ".join(str(error).split()))


def _sorted(locale: Mapping[str, str]) -> Any:
    """LOCALE as options of CREATE DATABASE."""
    from psycopg import sql

    kind = {"i": "ICU", "b": "BUILTIN"}.get(locale.get("provider", ""))
    words = {"LC_COLLATE": locale.get("collate"), "LC_CTYPE": locale.get("ctype")}
    if kind:
        words |= {"LOCALE_PROVIDER": kind.lower(), f"{kind}_LOCALE": locale.get("locale")}
        words |= {"ICU_RULES": locale.get("rules")}
    parts = [sql.SQL(" {} {}").format(_raw(word), sql.Literal(value)) for word, value in words.items() if value]
    return sql.SQL("").join(parts)


def _raw(text: str) -> Any:
    """TEXT of a dump as a part of a statement."""
    from psycopg import sql

    return sql.SQL(text)
