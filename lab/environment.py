"""What a run of checks needs to find the lab: the system's own variables, and the settings' where those differ."""

from __future__ import annotations

import shlex

from lab import home, tls
from lab.servers import smtp
from lab.servers.s3 import BUCKET, REGION
from lab.site import HOST, Site, write_private


def environment(site: Site) -> dict[str, str]:
    """Every variable; all addresses are the fault proxy's."""
    endpoint = f"http://{HOST}:{site.front('storage')}"
    web, ml = (f"http://{HOST}:{site.front(name)}" for name in ("web", "ml"))
    return {
        **home.variables(site),
        "NIGHTSCAN_CONFIG_FILE": str(home.config_file(site)),
        "NIGHTSCAN_ENV_FILE": str(home.env_file(site)),
        "AWS_ENDPOINT_URL_S3": endpoint,
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
        "RUNBOOK__PROBES__LOGS__PATH": str(site.home / "logs" / "nightscan.log"),
        "RUNBOOK__FACTS__PATHS__ROOT": str(site.home),
        "RUNBOOK__FACTS__PATHS__BACKUPS": str(site.home / "backups"),
        "RUNBOOK__FACTS__PATHS__UPLOADS": str(site.home / "uploads"),
        "RUNBOOK__FACTS__PATHS__MODELS": str(site.home / "models"),
        "RUNBOOK__FACTS__PATHS__EVALUATION": str(site.home / "data" / "evaluation"),
        "RUNBOOK__FACTS__PATHS__LOGS": str(site.home / "logs"),
        "RUNBOOK__FACTS__PATHS__COMPOSE": str(home.compose_file(site)),
        "RUNBOOK__FACTS__PATHS__CERTIFICATE": str(tls.certificate_files(site)[0]),
        "RUNBOOK__MAIL__HOST": HOST,
        "RUNBOOK__MAIL__PORT": str(site.front("mail")),
        "RUNBOOK__MAIL__USER": smtp.USER,
        "RUNBOOK__MAIL__PASSWORD": site.secret("mail"),
        "RUNBOOK__MAIL__SECURITY": "starttls",
        "RUNBOOK__MAIL__CA_FILE": str(tls.authority_file(site)),
    }


def write(site: Site) -> None:
    """Write `environment.sh`, to be sourced by a shell; the owner's only, since it holds every secret."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment(site).items()]
    write_private(site.path("environment.sh"), "\n".join(lines) + "\n")
