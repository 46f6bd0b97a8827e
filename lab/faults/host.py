"""What can be wrong with the machine.

A whole machine cannot be filled up or slowed down to show that a check sees it: where nothing real can be broken without
harm, the limit is lowered below what the machine uses now, and the docstring says so.
"""

from __future__ import annotations

import os
import sys
import time

from lab import packages
from lab.faults import fault
from lab.lab import Lab
from lab.servers import ntp
from lab.site import HOST, LabError

MONTHS = 40 * 86_400.0
LISTENER = "import socket, sys, time; listener = socket.create_server(('', int(sys.argv[1]))); time.sleep(86400)"

FLOOD = """
import sys, time
while True:
    with open(sys.argv[1], "ab") as log:
        log.write(b"DEBUG nothing to see here\\n" * 10_000)
    time.sleep(0.25)
"""


@fault(
    "host-unreachable",
    service="host",
    fails=["host/availability::answers"],
    blocks=[
        "host/[!ac]*",
        "host/capacity::*",
        "host/consistency::clock_is_right",
        "host/consistency::folders_are_there",
        "configuration/deployment::compose_file_has_its_variables",
        "configuration/deployment::compose_file_parses",
        "configuration/deployment::images_have_a_fixed_tag",
        "configuration/security::secret_files_are_private",
        "ml/models::loaded_models_are_those_on_disk",
        "ml/models::models_are_whole",
        "ml/models::models_know_their_classes",
        "proxy/certificate::certificate_is_the_one_on_disk",
    ],
    root="host/availability::answers",
    outcome="person",
)
def unreachable(lab: Lab) -> None:
    """The machine refuses to be logged in to: the checks are sent to a port where no ssh listens."""
    lab.change_setting("probes.host.uri", f"ssh://nobody@{HOST}:1")


@fault("host-memory-short", service="host", fails=["host/capacity::memory"], outcome="person")
def memory_short(lab: Lab) -> None:
    """The machine's memory is nearly used up; the limit is lowered to a thousandth."""
    lab.change_setting("limits.host.memory", 0.001)


@fault("host-disk-full", service="host", fails=["host/capacity::disk"])
def disk_full(lab: Lab) -> None:
    """A small disk is full of old files of the application's cache; where mounting is not allowed, the limit is lowered."""
    _small_disk(lab, "size=1m", b"x" * 1_020_000, "limits.host.disk")


@fault("host-inodes-used-up", service="host", fails=["host/capacity::inodes"])
def inodes_used_up(lab: Lab) -> None:
    """A small disk with much room takes no more files, so many old ones are in the cache; or the limit, as above."""
    _small_disk(lab, "size=8m,nr_inodes=20", b"", "limits.host.inodes")


@fault(
    "host-no-room",
    service="host",
    fails=["host/capacity::room_for_the_deployment"],
    schedule="predeploy",
    outcome="person",
)
def no_room(lab: Lab) -> None:
    """The next image is larger than the disk: the room it needs is raised to an exabyte."""
    lab.change_setting("limits.deploy.disk_room", 10**18)


@fault("host-load-high", service="host", fails=["host/capacity::load"], outcome="person")
def load_high(lab: Lab) -> None:
    """More waits for a processor than may; the limit is lowered below nothing."""
    lab.change_setting("limits.host.load", -1.0)


@fault("host-log-not-rotated", service="host", fails=["host/capacity::logs_are_rotated"])
def log_not_rotated(lab: Lab) -> None:
    """A log was never rotated; it has ten megabytes, and the limit is lowered to five meanwhile."""
    lab.change_setting("limits.logs.size", 5_000_000)
    lab.replace_file(lab.site.home / "logs" / "debug.log", b"DEBUG nothing to see here\n" * 400_000)


@log_not_rotated.heal
def forget_logs(lab: Lab) -> None:
    """Remove what was rotated."""
    for file in (lab.site.home / "logs").glob("debug.log*"):
        file.unlink()


@fault("host-log-flood", service="host", fails=["host/capacity::logs_are_rotated"])
def log_flood(lab: Lab) -> None:
    """Somebody left debugging on, and a log grows by a megabyte each second; it has twenty, the limit is ten meanwhile."""
    lab.change_setting("limits.logs.size", 10_000_000)
    lab.replace_file(lab.site.home / "logs" / "debug.log", b"DEBUG nothing to see here\n" * 800_000)
    lab.spawn(sys.executable, "-c", FLOOD, str(lab.site.home / "logs" / "debug.log"))


log_flood.heal(forget_logs)


@fault("host-old-logs", service="host", fails=["host/freshness::old_logs_are_gone"])
def old_logs(lab: Lab) -> None:
    """A rotated log of last month was never deleted."""
    file = lab.site.home / "logs" / "nightscan.log.9"
    lab.replace_file(file, b"{}\n")
    lab.age_file(file, MONTHS)


@fault("host-clock-wrong", service="host", fails=["host/consistency::clock_is_right"])
def clock_wrong(lab: Lab) -> None:
    """The machine's clock is five seconds ahead; it cannot be set for a test, so the time server is as late."""
    lab.replace_file(ntp.offset_file(lab.site), "5")


@fault("host-clocks-disagree", service="host", fails=["host/consistency::clocks_agree"], outcome="person")
def clocks_disagree(lab: Lab) -> None:
    """The database's clock is five seconds ahead: what the checks' role calls clock_timestamp() is another function."""
    lab.sql("CREATE SCHEMA skewed", undo="DROP SCHEMA IF EXISTS skewed CASCADE")
    lab.sql("GRANT USAGE ON SCHEMA skewed TO nightscan")
    lab.sql(
        "CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        " AS $$ SELECT pg_catalog.clock_timestamp() + interval '5 seconds' $$"
    )
    lab.sql(
        "ALTER ROLE nightscan SET search_path = skewed, pg_catalog, public",
        undo="ALTER ROLE nightscan RESET search_path",
    )


@fault("host-folder-missing", service="host", fails=["host/consistency::folders_are_there"], outcome="person")
def folder_missing(lab: Lab) -> None:
    """The disk of the uploads was not mounted: the folder is somewhere else."""
    lab.change_setting("facts.paths.uploads", str(lab.site.home / "not-mounted"))


@fault("host-folder-open", service="host", fails=["host/security::data_is_private"], outcome="person")
def folder_open(lab: Lab) -> None:
    """Everybody may write to the uploads."""
    (lab.site.home / "uploads").chmod(0o777)


@folder_open.heal
def close_uploads(lab: Lab) -> None:
    """Take the rights away again."""
    (lab.site.home / "uploads").chmod(0o750)


@fault("host-backups-readable", service="host", fails=["host/security::data_is_private"], outcome="person")
def backups_readable(lab: Lab) -> None:
    """Everybody may look into the backups."""
    (lab.site.home / "backups").chmod(0o755)


@backups_readable.heal
def close_backups(lab: Lab) -> None:
    """Take the rights away again."""
    (lab.site.home / "backups").chmod(0o750)


@fault("host-port-exposed", service="host", fails=["host/security::data_is_not_served_to_the_world"], outcome="person")
def port_exposed(lab: Lab) -> None:
    """Something listens to the whole world where only the cache's clients should be heard."""
    port = lab.site.port("cache") + 5000
    lab.spawn(sys.executable, "-c", LISTENER, str(port))
    lab.change_setting("facts.host.private_ports.cache", port)


@fault(
    "host-updates-waiting",
    service="host",
    fails=["host/security::security_updates"],
    schedule="weekly",
    outcome="person",
)
def updates_waiting(lab: Lab) -> None:
    """The security archive offers a newer version of an installed package."""
    lab.replace_file(packages.offers(lab.site), packages.offer(packages.NEWER))


@fault(
    "host-updates-unknown",
    service="host",
    fails=["host/security::security_updates"],
    schedule="weekly",
    outcome="unmeasured",
)
def updates_unknown(lab: Lab) -> None:
    """Nobody has fetched the lists of packages: that no update is known is not that there is none."""
    for file in packages.offers(lab.site).parent.glob("*_*"):
        lab.remove_file(file)


@fault(
    "host-restart-due", service="host", fails=["host/security::no_restart_is_due"], schedule="weekly", outcome="person"
)
def restart_due(lab: Lab) -> None:
    """An update of the kernel waits for a restart."""
    lab.replace_file(lab.site.home / "restart-required", "*** System restart required ***\n")


def _small_disk(lab: Lab, options: str, content: bytes, limit: str) -> None:
    """Fill a small disk with files of CONTENT, and have it looked at; where mounting is not allowed, lower LIMIT instead."""
    folder = lab.site.path("small-disk")
    if not lab.mount_small_disk(folder, options):
        lab.change_setting(limit, -1.0)
        return
    lab.change_setting("facts.host.disks", [str(folder)])
    lab.change_setting("facts.paths.cache", str(folder))
    for number in range(100):
        try:
            (folder / str(number)).write_bytes(content)
        except OSError:
            for file in folder.iterdir():
                os.utime(file, (time.time() - MONTHS,) * 2)
            return
    raise LabError(f'"{folder}" is not full')
