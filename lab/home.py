"""What /opt/nightscan holds on a real machine: configuration, secrets, compose file, folders; written at every start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lab.servers import smtp
from lab.servers.postgresql import DATABASE, ROLE
from lab.servers.s3 import BUCKET, REGION, Storage
from lab.site import HOST, Site, write_private

FOLDERS = ("config", "uploads", "models", "logs", "backups", "data/evaluation", "cache")
VERSION, PREVIOUS = "VERSION", "PREVIOUS_VERSION"
"""The version that is deployed, and the one before: they outlive a restart of the lab."""
COMPOSE = Path(__file__).with_name("docker-compose.production.yml")


def config_file(site: Site) -> Path:
    """What NIGHTSCAN_CONFIG_FILE names."""
    return site.home / "config" / "production.json"


def env_file(site: Site) -> Path:
    """The secrets that compose reads."""
    return site.home / ".env"


def canary_file(site: Site) -> Path:
    """The version of the canaries, which is not that of the services."""
    return site.home / "canary.env"


def compose_file(site: Site) -> Path:
    """How the system is deployed."""
    return site.home / "docker-compose.production.yml"


def database_uri(site: Site, server: str = "database") -> str:
    """The URI through the fault proxy, as the application's role."""
    return f"postgresql://{ROLE}:{quote(site.secret('database'))}@{HOST}:{site.front(server)}/{DATABASE}"


def redis_url(site: Site) -> str:
    """The URL through the fault proxy."""
    return f"redis://:{quote(site.secret('cache'))}@{HOST}:{site.front('cache')}/0"


def write(site: Site) -> None:
    """Write the whole tree; data that is there stays."""
    for folder in FOLDERS:
        (site.home / folder).mkdir(mode=0o750, parents=True, exist_ok=True)
    write_private(config_file(site), json.dumps(configuration(site), indent=2) + "\n")
    before = read_env(site)
    deployed = {name: before[name] for name in (VERSION, PREVIOUS) if name in before}
    write_private(env_file(site), env_text({**variables(site), **deployed}))
    if not canary_file(site).exists():
        write_private(canary_file(site), f"{VERSION}={site.state.release}\n")
    write_private(compose_file(site), COMPOSE.read_text(), mode=0o644)


def env_text(values: Mapping[str, str]) -> str:
    """The text of an `.env` file."""
    return "# Production secrets: readable by the owner only.\n" + "".join(
        f"{name}={value}\n" for name, value in values.items()
    )


def read_env(site: Site) -> dict[str, str]:
    """The variables that `.env` holds now, also when a fault has changed it or taken it away."""
    path = env_file(site)
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def variables(site: Site) -> dict[str, str]:
    """The content of `.env`."""
    return {
        "NIGHTSCAN_ENV": "production",
        "NIGHTSCAN_DATABASE_URI": database_uri(site),
        "REDIS_URL": redis_url(site),
        "SECRET_KEY": site.secret("secret-key"),
        "CSRF_SECRET_KEY": site.secret("csrf-secret-key"),
        "JWT_SECRET_KEY": site.secret("jwt-secret-key"),
        "DB_PASSWORD": site.secret("database"),
        "REDIS_PASSWORD": site.secret("cache"),
        "DOMAIN_NAME": "nightscan.example",
        "ADMIN_EMAIL": "admin@nightscan.example",
        "SMTP_HOST": HOST,
        "SMTP_PORT": str(site.front("mail")),
        "SMTP_USER": smtp.USER,
        "SMTP_PASSWORD": site.secret("mail"),
        "VERSION": site.state.release,
        "AWS_ACCESS_KEY_ID": Storage(site).access_key,
        "AWS_SECRET_ACCESS_KEY": site.secret("storage"),
        "AWS_DEFAULT_REGION": REGION,
        "AWS_BACKUP_BUCKET": BUCKET,
    }


def configuration(site: Site) -> dict[str, Any]:
    """The content of `production.json`."""
    return {
        "database": {
            "host": HOST,
            "port": site.front("database"),
            "database": DATABASE,
            "username": ROLE,
            "password": site.secret("database"),
            "pool_size": 5,
            "max_overflow": 5,
            "pool_timeout": 5,
            "pool_recycle": 1800,
            "sslmode": "prefer",
            "sslcert": None,
            "sslkey": None,
            "sslrootcert": None,
        },
        "cache": {
            "host": HOST,
            "port": site.front("cache"),
            "database": 0,
            "username": None,
            "password": site.secret("cache"),
            "socket_timeout": 5,
            "max_connections": 20,
            "ssl": False,
        },
        "services": {
            "web_host": HOST,
            "web_port": site.port("web"),
            "prediction_port": site.port("ml"),
            "nginx_port": site.port("proxy-http"),
            "nginx_ssl_port": site.port("proxy"),
            "request_timeout": 30,
            "upload_timeout": 60,
            "max_file_size": 104857600,
        },
        "security": {
            "secret_key": site.secret("secret-key"),
            "jwt_secret": site.secret("jwt-secret-key"),
            "encryption_key": site.secret("encryption-key"),
            "session_timeout": 3600,
            "session_cookie_secure": True,
            "session_cookie_httponly": True,
            "session_cookie_samesite": "Lax",
            "csrf_enabled": True,
            "cors_enabled": True,
            "allowed_origins": ["https://nightscan.example"],
            "rate_limit_enabled": True,
            "debug": False,
        },
        "ml": {
            "models_directory": str(site.home / "models"),
            "cache_directory": str(site.home / "cache"),
            "data_directory": str(site.home / "data"),
            "audio_heavy_model": "audio_heavy.npz",
            "photo_heavy_model": None,
            "audio_model_classes": 6,
            "photo_model_classes": 8,
            "batch_size": 8,
            "inference_timeout": 5,
            "use_gpu": False,
            "gpu_memory_fraction": 0.8,
        },
        "logging": {
            "level": "INFO",
            "format": "json",
            "log_directory": str(site.home / "logs"),
            "log_filename": "nightscan.log",
            "max_file_size": 10485760,
            "backup_count": 5,
        },
        "monitoring": {"enable_metrics": True, "metrics_port": site.port("web"), "alerts_enabled": True},
    }
