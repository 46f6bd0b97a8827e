"""What apt on the lab's machine knows: a world of its own with one package, so that a week's updates can be missing on demand."""

from __future__ import annotations

from pathlib import Path

from lab.site import Site, write_private

INSTALLED, NEWER = "3.0.17-1", "3.0.19-1"
SUITE = "security.nightscan.example_debian-security_dists_stable-security"
RELEASE = """Origin: Debian
Label: Debian-Security
Suite: stable-security
Codename: stable-security
Date: Sat, 01 Nov 2025 06:00:00 UTC
Architectures: amd64
Components: main
"""
PACKAGE = """Package: openssl
Version: {version}
Architecture: amd64
Maintainer: NightScan <admin@nightscan.example>
Filename: pool/openssl.deb
Size: 1
SHA256: {digest}
Description: the lab's only package

"""


def configuration(site: Site) -> Path:
    """What the variable APT_CONFIG names."""
    return site.path("apt", "apt.conf")


def write(site: Site) -> None:
    """Make apt's folders anew: the package is installed, and nothing newer is offered."""
    folder = site.path("apt")
    for name in (
        "lists/partial",
        "cache/archives/partial",
        "etc/preferences.d",
        "etc/apt.conf.d",
        "etc/sources.list.d",
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir": folder,
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Dir::Etc": folder / "etc",
        "APT::Architecture": "amd64",
    }
    write_private(configuration(site), "".join(f'{key} "{value}";\n' for key, value in settings.items()), mode=0o644)
    source = "deb [trusted=yes] http://security.nightscan.example/debian-security stable-security main\n"
    write_private(folder / "etc" / "sources.list", source, mode=0o644)
    installed = offer(INSTALLED).replace("\nArchitecture", "\nStatus: install ok installed\nArchitecture")
    write_private(folder / "status", installed, mode=0o644)
    write_private(folder / "lists" / f"{SUITE}_InRelease", RELEASE, mode=0o644)
    write_private(offers(site), offer(INSTALLED), mode=0o644)


def offers(site: Site) -> Path:
    """The list of packages that the security archive offers."""
    return site.path("apt", "lists", f"{SUITE}_main_binary-amd64_Packages")


def offer(version: str) -> str:
    """The entry of the package in a list."""
    return PACKAGE.format(version=version, digest="0" * 64)
