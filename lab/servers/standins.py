"""The stand-in services: web, ml, the worker of the queues and the users, told everything by their environment."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from http.client import HTTPConnection, HTTPException

from lab import home
from lab.servers import REPOSITORY, Process, Server
from lab.site import HOST, LabError, Site
from lab.waiting import NotReady

WEB_WORKERS = 2
CANARY = "-canary"
"""The end of the names of those that run a service a second time."""


def environment(site: Site) -> dict[str, str]:
    """What every service is given, as its container would be; VERSION it gets when it starts."""
    told = {name: value for name, value in home.variables(site).items() if name != home.VERSION}
    return {**told, "NIGHTSCAN_CONFIG_FILE": str(home.config_file(site)), "LAB_DIR": str(site.folder)}


def module(server: Server, told: dict[str, str]) -> Process:
    """The process of SERVER, a module of ours, which is TOLD this beside what all are given."""
    made = Process.of_module(
        f"lab.{server.name.removesuffix(CANARY)}", environment={**environment(server.site), **told}
    )
    return replace(made, version_file=(home.canary_file if server.on_demand else home.env_file)(server.site))


class Service(Server):
    """A stand-in that answers HTTP."""

    fronted = True

    def process(self) -> Process:
        """The module `lab.NAME`."""
        return module(self, {"LAB_WEB_WORKERS": str(WEB_WORKERS), "LAB_PORT": str(self.site.port(self.name))})

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
    ports = ("web",)
    needs = ("database", "cache", "fault-proxy")


class Ml(Service):
    """The prediction API."""

    name = "ml"
    ports = ("ml",)
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


class WebCanary(Web):
    """The web application once more, in the version that a deployment tries first."""

    name = f"web{CANARY}"
    ports = (name,)
    fronted = False
    on_demand = True


class MlCanary(Ml):
    """The same of the prediction API."""

    name = f"ml{CANARY}"
    ports = (name,)
    fronted = False
    on_demand = True


class Background(Server):
    """A stand-in that nobody calls; it calls web and ml through the fault proxy, and so feels what checks see."""

    def process(self) -> Process:
        """The module `lab.NAME`."""
        front = self.site.front
        addresses = {"LAB_WEB_URL": f"http://{HOST}:{front('web')}", "LAB_ML_URL": f"http://{HOST}:{front('ml')}"}
        return module(self, addresses)

    def ready(self) -> None:
        """It runs: that is all it has to do."""


class Worker(Background):
    """Takes recordings and tasks from the queues."""

    name = "worker"
    needs = ("database", "ml")


class Traffic(Background):
    """Users: their requests make the figures move."""

    name = "traffic"
    needs = ("web", "ml")
