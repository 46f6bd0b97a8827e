"""Whether the machine protects what lies on it."""

from ipaddress import ip_network

from pytest_runbook import Unmeasured, check


@check("predeploy daily", severity="P2", runbook="folders-unusable")
def test_data_is_private(host, facts):
    """Strangers on the machine cannot change recordings, models, logs or backups, and cannot look into the backups."""
    folders = {name: host.file(facts.paths[name]) for name in facts.host.folders}
    modes = {name: folder.mode for name, folder in folders.items() if folder.is_directory}
    if not modes:
        raise Unmeasured("none of the system's folders is there: facts.paths names others")
    open_to_all = [f"{facts.paths[name]} ({mode:o})" for name, mode in modes.items() if mode & 0o002]
    assert not open_to_all, f"everybody may write to {', '.join(open_to_all)}"
    assert not modes.get("backups", 0) & 0o007, f"everybody may look into {facts.paths.backups}, which holds all data"


@check("predeploy daily", severity="P2", runbook="ports-exposed")
async def test_data_is_not_served_to_the_world(host, facts):
    """Database and cache listen where only this machine and trusted networks reach them: the world has no business there."""
    private = {port: name for name, port in facts.host.private_ports.items()}
    assert private, "facts.host.private_ports names no port"
    trusted = [ip_network(network, strict=False) for network in facts.host.private_networks]
    open_to_all = [
        f"{private[seen.port]} at {seen.address}:{seen.port}"
        for seen in await host.ports()
        if seen.port in private and seen.public and not any(seen.ip in one for one in trusted)
    ]
    assert not open_to_all, f"other machines reach {', '.join(open_to_all)}"


@check("weekly", severity="P3", runbook="security-updates", unmeasured="P3")
async def test_security_updates(host, limits, measure):
    """No security update of the operating system waits to be installed (guide G30)."""
    waiting = (await host.packages_upgradable(limits.host.package_lists_age)).security
    assert measure("host.security_updates", len(waiting)) <= limits.host.security_updates, (
        f"not installed: {', '.join(f'{update.name} {update.version}' for update in waiting[:10])}"
    )


@check("weekly", severity="P3", runbook="security-updates")
def test_no_restart_is_due(host, facts):
    """No update that is installed waits for a restart of the machine to take effect."""
    assert not host.file(facts.paths.restart_required).exists, "the machine still runs what updates have replaced"
