"""How much of what the machine has is in use."""

from pathlib import PurePath

from pytest_runbook import Unmeasured, Unreachable, check

PACKED = ("*.gz", "*.xz", "*.bz2", "*.zst")
"""Endings of logs that were rotated and compressed."""


@check("postdeploy daily", severity="P2", runbook="memory-high")
async def test_memory(host, limits, measure):
    """The machine has memory left: less than 80 % is in use (guide G11)."""
    seen = await host.memory()
    assert measure("host.memory", seen.used_fraction, "ratio") < limits.host.memory, (
        f"{seen.used / 2**30:.1f} of {seen.total / 2**30:.1f} GiB are in use"
    )


@check("predeploy daily", severity="P2", runbook="disk-full")
async def test_disk(host, facts, limits, measure):
    """Every disk that the system writes to is less than 85 % full (guide G14, G26)."""
    disks = await _disks(host, facts)
    full = [name for name, seen in disks.items() if not measure(name, seen.used_fraction, "ratio") < limits.host.disk]
    assert disks and not full, (
        f"nearly full: {', '.join(f'{disks[name].free / 2**30:.1f} GiB left on {name}' for name in full)}"
    )


@check("predeploy daily", severity="P2", runbook="inodes")
async def test_inodes(host, facts, limits, measure):
    """Every disk that the system writes to takes more files, however small: less than 85 % of its inodes are in use."""
    disks = await _disks(host, facts)
    # A file system without a fixed number of inodes has none that could run out.
    counted = {name: seen for name, seen in disks.items() if seen.inodes}
    full = [
        name
        for name, seen in counted.items()
        if not measure(name, seen.inodes_used_fraction, "ratio") < limits.host.inodes
    ]
    assert disks and not full, f"nearly no file fits any more: {', '.join(full)}"


@check("predeploy", severity="P1", runbook="disk-full")
async def test_room_for_the_deployment(host, facts, limits, measure):
    """There is room for the new image, and for the backup that is made before it."""
    folder = facts.paths.backups
    sizes = await host.ask("sizes of backups", lambda machine: _sizes(machine, folder))
    backup = sizes[max(sizes)] if sizes else 0
    free = (await _disk(host, folder)).free
    assert measure("deploy.disk_room", free, "B") > limits.deploy.disk_room + limits.deploy.backups * backup, (
        f"the deployment would fill the disk of {folder}"
    )


@check("daily", severity="P3", runbook="load-high")
async def test_load(host, limits, measure):
    """The machine keeps up: in the last 15 minutes hardly anything had to wait for a processor or a disk."""
    seen = await host.load()
    assert measure("host.load", seen.fifteen / seen.cores) < limits.host.load, "work piles up on the machine"


@check("daily weekly", severity="P3", runbook="logs-rotate", unmeasured="P3")
def test_logs_are_rotated(host, facts, limits, measure):
    """No log grows without end: each file is small enough that it was rotated (guide G29)."""
    others = [word for ending in PACKED for word in ("!", "-name", ending)]  # nobody writes to them any more
    words = ["find", "-H", facts.paths.logs, "-type", "f", "-name", "*.log*", *others, "-printf", r"%s %p\n"]
    found = host.run(" ".join(["%s"] * len(words)), *words)
    if found.rc != 0:
        raise Unmeasured(
            f"the logs cannot be listed: {found.stderr.strip()}\n"
            "  hint: correct facts.paths.logs, or let the user of the checks read it"
        )
    sizes = {path: int(size) for size, path in (line.split(maxsplit=1) for line in found.stdout.splitlines())}
    if not sizes:
        raise Unmeasured(f"there is no log in {facts.paths.logs}: facts.paths.logs names another folder")
    largest = max(sizes, key=lambda path: sizes[path])
    assert measure("logs.largest", sizes[largest], "B") < limits.logs.size, f'"{largest}" was not rotated'


async def _disks(host, facts):
    """The disks that the system writes to, each once, by the name of its measurement."""
    folders = [*(facts.paths[name] for name in facts.host.folders), *facts.host.data]
    # A disk that is named and is not there was not looked at; a folder may be made later.
    seen = [*[await host.disk(path) for path in facts.host.disks], *[await _disk(host, path) for path in folders]]
    return {f"disk.{disk.mount}": disk for disk in seen}


async def _disk(host, path):
    """The disk of PATH; of a folder that is not there yet, the one it would lie on."""
    try:
        return await host.disk(path)
    except Unreachable:
        raise
    except Unmeasured as unseen:
        # A folder that is closed to us is there: its disk is another question than that of its parent.
        if str(path) == "/" or "permission denied" in str(unseen).lower():
            raise
        return await _disk(host, PurePath(path).parent)


def _sizes(machine, folder):
    """Bytes of each folder in FOLDER."""
    found = machine.run("find -H %s -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -exec du -sk {} +", folder)
    if "permission denied" in found.stderr.lower():  # what is closed is not small
        raise Unmeasured(f"{found.stderr.splitlines()[0]}\n  hint: let the user of the checks read the backups")
    return {name: int(size) * 1024 for size, name in (line.split(maxsplit=1) for line in found.stdout.splitlines())}
