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
        """It refuses a stranger, which it can only when its users are loaded, and shows its user the bucket."""
        for visitor, headers, expected in (("a stranger", {}, 403), ("the user", self._signature(), 200)):
            connection = HTTPConnection(HOST, self.site.port("storage"), timeout=3)
            try:
                connection.request("HEAD", f"/{BUCKET}", headers=headers)
                status = connection.getresponse().status
            finally:
                connection.close()
            if status != expected:
                raise NotReady(f"HTTP status {status} to {visitor}")

    def _signature(self) -> dict[str, str]:
        """Headers by which its user asks for the bucket."""
        # botocore takes 0.15 s to import, which only those who start the server shall wait for.
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest("HEAD", f"http://{HOST}:{self.site.port('storage')}/{BUCKET}")
        S3SigV4Auth(Credentials(self.access_key, self.site.secret("storage")), "s3", REGION).add_auth(request)
        return dict(request.headers.items())

    def clean(self) -> None:
        """It makes sockets in /tmp, whatever TMPDIR says, and removes them only on an orderly end."""
        ports = {part: self.site.port(f"storage-{part}-grpc") for part in ("master", "volume", "filer")}
        for part, port in {**ports, "s3": self.site.port("storage-grpc"), "admin": self.admin_grpc}.items():
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)
