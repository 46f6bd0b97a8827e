"""The environment of a step's programs: where things are, and the situation; never what the run itself was told."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from pytest_runbook.runbooks.order import Order
from pytest_runbook.settings.secrets import inside, is_secret
from pytest_runbook.settings.tables import Table, leaves

PASSED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
    # How `systemctl --user`, ssh's agent and the docker and kubectl clients are found: addresses, no passwords.
    *("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"),
    *("DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "KUBECONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    # What the clients of databases and buckets take when the settings leave it to them; a password only by its file.
    *("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGSSLMODE", "PGSSLCERT"),
    *("PGSSLKEY", "PGSSLROOTCERT", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE"),
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"),
)
"""Variables of the run that its programs get as well."""
DEFAULTS = {"PATH": os.defpath, "LANG": "C.UTF-8"}
SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where the programs of administrators are; a job of cron has none of these in its PATH."""


def plain(environ: Mapping[str, str]) -> dict[str, str]:
    """What of ENVIRON a program needs to find things."""
    given = DEFAULTS | {name: environ[name] for name in PASSED if name in environ}
    places = given["PATH"].split(os.pathsep)
    return {**given, "PATH": os.pathsep.join([*places, *(place for place in SYSTEM if place not in places)])}


def told(order: Order) -> dict[str, str]:
    """The situation as variables that scripts read: `RUNBOOK_SERVICE`, `RUNBOOK_FACT_PATHS_LOGS`, `RUNBOOK_LIMIT_HOST_DISK`."""
    at = order.situation
    named = {"ID": at.runbook, "STEP": order.step, "SERVICE": at.service, "CHECKS": " ".join(at.checks)}
    named |= {"RUN": at.run, "ENVIRONMENT": at.environment, "ROOT": str(order.root)}
    values = {**named, **_flat("FACT", at.facts), **_flat("LIMIT", at.limits)}
    return {f"RUNBOOK_{name}": value for name, value in values.items()}


def _flat(prefix: str, table: Table) -> dict[str, str]:
    """Each value of TABLE by its dotted key in upper case; what is no letter and no figure becomes `_`."""
    return {
        re.sub(r"[^A-Z0-9]", "_", "_".join((prefix, *path)).upper()): _text(value)
        for path, value in leaves(table)
        if path and not _is_secret(path[-1], value)
    }


def _is_secret(name: str, value: Any) -> bool:
    return is_secret(name, value) or any(inside(_text(value)))


def _text(value: Any) -> str:
    match value:
        case None | Mapping():
            return ""
        case bool():
            return str(value).lower()
        case list() | tuple():
            return os.pathsep.join(map(_text, value))
        case _:
            return str(value)
