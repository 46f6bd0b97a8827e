"""Whether a backup lies ready that is recent and good, here and off-site: without one, a deployment must not begin.

A backup is a folder named after its day with the files and a `manifest.json` that is written last: when it was made, and
size and SHA-256 of each file. A folder without manifest is a backup that did not finish, and does not count.
"""

import json
from datetime import datetime

import pytest
from pytest_runbook import check, clock


@check("predeploy daily", severity="P1", runbook="backup-missing", timeout=300, needs="host")
def test_recent_backup_is_good(host, facts, limits, measure):
    """The newest backup on the machine is recent, complete, not suspiciously small, and each file is what was written."""
    found = host.run("find %s -mindepth 2 -maxdepth 2 -name manifest.json", facts.paths.backups)
    assert found.stdout, f'there is no finished backup in "{facts.paths.backups}" {found.stderr.strip()}'
    manifests = [json.loads(host.file(path).content_string) for path in sorted(found.stdout.split())[-2:]]
    folder = max(found.stdout.split()).rpartition("/")[0]
    paths = {name: f"{folder}/{name}" for name in manifests[-1]["files"]}
    told = host.run("sha256sum /dev/null" + " %s" * len(paths), *paths.values()).stdout
    sums = {path: digest for digest, path in (line.split(maxsplit=1) for line in told.splitlines())}
    faults = list(_faults(manifests, {name: sums.get(path) for name, path in paths.items()}, facts))
    assert not faults, f'the newest backup, "{folder}", is not good: {"; ".join(faults)}'
    _recent(manifests, folder, limits, measure, "backup")


@check("predeploy daily", severity="P2", runbook="backup-missing", timeout=300)
async def test_recent_backup_is_off_site(storage, facts, limits, measure):
    """The newest backup in the bucket is recent and complete: it is what is left when the machine is not.

    Files above `limits.backup.read` are compared by their size only: reading them back every night would cost a fortune.
    """
    if not storage.settings.bucket:
        pytest.skip("the system has no off-site storage: probes.storage names no bucket")
    sizes = {item.key: item.size for item in await storage.objects(facts.backup.prefix)}
    found = sorted(key for key in sizes if key.endswith("/manifest.json"))[-2:]
    assert found, "there is no finished backup in the bucket"
    manifests = [json.loads(await storage.read(key)) for key in found]
    folder = found[-1].rpartition("/")[0]
    sums = {}
    for name, written in manifests[-1]["files"].items():
        key = f"{folder}/{name}"
        if sizes.get(key, 0) > limits.backup.read:
            sums[name] = written["sha256"] if sizes[key] == written["size"] else f"{sizes[key]} bytes"
        else:
            sums[name] = await storage.checksum(key) if key in sizes else None
    faults = list(_faults(manifests, sums, facts))
    assert not faults, f'the newest backup off-site, "{folder}", is not good: {"; ".join(faults)}'
    _recent(manifests, folder, limits, measure, "backup_off_site")


def _faults(manifests, sums, facts):
    """What is wrong with the newest of MANIFESTS, whose files have SUMS now; None stands for a file that is not there."""
    files = manifests[-1]["files"]
    yield from (f'"{name}" was not backed up' for name in facts.backup.files if name not in files)
    for name, written in files.items():
        if not written["size"]:
            yield f'"{name}" is empty'
        elif sums[name] is None:
            yield f'"{name}" is missing'
        elif sums[name] != written["sha256"]:
            yield f'"{name}" is not what was written'


def _recent(manifests, folder, limits, measure, name):
    made = datetime.fromisoformat(manifests[-1]["created"])
    age = measure(f"{name}.age", (clock.now() - made).total_seconds(), "s")
    assert age < limits.backup.age, f'the newest backup, "{folder}", is too old'
    sizes = [sum(file["size"] for file in manifest["files"].values()) for manifest in manifests]
    assert measure(f"{name}.size", sizes[-1], "B") >= limits.backup.size, "a backup this small holds nothing"
    shrunk = measure(f"{name}.to_previous", sizes[-1] / sizes[0], "ratio")
    assert shrunk >= limits.backup.shrink, "the newest backup is much smaller than the one before"
