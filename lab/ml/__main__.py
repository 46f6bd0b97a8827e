"""`python -m lab.ml`: serve the prediction service until SIGTERM."""

from __future__ import annotations

from lab.ml.app import create
from lab.serving import server, versions
from lab.serving.environment import read


def main() -> None:
    """Serve with one process, as the real one does: its counts of predictions are one process's; on `LAB_PORT` if it says so."""
    environment = read()
    versions.begin(environment, "ml")
    port = int(environment.variables.get("LAB_PORT") or environment.get("services.prediction_port", 8002))
    server.run(create(environment), port, workers=1, threads=4)


if __name__ == "__main__":
    main()
