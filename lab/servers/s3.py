"""The S3 server: SeaweedFS on loopback ports only, with the bucket of the backups."""

from __future__ import annotations

from http.client import HTTPConnection
from pathlib import Path

from lab import binaries
from lab.servers import Process, Server
from lab.site import HOST
from lab.waiting import NotReady

BUCKET = "nightscan-backups"
REGION = "us-east-1"


class Storage(Server):
    """`weed mini` with every port set: it opens well-known ones on all addresses otherwise."""

    name = "storage"
    ports = (
        "storage",
        "storage-grpc",
        *(f"storage-{part}{suffix}" for part in ("master", "volume", "filer") for suffix in ("", "-grpc")),
        "storage-admin",
    )
    fronted = True

    @property
    def data(self) -> Path:
        """Where objects lie."""
        return self.site.path("storage")

    @property
    def access_key(self) -> str:
        """The user's name, of the shape that AWS gives."""
        return f"AKIA{self.site.secret('storage-user')[:16].upper()}"

    @property
    def admin_grpc(self) -> int:
        """Its worker looks for the admin there, whatever that is told."""
        return self.site.port("storage-admin") + 10_000

    def prepare(self) -> None:
        """Its folders."""
        for folder in (self.data, self.site.path("storage-log")):
            folder.mkdir(mode=0o700, exist_ok=True)

    def process(self) -> Process:
        """All parts of the server in one process; credentials come by the environment."""
        environment = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.site.secret("storage"),
            "TMPDIR": str(self.site.path("storage-log")),
        }
        port = self.site.port
        ports = {
            f"{part}.port{suffix.replace('-', '.')}": port(f"storage-{part}{suffix}")
            for part in ("master", "volume", "filer")
            for suffix in ("", "-grpc")
        }
        options = {
            "dir": self.data,
            "ip": HOST,
            "ip.bind": HOST,
            **ports,
            "admin.port": port("storage-admin"),
            "admin.port.grpc": self.admin_grpc,
            "s3.port": port("storage"),
            "s3.port.grpc": port("storage-grpc"),
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "filer.localSocket": self.site.runtime / "filer.sock",
            "s3.localSocket": self.site.runtime / "s3.sock",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "admin.ui": "false",
            "webdav": "false",
            "bucket": BUCKET,
        }
        command = [str(binaries.seaweedfs()), "mini", *(f"-{key}={value}" for key, value in options.items())]
        return Process(command, self.data, environment)

    def ready(self) -> None:
        """It refuses a stranger with 403, which it can only when its users are loaded, and knows the bucket."""
        connection = HTTPConnection(HOST, self.site.port("storage"), timeout=3)
        try:
            connection.request("HEAD", f"/{BUCKET}")
            status = connection.getresponse().status
        finally:
            connection.close()
        if status != 403:
            raise NotReady(f"HTTP status {status}")

    def clean(self) -> None:
        """It makes sockets in /tmp, whatever TMPDIR says, and removes them only on an orderly end."""
        ports = {part: self.site.port(f"storage-{part}-grpc") for part in ("master", "volume", "filer")}
        for part, port in {**ports, "s3": self.site.port("storage-grpc"), "admin": self.admin_grpc}.items():
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)
