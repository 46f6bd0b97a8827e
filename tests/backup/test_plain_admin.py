"""A restore by an administrator who is no superuser, as on managed servers: all data come back, what it may not do is told."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pytest_runbook.backup import everything
from pytest_runbook.backup.comparing import Proof
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal, servers
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.errors import RestoreError
from pytest_runbook.naming import SESSION

from tests.backup.restored import run
from tests.backup.systems import Shop
from tests.probes.databases import SECRET

GIVEN = """
    ALTER TABLE customer OWNER TO shopkeeper;
    ALTER TABLE purchase OWNER TO shopkeeper;
    ALTER TABLE nothing_yet OWNER TO shopkeeper;
    ALTER DATABASE shop SET log_statement = 'ddl';
    ALTER ROLE admin IN DATABASE shop SET app.token = 'hush-hush';
    ALTER ROLE shopkeeper IN DATABASE shop SET search_path = 'public';
"""
SETTINGS = """
    SELECT setrole::regrole::text, one FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase,
           unnest(setconfig) AS one WHERE datname = 'shop' ORDER BY 2
"""


@pytest.fixture(scope="module", name="backup")
def backup_of_what_is_not_of_a_superuser(system: Shop) -> Manifest:
    system.database.sql(GIVEN, "shop")
    return system.backup()


@pytest.fixture
def admin(system: Shop, backup: Manifest) -> Iterator[str]:
    """The setting of an administrator, which may restore the shop."""
    system.database.sql(f"CREATE ROLE restorer LOGIN CREATEDB CREATEROLE PASSWORD '{SECRET}'")
    system.database.sql("GRANT shopkeeper TO restorer WITH ADMIN OPTION; GRANT pg_signal_backend TO restorer")
    yield f"restore.admin={system.database.uri(user='restorer')}"
    restoring = Production(system.loaded, system.folder)
    for one in restoring.journal.all():
        if one.open:
            restoring.undo(one.id)
    for name in system.database.sql("SELECT datname FROM pg_database WHERE datname ~ '^shop_'"):
        system.database.sql(f'DROP DATABASE "{name[0]}"')
    system.database.sql("REASSIGN OWNED BY restorer TO admin", "shop")
    system.database.sql("DROP OWNED BY restorer; DROP ROLE restorer", "shop")


def restored(system: Shop, backup: Manifest, *told: str) -> journal.Restore:
    return Production(system.told(*told), system.folder).restore("away", backup, ["database"], safety=False)


def refused(system: Shop, backup: Manifest, admin: str) -> str:
    """Why the restore was refused, before it was on record."""
    before = len(Production(system.loaded, system.folder).journal.all())
    with pytest.raises(RestoreError) as error:
        restored(system, backup, admin)
    assert len(Production(system.loaded, system.folder).journal.all()) == before
    return str(error.value)


def test_its_sessions_are_ours_whatever_they_are_told_to_be_called(system: Shop, admin: str) -> None:
    """By that the checks and the runbooks of the database leave them alone."""
    server = servers.administrator(system.told(f"{admin}?application_name=psql").settings)
    with server.connect():
        [(seen,)] = system.database.sql("SELECT application_name FROM pg_stat_activity WHERE usename = 'restorer'")
    assert seen == server.environment["PGAPPNAME"] == f"{SESSION} backup"


def test_what_only_a_superuser_may_give_is_told_and_keeps_nobody_from_the_data(
    system: Shop, backup: Manifest, admin: str
) -> None:
    system.database.sql("DELETE FROM note", "shop")
    done = restored(system, backup, admin)
    assert done.state == journal.DONE, done.story
    assert system.database.sql("SELECT count(*) FROM note", "shop") == [(50,)]
    told = "\n".join(done.story)
    for line in (
        'ALTER DATABASE shop SET log_statement TO …: permission denied to set parameter "log_statement"',
        'ALTER ROLE admin IN DATABASE shop SET "app.token" TO …: .+',
        "not-restored: database:setting app.token of admin: is not there, or not as it was",
        "not-restored: database:setting log_statement: is not there, or not as it was",
    ):
        assert re.search(f"^{line}\n  hint: a superuser of the server has to see to it by hand$", told, re.MULTILINE)
    assert "hush-hush" not in told
    assert system.database.sql(SETTINGS) == [("shopkeeper", "search_path=public"), ("-", "work_mem=7MB")]
    owner = "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'shop'"
    assert system.database.sql(owner) == [("shopkeeper",)]


@pytest.fixture
def sales(system: Shop) -> Iterator[tuple[str, ...]]:
    """Settings of a system that has nothing but the database `sales`, which belongs to somebody else."""
    system.database.sql("CREATE ROLE clerk LOGIN CONNECTION LIMIT 3; ALTER ROLE clerk SET work_mem = '7MB'")
    system.database.sql("ALTER ROLE clerk SET app.token = 'hush-hush'")
    system.database.sql("CREATE DATABASE sales OWNER clerk")
    system.database.sql("CREATE TABLE desk AS SELECT 1 AS id; ALTER TABLE desk OWNER TO clerk", "sales")
    alone = ("backup.cache.probe=", "backup.files.roots={}", "backup.files.configuration=[]", "restore.checks=")
    yield f"probes.database.uri={system.database.uri(database='sales')}", *alone
    for (name,) in system.database.sql("SELECT datname FROM pg_database WHERE datname ~ '^sales'"):
        system.database.sql(f'DROP DATABASE "{name}"')
    system.database.sql("DROP ROLE clerk")


def test_a_database_whose_owner_is_gone_is_restored_with_it(system: Shop, admin: str, sales: tuple[str, ...]) -> None:
    """As into an empty server, after a disaster."""
    saved = everything.make(system.told(*sales).settings, system.folder)
    system.database.sql("DROP DATABASE sales")
    system.database.sql("DROP ROLE clerk")
    done = restored(system, saved, admin, *sales)
    assert done.state == journal.DONE, done.story
    assert 'the role "clerk" is new, and has no password' in done.story
    assert [line for line in done.story if "hint" in line] == [
        'ALTER ROLE clerk SET "app.token" TO …: permission denied to set parameter "app.token"\n'
        "  hint: a superuser of the server has to see to it by hand"
    ]
    found = (
        "SELECT tableowner, rolcanlogin, rolconnlimit, rolconfig FROM pg_tables JOIN pg_roles ON rolname = tableowner"
    )
    assert system.database.sql(f"{found} WHERE tablename = 'desk'", "sales") == [("clerk", True, 3, ["work_mem=7MB"])]


@pytest.fixture
def team(system: Shop) -> Iterator[None]:
    """Roles that are members of others, and one with what only a superuser may give."""
    system.database.sql('CREATE ROLE "the ""desk"""; CREATE ROLE web LOGIN BYPASSRLS CONNECTION LIMIT 5')
    system.database.sql('GRANT "the ""desk""" TO web WITH ADMIN OPTION; GRANT shopkeeper TO web')
    system.database.sql("COMMENT ON ROLE web IS 'it was GRANTED BY admin'")
    yield
    system.database.sql('DROP ROLE IF EXISTS web; DROP ROLE IF EXISTS "the ""desk"""')


def test_new_roles_are_members_of_what_they_were(system: Shop, admin: str, team: None) -> None:
    saved = system.backup()
    system.database.sql('DROP ROLE web; DROP ROLE "the ""desk"""')
    done = restored(system, saved, admin)
    assert done.state == journal.DONE, done.story
    members = "SELECT roleid::regrole::text, admin_option FROM pg_auth_members WHERE member = 'web'::regrole ORDER BY 1"
    assert system.database.sql(members) == [('"the ""desk"""', True), ("shopkeeper", False)]
    about = "SELECT rolcanlogin, rolbypassrls, rolconnlimit, shobj_description(oid, 'pg_authid') FROM pg_roles"
    assert system.database.sql(f"{about} WHERE rolname = 'web'") == [(True, False, 5, "it was GRANTED BY admin")]
    told = [line for line in done.story if "web" in line and " is new" not in line]
    assert len(told) == 1, told
    assert re.fullmatch(
        r"ALTER ROLE web WITH BYPASSRLS: .+\n  hint: a superuser of the server has to see to it by hand", told[0]
    )


def test_a_role_that_the_dump_needs_and_nobody_may_make_ends_the_restore(
    system: Shop, admin: str, sales: tuple[str, ...]
) -> None:
    saved = everything.make(system.told(*sales).settings, system.folder)
    system.database.sql("DROP DATABASE sales")
    system.database.sql("DROP ROLE clerk; ALTER ROLE restorer NOCREATEROLE")
    try:
        with pytest.raises(RestoreError, match=r'not-restored: database: .+role "clerk" does not exist'):
            restored(system, saved, admin, *sales)
    finally:
        system.database.sql("CREATE ROLE clerk")
    ended = Production(system.loaded, system.folder).journal.all()[-1]
    assert (ended.state, ended.roles) == (journal.UNDONE, [])
    assert system.database.sql("SELECT count(*) FROM pg_database WHERE datname ~ '^sales'") == [(0,)]


def test_all_that_the_exchange_needs_is_told_before_anything_is_made(
    system: Shop, backup: Manifest, admin: str
) -> None:
    system.database.sql("REVOKE shopkeeper FROM restorer; ALTER ROLE restorer NOCREATEDB")
    assert refused(system, backup, admin) == (
        'the role of "restore.admin" cannot restore "shop": it may not make databases; '
        'it may not act as shopkeeper, the owner of "shop"\n'
        "  hint: ALTER ROLE restorer CREATEDB; GRANT shopkeeper TO restorer, or let restore.admin be a superuser"
    )


def test_nobody_is_told_to_give_the_role_of_a_superuser_away(system: Shop, backup: Manifest, admin: str) -> None:
    system.database.sql("ALTER DATABASE shop OWNER TO admin")
    try:
        assert refused(system, backup, admin) == (
            'the role of "restore.admin" cannot restore "shop": it may not act as admin, the owner of "shop"\n'
            "  hint: let restore.admin be a superuser"
        )
    finally:
        system.database.sql("ALTER DATABASE shop OWNER TO shopkeeper")


def test_what_is_in_production_by_now_keeps_nobody_from_a_restore(system: Shop, backup: Manifest, admin: str) -> None:
    """A copy that a superuser made in the incident, and a login that was dropped since."""
    system.database.sql("CREATE ROLE clerk")
    saved = system.backup()
    system.database.sql("DROP ROLE clerk; ALTER ROLE restorer NOCREATEROLE")
    system.database.sql("CREATE TABLE copied AS SELECT * FROM note", "shop")
    try:
        planned = run(system, saved.id, "--from=away", "--into=production", "--dry-run", "--set", admin)
        done = restored(system, saved, admin)
    finally:
        system.database.sql("DROP TABLE IF EXISTS copied", "shop")
    assert done.state == journal.DONE, done.story
    doubt = (
        'it is not sure that the role of "restore.admin" can restore "shop": it may not make the missing role "clerk"; '
        'it may not act as admin, an owner in "shop"\n  hint: let restore.admin be a superuser'
    )
    assert doubt in done.story
    assert (planned.returncode, doubt in planned.stdout) == (0, True), planned.stdout + planned.stderr
    about = [line for line in done.story if "clerk" in line and "missing" not in line]
    assert about == [
        "CREATE ROLE clerk: permission denied to create role\n  hint: a superuser of the server has to see to it by hand"
    ]
    assert done.roles == []


@pytest.fixture
def desk(system: Shop, backup: Manifest) -> Iterator[str]:
    """A table in the schema of somebody else, and its owner."""
    system.database.sql('CREATE ROLE "the owner"')
    system.database.sql('CREATE TABLE desk (); ALTER TABLE desk OWNER TO "the owner"', "shop")
    yield '"the owner"'
    system.database.sql('DROP TABLE desk; DROP ROLE "the owner"', "shop")


def test_a_table_in_the_schema_of_another_needs_a_superuser(system: Shop, admin: str, desk: str) -> None:
    """Who may create there stands at the end of a dump."""
    saved = system.backup()
    system.database.sql(f"GRANT {desk} TO restorer")
    with pytest.raises(RestoreError, match=r"not-restored: database: .+permission denied for schema public"):
        restored(system, saved, admin)
    ended = Production(system.loaded, system.folder).journal.all()[-1]
    assert ended.state == journal.UNDONE
    assert (
        f'it is not sure that the role of "restore.admin" can restore "shop": it may not give {desk} tables in the schema '
        '"public" of another\n  hint: let restore.admin be a superuser'
    ) in ended.story


def test_what_is_not_seen_before_is_told_when_it_is_refused(system: Shop, admin: str, desk: str) -> None:
    saved = system.backup()
    system.database.sql("ALTER TABLE desk OWNER TO shopkeeper", "shop")
    with pytest.raises(RestoreError) as error:
        restored(system, saved, admin)
    assert str(error.value) == (
        f"the backup cannot be restored\n  not-restored: database: only a member of the role {desk} or a superuser "
        "may give it anything"
    )


FORCED = "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = 'note'"


def test_rows_that_a_forced_policy_hides_from_owners_are_compared_and_come_back(system: Shop, admin: str) -> None:
    """Who restores acts as the owner, and to hide rows from it is an error: it need not have BYPASSRLS."""
    system.database.sql("ALTER TABLE note ENABLE ROW LEVEL SECURITY; ALTER TABLE note FORCE ROW LEVEL SECURITY", "shop")
    system.database.sql("CREATE POLICY own ON note USING (text LIKE 'note 1%')", "shop")
    try:
        saved = system.backup()
        system.database.sql("DELETE FROM note", "shop")
        restoring = Production(system.told(admin), system.folder)
        done = restoring.restore("away", saved, ["database"], safety=False)
        assert done.state == journal.DONE, done.story
        assert Proof("rows", "3250", "3250", True) in restoring.proofs
        assert system.database.sql("SELECT count(*) FROM note", "shop") == [(50,)]
        assert system.database.sql(FORCED, "shop") == [(True, True)]
    finally:
        system.database.sql("DROP POLICY own ON note; ALTER TABLE note DISABLE ROW LEVEL SECURITY", "shop")
        system.database.sql("ALTER TABLE note NO FORCE ROW LEVEL SECURITY", "shop")


WATCH = """
    CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    ALTER FUNCTION watch() OWNER TO shopkeeper;
    CREATE EVENT TRIGGER seen ON ddl_command_end EXECUTE FUNCTION watch();
"""


@pytest.mark.parametrize(
    ("made", "gone", "what"),
    [
        ("CREATE EXTENSION pg_stat_statements", "DROP EXTENSION pg_stat_statements", 'extension "pg_stat_statements"'),
        (WATCH, "DROP EVENT TRIGGER seen; DROP FUNCTION watch()", 'event trigger "seen"'),
    ],
)
def test_what_a_superuser_alone_can_make_ends_the_restore_and_all_is_as_it_was(
    system: Shop, backup: Manifest, admin: str, made: str, gone: str, what: str
) -> None:
    system.database.sql(made, "shop")
    saved = system.backup()
    system.database.sql(gone, "shop")
    with pytest.raises(RestoreError, match=f"permission denied to create {what}"):
        restored(system, saved, admin)
    assert Production(system.loaded, system.folder).journal.all()[-1].state == journal.UNDONE
    assert system.database.sql("SELECT datname FROM pg_database WHERE datname ~ '^shop'") == [("shop",)]
