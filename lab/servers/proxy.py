"""The HTTPS proxy: nginx before web and ml, with the lab's certificate, a redirect and the security headers."""

from __future__ import annotations

import os
from http.client import HTTPConnection

from lab import binaries
from lab.servers import Process, Server
from lab.site import HOST, write_private
from lab.tls import certificate_files
from lab.waiting import NotReady

HEADERS = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'self'",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}


class Proxy(Server):
    """nginx in the foreground."""

    name = "proxy"
    ports = ("proxy", "proxy-http")
    fronted = True

    def prepare(self) -> None:
        """Write its configuration."""
        self.site.path("proxy").mkdir(mode=0o700, exist_ok=True)
        write_private(self.site.path("proxy", "nginx.conf"), self.configuration())

    def process(self) -> Process:
        """Errors go to the supervisor's log."""
        folder = self.site.path("proxy")
        command = [str(binaries.nginx()), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
        return Process(command, folder, stop_signal="TERM")

    def configuration(self, headers: dict[str, str] = HEADERS) -> str:
        """The file; HEADERS are added to every answer."""
        folder, port, front = self.site.path("proxy"), self.site.port, self.site.front
        certificate, key = certificate_files(self.site)
        added = "\n".join(f'        add_header {name} "{value}" always;' for name, value in headers.items())
        temporary = "\n".join(
            f'    {kind}_temp_path "{folder}/{kind}";' for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""\
daemon off;
pid "{folder}/nginx.pid";
{"user root root;" if os.geteuid() == 0 else ""}
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log "{folder}/access.log";
{temporary}
    server_tokens off;
    client_max_body_size 100m;
    proxy_set_header Host $host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-Proto https;
    proxy_connect_timeout 5s;
    proxy_read_timeout 30s;
    server {{
        listen {HOST}:{port("proxy-http")};
        return 301 https://$host:{front("proxy")}$request_uri;
    }}
    server {{
        listen {HOST}:{port("proxy")} ssl;
        ssl_certificate "{certificate}";
        ssl_certificate_key "{key}";
        ssl_protocols TLSv1.2 TLSv1.3;
{added}
        location / {{ proxy_pass http://{HOST}:{front("web")}; }}
        location /predict/ {{ proxy_pass http://{HOST}:{front("ml")}; }}
        location /models/ {{ proxy_pass http://{HOST}:{front("ml")}; }}
    }}
}}
"""

    def ready(self) -> None:
        """It redirects."""
        connection = HTTPConnection(HOST, self.site.port("proxy-http"), timeout=3)
        try:
            connection.request("GET", "/")
            status = connection.getresponse().status
        finally:
            connection.close()
        if status != 301:
            raise NotReady(f"HTTP status {status}")
