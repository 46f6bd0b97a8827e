"""How much of what the machine has is in use."""

from pytest_runbook import check


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
def test_room_for_the_deployment(host, facts, limits, measure):
    """There is room for the new image, and for the backup that is made before it."""
    free = host.check_output("df -Pk %s | tail -n 1 | awk '{print $4}'", facts.paths.backups)
    newest = host.check_output("find %s -mindepth 1 -maxdepth 1 -type d | sort | tail -n 1", facts.paths.backups)
    size = host.check_output("du -sk %s | cut -f 1", newest) if newest else "0"
    needed = limits.deploy.disk_room + limits.deploy.backups * int(size) * 1024
    assert measure("deploy.disk_room", int(free) * 1024, "B") > needed, "the deployment would fill the disk"


@check("daily", severity="P3", runbook="load-high")
async def test_load(host, limits, measure):
    """The machine keeps up: in the last 15 minutes hardly anything had to wait for a processor or a disk."""
    seen = await host.load()
    assert measure("host.load", seen.fifteen / seen.cores) < limits.host.load, "work piles up on the machine"


@check("daily weekly", severity="P3", runbook="logs-rotate")
def test_logs_are_rotated(host, facts, limits, measure):
    """No log grows without end: each file is small enough that it was rotated (guide G29)."""
    found = host.run("find %s -type f -name %s -printf %s", facts.paths.logs, "*.log*", r"%s %p\n")
    assert found.rc == 0, f"the logs cannot be listed: {found.stderr.strip()}"
    sizes = {path: int(size) for size, path in (line.split(maxsplit=1) for line in found.stdout.splitlines())}
    largest = max(sizes, key=lambda path: sizes[path], default="none")
    assert measure("logs.largest", sizes.get(largest, 0), "B") < limits.logs.size, f'"{largest}" was not rotated'


async def _disks(host, facts):
    """The disks below the paths of the system, each once, by the name of its measurement."""
    seen = [await host.disk(path) for path in dict.fromkeys((*facts.host.disks, facts.paths.root, facts.paths.backups))]
    return {f"disk.{disk.mount}": disk for disk in seen}
