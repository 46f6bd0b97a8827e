"""Containers of a Docker engine, through the docker client; podman's client does as well. A unit is a container, by its name."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import Field

from pytest_runbook.errors import ManagerError, NoVersion
from pytest_runbook.managers import Completed, Status
from pytest_runbook.managers._versions import VersionFile
from pytest_runbook.managers.base import ManagerSettings, UnitManager, worst

ENGINE = 15.0
"""Seconds that the engine gets to stop a container, beside the grace of the container."""
WANTED = (
    '{"state":{{json .State}},"image":{{json .Config.Image}},"digest":{{json .Image}},'
    '"name":{{json .Name}},"restarts":{{json .RestartCount}}}'
)
"""What is asked of a container: not its environment, which holds its secrets."""
TOLD_TO_END = (130, 137, 143)
"""Exit codes of SIGINT, SIGKILL and SIGTERM: that is how a container ends which was stopped."""
NOTHING = Completed(0, "")


class ContainerSettings(ManagerSettings):
    """Which engine."""

    docker: tuple[str, ...] = ("docker",)
    engine: str | None = None
    """Address of the engine, as DOCKER_HOST has it; none: as the client finds it."""


class DockerSettings(ContainerSettings):
    """Containers that were made by `docker run`."""

    run: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Unit to the arguments that make it, with `${VERSION}` (`version_variable`) for its version: a container cannot
    change its image, so to switch its version is to make it anew. No secret belongs here: `--env-file` reads them."""


C = TypeVar("C", bound=ContainerSettings)


class Containers(UnitManager[C]):
    """Units that are containers, however they are made."""

    @abstractmethod
    def _containers(self, unit: str) -> list[str]:
        """Ids of the containers of UNIT, whether they run or not."""

    def status(self, unit: str) -> Status:
        """How the containers of UNIT are: the worst of them."""
        return worst([status(container) for container in self._inspect(unit)])

    def discard(self, unit: str, timeout: float) -> None:
        """Stop UNIT, and remove its containers: one that is started again has the variables and the image of its time."""
        super().discard(unit, timeout)
        if found := self._containers(unit):
            self._must(self._docker("rm", *found, timeout=ENGINE))

    def logs(self, unit: str, lines: int = 50) -> str:
        """The last LINES of each of its containers."""
        # Both streams in the order in which they were written.
        command = 'exec "$@" 2>&1'
        said = (
            self._engine("sh", "-c", command, "logs", *self.settings.docker, "logs", f"--tail={lines}", container)
            for container in self._containers(unit)
        )
        return "\n".join(done.output.rstrip("\n") for done in said)

    def version(self, unit: str) -> str | None:
        """The tag of the image that its containers were made of; None when it has none, or they differ."""
        found = {tag(container["image"]) for container in self._inspect(unit)}
        return found.pop() if len(found) == 1 else None

    def _begin(self, unit: str, timeout: float) -> Completed:
        return self._docker("start", *self._containers(unit), timeout=timeout)

    def _end(self, unit: str, status: Status, grace: float) -> Completed:
        if not (found := self._containers(unit)):
            return NOTHING
        if status.pids:
            self._docker("kill", "--signal=CONT", *found)
        seconds = max(math.ceil(grace), 1)
        return self._docker("stop", f"-t={seconds}", *found, timeout=seconds + ENGINE)

    def _kill(self, unit: str, timeout: float) -> Completed:
        return self._docker("kill", *self._containers(unit), timeout=timeout)

    def _awake(self, unit: str) -> None:
        """Let its containers go on that are paused: nothing else can be done to them."""
        for container in self._inspect(unit):
            if container["state"].get("Paused"):
                self._docker("unpause", container["name"].removeprefix("/"))

    def _have(self, image: str, timeout: float) -> None:
        """See that IMAGE is on the machine; ManagerError when it cannot be had."""
        if self._docker("image", "inspect", "--format={{.Id}}", image).status == 0:
            return
        done = self._docker("pull", "--quiet", image, timeout=timeout)
        if done.status or done.timed_out:
            raise ManagerError(
                f'there is no image "{image}": {done.said or "it could not be pulled in time"}\n'
                f"  hint: publish that version, or switch to one that exists"
            )

    def _inspect(self, unit: str) -> list[dict[str, Any]]:
        found = self._containers(unit)
        if not found:
            return []
        done = self._docker("container", "inspect", f"--format={WANTED}", *found)
        if done.status and "no such container" not in done.errors.lower():  # one may go while we look
            self._must(done)
        return [json.loads(line) for line in done.output.splitlines() if line.strip()]

    def _listed(self, *options: str) -> list[tuple[str, str]]:
        """Id and name of the containers that OPTIONS choose."""
        said = self._must(self._docker("ps", "--all", "--no-trunc", *options, "--format={{.ID}} {{.Names}}"))
        return [(words[0], words[-1]) for line in said.splitlines() if (words := line.split())]

    def _docker(self, *words: str, timeout: float = 30.0) -> Completed:
        return self._engine(*self.settings.docker, *words, timeout=timeout)

    def _engine(self, *argv: str, timeout: float = 30.0) -> Completed:
        address = {"DOCKER_HOST": self.settings.engine} if self.settings.engine else None
        return self._command(*argv, timeout=timeout, environment=address)

    def _must(self, done: Completed) -> str:
        """What DONE answered; ManagerError when the engine did not do it."""
        if done.status or done.timed_out:
            raise ManagerError(
                f'the engine of the manager "{self.name}" does not do it: {done.said or "no answer in time"}\n'
                f"  hint: see that it runs and lets this user in, or correct managers.{self.name}"
            )
        return done.output


class Docker(Containers[DockerSettings]):
    """Containers, each by its name."""

    kind = "docker"
    Settings = DockerSettings

    def units(self) -> list[str]:
        """Names of the containers, and of those that the settings can make."""
        return sorted({name for _, name in self._listed()} | set(self.settings.run))

    def status(self, unit: str) -> Status:
        """How the container is; one that the settings can make and that is not there is stopped."""
        found = super().status(unit)
        made = found.state == "absent" and unit in self.settings.run
        return Status("stopped", detail="no container") if made else found

    def version_file(self, unit: str) -> VersionFile:
        """Where the version of UNIT stands; ManagerError when no container can be made of another one."""
        self._present(unit)
        where = f"managers.{self.name}.run.{unit}"
        if unit not in self.settings.run:
            raise NoVersion(
                f'the container "{unit}" cannot change its image "{self._inspect(unit)[0]["image"]}"\n'
                f"  hint: say how it is made, {where}, or leave it to compose"
            )
        if not any(self._mark in word for word in self.settings.run[unit]):
            raise NoVersion(
                f'what makes the container "{unit}" names no version\n'
                f'  hint: write its image as "NAME:{self._mark}" in {where}'
            )
        return super().version_file(unit)

    @property
    def _mark(self) -> str:
        """What stands for the version where a container is made."""
        return f"${{{self.settings.version_variable}}}"

    def _containers(self, unit: str) -> list[str]:
        return [identity for identity, name in self._listed() if name == unit]

    def _prepare(self, unit: str, timeout: float) -> None:
        """Make the container that is to come, beside the one that still runs."""
        words, coming = self._made(unit), f"{unit}.coming"
        if not words or self._is_made_by(coming, words):
            return
        self._docker("rm", "--force", coming)  # of a time before, when this did not come to its end
        if not self._is_made_by(unit, words):
            self._must(self._docker("create", f"--name={coming}", *words, timeout=timeout))

    def _begin(self, unit: str, timeout: float) -> Completed:
        self._awake(unit)
        if unit in self.settings.run:
            self._prepare(unit, timeout)
            if coming := self._containers(f"{unit}.coming"):
                self._docker("rm", *self._containers(unit))
                self._must(self._docker("rename", *coming, unit))
        return super()._begin(unit, timeout)

    def _is_made_by(self, name: str, words: list[str]) -> bool:
        return any(container["image"] in words for container in self._inspect(name))

    def _made(self, unit: str) -> list[str]:
        """The arguments that make UNIT, in the version that is wanted."""
        words = self.settings.run.get(unit, ())
        version = self.version_file(unit).current() if any(self._mark in word for word in words) else ""
        return [word.replace(self._mark, version) for word in words]


def status(container: Mapping[str, Any]) -> Status:
    """What the engine tells of one container."""
    state = container["state"]
    word, code = state["Status"], state.get("ExitCode", 0)
    image = f"{container['image']} {container['digest'][:19]}"
    health = (state.get("Health") or {}).get("Status")
    again = f"restarted {container['restarts']} times" if container["restarts"] else ""
    pids = (state["Pid"],) if state.get("Pid") else ()
    ended = [f"exit code {code}", *(["out of memory"] if state.get("OOMKilled") else []), state.get("Error", "")]

    def said(*words: str | None) -> str:
        return ", ".join(filter(None, (*words, image)))

    match word:
        case "running":
            return Status("running", _moment(state["StartedAt"]), said(health, again), pids)
        case "restarting":
            return Status("failed", _moment(state["FinishedAt"]), said(*ended, "ends again and again", again))
        case "created" | "paused":
            return Status(
                "stopped", None, said("never started" if word == "created" else word, state.get("Error")), pids
            )
    good = code == 0 or (code in TOLD_TO_END and not state.get("OOMKilled"))
    return Status("stopped" if good else "failed", _moment(state["FinishedAt"]), said(*ended), pids)


def tag(image: str) -> str | None:
    """The tag of IMAGE, `latest` when it names none; None for one that is named by its digest."""
    name, _, digest = image.partition("@")
    found = name.rpartition("/")[2].partition(":")
    if digest or found[0] == "sha256":
        return found[2] if digest and found[2] else None
    return found[2] or "latest"


def _moment(text: str) -> datetime | None:
    """When; None for the year 1, which means never."""
    moment = datetime.fromisoformat(text)
    return moment if moment.year > 1 else None
