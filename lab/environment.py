"""What a run of checks needs to find the lab: the system's own variables, and the settings' where those differ."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from lab import binaries, home, packages, past, tls
from lab.servers import REPOSITORY, ntp, smtp
from lab.servers.postgresql import INDEXES
from lab.servers.proxy import Proxy
from lab.servers.redis import MEMORY, SAVE
from lab.servers.s3 import BUCKET, REGION
from lab.servers.standins import CANARY, WEB_WORKERS
from lab.site import HOST, Site, write_private


def environment(site: Site) -> dict[str, str]:
    """Every variable; all addresses are the fault proxy's."""
    endpoint = f"http://{HOST}:{site.front('storage')}"
    web, ml = (f"http://{HOST}:{site.front(name)}" for name in ("web", "ml"))
    return {
        # A shell would keep telling the version of when it read this, whatever is deployed since: that stands in `.env`.
        **{name: value for name, value in home.read_env(site).items() if name not in (home.VERSION, home.PREVIOUS)},
        "NIGHTSCAN_CONFIG_FILE": str(home.config_file(site)),
        "NIGHTSCAN_ENV_FILE": str(home.env_file(site)),
        "AWS_ENDPOINT_URL_S3": endpoint,
        "APT_CONFIG": str(packages.configuration(site)),
        "RUNBOOK__PROBES__WEB__URL": web,
        "RUNBOOK__PROBES__ML__URL": ml,
        "RUNBOOK__PROBES__METRICS__URL": f"{web}/metrics",
        "RUNBOOK__PROBES__DATABASE__URI": home.database_uri(site),
        "RUNBOOK__PROBES__STANDBY__URI": home.database_uri(site, "standby"),
        "RUNBOOK__PROBES__CACHE__URI": home.redis_url(site),
        "RUNBOOK__PROBES__STORAGE__ENDPOINT_URL": endpoint,
        "RUNBOOK__PROBES__STORAGE__BUCKET": BUCKET,
        "RUNBOOK__PROBES__STORAGE__REGION": REGION,
        "RUNBOOK__PROBES__PROXY__URL": f"https://localhost:{site.front('proxy')}",
        "RUNBOOK__PROBES__PROXY__CA_FILE": str(tls.authority_file(site)),
        "RUNBOOK__PROBES__LOGS__FOLDER": str(site.home / "logs"),
        "RUNBOOK__PROBES__RUNS__FOLDER": past.folder(site),
        "RUNBOOK__PROBES__HOST__NTP_SERVER": f"{HOST}:{site.port('ntp')}",
        **{f"RUNBOOK__FACTS__PATHS__{name}": str(path) for name, path in paths(site).items()},
        "RUNBOOK__FACTS__HOST__DISKS": json.dumps([str(site.home)]),
        "RUNBOOK__FACTS__CACHE__REPLICAS": "1",
        "RUNBOOK__FACTS__WEB__WORKERS": str(WEB_WORKERS),
        "RUNBOOK__FACTS__PROXY__DOMAIN": tls.NAMES[0],
        "RUNBOOK__FACTS__PROXY__PLAIN_URL": f"http://localhost:{site.port('proxy-http')}",
        **_remedies(site),
        # What was tried on this lab is of no concern to the next one.
        "RUNBOOK__HISTORY__URL": f"sqlite:///{site.path('history.db')}",
        "RUNBOOK__RESTORE__JOURNAL": str(site.path("restores")),
        **_managers(site),
        **_canaries(site),
        **_backup(site),
        **_drill(site),
        "RUNBOOK__FACTS__DEPLOY__ENGINE": "",
        "RUNBOOK__FACTS__SECRETS__FILES": json.dumps(
            [".env", "config/production.json", str(tls.certificate_files(site)[1])]
        ),
        # A laptop that does other work meanwhile is no server that is ill.
        "RUNBOOK__LIMITS__HOST__MEMORY": "0.95",
        "RUNBOOK__LIMITS__HOST__DISK": "0.95",
        "RUNBOOK__LIMITS__HOST__LOAD": "20",
        "RUNBOOK__LIMITS__CACHE__LATENCY": "0.25",
        "RUNBOOK__LIMITS__QUEUE__JOB": "5",
        "RUNBOOK__LIMITS__DEPLOY__DISK_ROOM": str(2**30),
        "RUNBOOK__MAIL__HOST": HOST,
        "RUNBOOK__MAIL__PORT": str(site.front("mail")),
        "RUNBOOK__MAIL__USER": smtp.USER,
        "RUNBOOK__MAIL__PASSWORD": site.secret("mail"),
        "RUNBOOK__MAIL__SECURITY": "starttls",
        "RUNBOOK__MAIL__CA_FILE": str(tls.authority_file(site)),
        **_changed(site),
    }


def _remedies(site: Site) -> dict[str, str]:
    """What runbooks use; nothing that belongs to the machine itself: its clock, its journal, its own logs."""
    nginx = Proxy(site).process().command
    return {
        "RUNBOOK__FACTS__PATHS__SYSTEM_LOGS": "",
        "RUNBOOK__FACTS__HOST__JOURNAL": "false",
        "RUNBOOK__FACTS__HOST__CLOCK_RESTART": json.dumps(ntp.correct(site)),
        "RUNBOOK__FACTS__HOST__CLOCK_CONFIGURATION": json.dumps(["true"]),
        "RUNBOOK__FACTS__HOST__CLOCK_STEP": json.dumps(ntp.correct(site)),
        "RUNBOOK__FACTS__DATABASE__INDEXES": json.dumps(INDEXES),
        "RUNBOOK__FACTS__LOGS__LOGROTATE": "",
        "RUNBOOK__FACTS__CACHE__SAVE": SAVE,
        "RUNBOOK__FACTS__CACHE__MEMORY_MOST": str(2 * MEMORY),
        "RUNBOOK__FACTS__PROXY__TEST": json.dumps([*nginx, "-t"]),
        "RUNBOOK__FACTS__PROXY__RELOAD": json.dumps([*nginx, "-s", "reload"]),
        "RUNBOOK__FACTS__PROXY__RENEWAL": json.dumps(
            ["env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "lab.tls", str(site.folder)]
        ),
    }


def _backup(site: Site) -> dict[str, str]:
    """Where the things are that a backup holds, and the programs that make and read one."""
    roots = {
        "UPLOADS": site.home / "uploads",
        "MODELS": site.home / "models",
        "CONFIG": site.home / "config",
        "ENVIRONMENT": home.env_file(site),
    }
    return {
        "RUNBOOK__BACKUP__DESTINATIONS__LOCAL__PATH": str(site.home / "backups"),
        **{f"RUNBOOK__BACKUP__FILES__ROOTS__{name}": str(path) for name, path in roots.items()},
        "RUNBOOK__BACKUP__PROGRAMS__POSTGRESQL": str(binaries.postgresql()),
        "RUNBOOK__BACKUP__PROGRAMS__REDIS": str(binaries.redis()),
    }


def _managers(site: Site) -> dict[str, str]:
    """Who starts and stops the services: the lab's supervisord, which knows them by our own names."""
    services = ("web", "ml", "database", "standby", "cache", "replica", "storage", "proxy", "worker")
    return {
        **_manager(site, "LAB", home.env_file(site)),
        **{f"RUNBOOK__SERVICES__{name.upper()}__MANAGER": "lab" for name in services},
        **{f"RUNBOOK__SERVICES__{name.upper()}__UNIT": name for name in services},
    }


def _manager(site: Site, name: str, variables: Path) -> dict[str, str]:
    """The supervisord as the manager NAME, whose programs read their version in the file VARIABLES."""
    return {
        f"RUNBOOK__MANAGERS__{name}__KIND": "supervisor",
        f"RUNBOOK__MANAGERS__{name}__COMMAND": json.dumps([sys.executable, "-m", "supervisor.supervisorctl"]),
        f"RUNBOOK__MANAGERS__{name}__CONFIG": str(site.path("supervisor", "supervisord.conf")),
        f"RUNBOOK__MANAGERS__{name}__ENV_FILE": str(variables),
    }


def _canaries(site: Site) -> dict[str, str]:
    """Who runs web and ml a second time, and where those answer."""
    web, ml = (f"http://{HOST}:{site.port(name + CANARY)}" for name in ("web", "ml"))
    return {
        **_manager(site, "CANARIES", home.canary_file(site)),
        **{f"RUNBOOK__DEPLOY__CANARY__{name}__MANAGER": "canaries" for name in ("WEB", "ML")},
        **{f"RUNBOOK__DEPLOY__CANARY__{name.upper()}__UNIT": name + CANARY for name in ("web", "ml")},
        "RUNBOOK__DEPLOY__CANARY__WEB__PROBES__WEB": web,
        "RUNBOOK__DEPLOY__CANARY__WEB__PROBES__METRICS": f"{web}/metrics",
        "RUNBOOK__DEPLOY__CANARY__ML__PROBES__ML": ml,
    }


def _drill(site: Site) -> dict[str, str]:
    """Who may replace the database, and how web is started on what a drill has restored."""
    web = {
        "PYTHONPATH": str(REPOSITORY),
        "NIGHTSCAN_DATABASE_URI": "{database}",
        "REDIS_URL": "{cache}",
        "SECRET_KEY": site.secret("secret-key"),
        "LAB_DIR": "{files}",
        "LAB_PORT": "{port}",
        "LAB_WEB_WORKERS": "1",
    }
    admin = f"postgresql://postgres:{site.secret('database-admin')}@{HOST}:{site.port('database')}/postgres"
    return {
        "RUNBOOK__RESTORE__ADMIN": admin,
        "RUNBOOK__DRILL__SERVICE__COMMAND": json.dumps([sys.executable, "-m", "lab.web"]),
        "RUNBOOK__DRILL__SERVICE__ENVIRONMENT": json.dumps(web),
    }


def paths(site: Site) -> dict[str, Path]:
    """Where the things are that lie below /opt/nightscan on a real machine."""
    return {
        "ROOT": site.home,
        "CONFIG": site.home / "config",
        "UPLOADS": site.home / "uploads",
        "MODELS": site.home / "models",
        "LOGS": site.home / "logs",
        "BACKUPS": site.home / "backups",
        "EVALUATION": site.home / "data" / "evaluation",
        "COMPOSE": home.compose_file(site),
        "CERTIFICATE": tls.certificate_files(site)[0],
        "RESTART_REQUIRED": site.home / "restart-required",
        "CACHE": site.home / "cache",
    }


def _changed(site: Site) -> dict[str, str]:
    """The settings that faults in place have changed."""
    changes = {key: value for broken in site.state.broken.values() for key, value in broken.settings.items()}
    return {f"RUNBOOK__{key.upper().replace('.', '__')}": json.dumps(value) for key, value in changes.items()}


def write(site: Site) -> None:
    """Write `environment.sh`, to be sourced by a shell; the owner's only, since it holds every secret."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment(site).items()]
    write_private(site.path("environment.sh"), "\n".join(lines) + "\n")
