"""`python -m lab.ml`: serve the prediction service until SIGTERM."""

from __future__ import annotations

from lab.ml.app import create
from lab.serving import server, versions
from lab.serving.environment import read


def main() -> None:
    """Serve with one process, as the real one does: its counts of predictions are one process's."""
    environment = read()
    versions.begin(environment, "ml")
    server.run(create(environment), environment.get("services.prediction_port", 8002), workers=1, threads=4)


if __name__ == "__main__":
    main()
