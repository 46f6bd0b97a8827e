"""`python -m lab.web`: serve the web application until SIGTERM."""

from __future__ import annotations

from lab.serving import server, versions
from lab.serving.environment import read
from lab.web import services
from lab.web.app import create


def main() -> None:
    """Serve with `LAB_WEB_WORKERS` processes (3), as the environment says; on `LAB_PORT`, if it names another port."""
    environment = read()
    versions.begin(environment, "web")
    app = create(environment)
    database = services.of(app).database

    def started() -> None:
        database.pool.open()
        app.logger.info("worker started", extra={"version": environment.version})

    server.run(
        app,
        int(environment.variables.get("LAB_PORT") or environment.get("services.web_port", 8000)),
        workers=int(environment.variables.get("LAB_WEB_WORKERS", "3")),
        threads=4,
        started=started,
    )


if __name__ == "__main__":
    main()
