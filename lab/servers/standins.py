"""The stand-in services: web, ml and the traffic of their users, told everything by their environment."""

from __future__ import annotations

import subprocess
import sys
from http.client import HTTPConnection, HTTPException
from typing import ClassVar

from lab import home
from lab.servers import REPOSITORY, Process, Server
from lab.site import HOST, LabError, Site
from lab.waiting import NotReady


def environment(site: Site) -> dict[str, str]:
    """What every service is given, as its container would be."""
    return {**home.variables(site), "NIGHTSCAN_CONFIG_FILE": str(home.config_file(site)), "LAB_DIR": str(site.folder)}


class Service(Server):
    """A stand-in that answers HTTP."""

    fronted = True

    def process(self) -> Process:
        """The module `lab.NAME`."""
        return Process.of_module(f"lab.{self.name}", environment={**environment(self.site), "LAB_WEB_WORKERS": "2"})

    def ready(self) -> None:
        """Its process answers."""
        connection = HTTPConnection(HOST, self.site.port(self.name), timeout=3)
        try:
            connection.request("GET", "/health")
            status = connection.getresponse().status
        except HTTPException as error:
            raise NotReady(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if status != 200:
            raise NotReady(f"HTTP status {status}")


class Web(Service):
    """The web application."""

    name = "web"
    ports: ClassVar[tuple[str, ...]] = ("web",)
    needs = ("database", "cache", "fault-proxy")


class Ml(Service):
    """The prediction API."""

    name = "ml"
    ports: ClassVar[tuple[str, ...]] = ("ml",)
    needs = ("cache", "fault-proxy")

    def prepare(self) -> None:
        """Train its model, and make the recordings that it is judged by."""
        models = self.site.home / "models"
        if (models / "metadata.json").is_file():
            return
        command = [sys.executable, "-m", "lab.ml.train", str(models), str(self.site.home / "data" / "evaluation")]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"the model was not trained\n{done.stderr.strip()}")


class Traffic(Server):
    """Users: their requests make the figures move."""

    name = "traffic"
    needs = ("web", "ml")

    def process(self) -> Process:
        """The module `lab.traffic`; through the fault proxy, so that users feel what checks see."""
        addresses = {"LAB_WEB_URL": self._url("web"), "LAB_ML_URL": self._url("ml")}
        return Process.of_module("lab.traffic", environment={**environment(self.site), **addresses})

    def _url(self, name: str) -> str:
        return f"http://{HOST}:{self.site.front(name)}"

    def ready(self) -> None:
        """It runs: that is all it has to do."""
