"""Services of a compose project, through `docker compose` or, where that is not, `docker-compose`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import yaml

from pytest_runbook.errors import ManagerError, NoVersion
from pytest_runbook.managers import Completed, Run, Status
from pytest_runbook.managers._versions import VersionFile
from pytest_runbook.managers.docker import Containers, ContainerSettings

TAG = re.compile(r":\$(?:(?P<bare>\w+)|\{(?P<name>\w+)[^{}]*\})$")
"""The end of an image whose tag is a variable: `:$VERSION`, `:${VERSION:?the tag}`."""
PREFIX = "com.docker.compose"


class ComposeSettings(ContainerSettings):
    """Which project. A unit is a service of the compose file, and its version the variable in the tag of its image."""

    file: str
    project: str
    """Its name, as `docker compose ls` shows it."""
    command: tuple[str, ...] = ()
    """How compose is called; none: as it is found."""
    profiles: tuple[str, ...] = ()
    """Profiles of the file whose services are units too; each is still started only when it is named."""


class Compose(Containers[ComposeSettings]):
    """Services of one project, each by itself: what it depends on, and what depends on it, is never touched.

    A start or restart keeps the containers that are there, as `docker compose restart` does: what the files say by now may be
    tomorrow's release, or another number of containers. Only after `switch_version` they are made anew, as many as there were.
    """

    kind = "compose"
    Settings = ComposeSettings
    _services: tuple[str, ...] = ()
    """Those known so far: compose takes its time to tell."""

    def __init__(self, name: str, settings: ComposeSettings, run: Run) -> None:
        """See `UnitManager`."""
        super().__init__(name, settings, run)
        self._chosen: set[str] = set()
        """Units whose version was switched here, which counts more than what the file has on record."""

    @classmethod
    def by_hand(cls, settings: ComposeSettings) -> str:
        """Into the folder of its file, which is named, and so is the project: compose looks for other names by itself."""
        file, words = PurePosixPath(settings.file), {"COMPOSE_PROJECT_NAME": settings.project}
        words = {"COMPOSE_FILE": file.name, **words, **({"DOCKER_HOST": settings.engine} if settings.engine else {})}
        told = " ".join(f"{name}={shlex.quote(value)}" for name, value in words.items())
        return f"cd {shlex.quote(str(file.parent))} && export {told}"

    def units(self) -> list[str]:
        """Names of the services."""
        self._services = tuple(self._must(self._compose("config", "--services")).split())
        return list(self._services)

    def status(self, unit: str) -> Status:
        """How the containers of UNIT are; a service without one is stopped."""
        found = super().status(unit)
        if found.state == "absent" and (unit in self._services or unit in self.units()):
            return Status("stopped", detail="no container")
        return found

    def _containers(self, unit: str) -> list[str]:
        labels = {"project": self.settings.project, "service": unit, "oneoff": "False"}
        filters = [f"--filter=label={PREFIX}.{key}={value}" for key, value in labels.items()]
        return [identity for identity, _ in self._listed(*filters)]

    def switch_version(self, unit: str, version: str) -> None:
        """Have the next start or restart make UNIT anew, of VERSION."""
        super().switch_version(unit, version)
        self._chosen.add(unit)

    def _switched(self, unit: str) -> bool:
        """Whether somebody switched the version since the containers of UNIT were made: the file's record says from which."""
        try:
            file, runs = self.version_file(unit), self.version(unit)
            wanted = file.current()
            return wanted != runs and (unit in self._chosen or (runs is not None and file.previous() == runs))
        except ManagerError:  # without a version in the file there is nothing to switch to
            return False

    def _prepare(self, unit: str, timeout: float) -> None:
        if self._containers(unit) and not self._switched(unit):
            return
        service = self._service(unit)
        if "image" in service and "build" not in service:
            self._have(str(service["image"]), timeout)

    def _begin(self, unit: str, timeout: float) -> Completed:
        self._awake(unit)
        found = self._containers(unit)
        if found and not self._switched(unit):
            return self._docker("start", *found, timeout=timeout)
        as_many = ["--scale", f"{unit}={len(found)}"] if found else []
        return self._compose("up", "--detach", "--no-deps", *as_many, unit, timeout=timeout)

    def version_file(self, unit: str) -> VersionFile:
        """The variable in the tag of its image, in the file that compose reads."""
        image = str(self._service(unit, "--no-interpolate").get("image", ""))
        found = TAG.search(image)
        if not found:
            raise NoVersion(
                f'the image "{image}" of "{unit}" has no variable for its tag\n'
                f"  hint: write it as NAME:${{VERSION}} in {self.settings.file}"
            )
        return VersionFile(self._ask, self._variables, found["bare"] or found["name"])

    def _service(self, unit: str, *options: str) -> Mapping[str, Any]:
        """What compose makes of UNIT in its files."""
        try:
            whole = yaml.safe_load(self._must(self._compose("config", *options)))
            return dict(whole["services"][unit])
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise ManagerError(f'cannot read what compose says of "{unit}": {type(error).__name__}') from None

    @property
    def _variables(self) -> str:
        """The file of variables that compose reads."""
        return self.settings.env_file or str(PurePosixPath(self.settings.file).with_name(".env"))

    def _compose(self, *words: str, timeout: float = 60.0) -> Completed:
        # What this process has in its own environment, an earlier VERSION maybe, would go before the file.
        alone = ["env", *(word for name in self._names for word in ("-u", name))]
        files = [f"--file={self.settings.file}", *([f"--env-file={self._variables}"] if self.settings.env_file else [])]
        files += [f"--profile={profile}" for profile in self.settings.profiles]
        return self._engine(
            *alone, *self._client, f"--project-name={self.settings.project}", *files, *words, timeout=timeout
        )

    @cached_property
    def _names(self) -> list[str]:
        try:
            return VersionFile(self._ask, self._variables, self.settings.version_variable).names()
        except ManagerError:
            if self.settings.env_file:
                raise
            return []  # it need not have one

    @cached_property
    def _client(self) -> tuple[str, ...]:
        if self.settings.command:
            return self.settings.command
        for client in ((*self.settings.docker, "compose"), ("docker-compose",)):
            if self._engine(*client, "version").status == 0:
                return client
        raise ManagerError(
            f'the manager "{self.name}" finds no compose\n'
            f"  hint: install docker's compose plugin or docker-compose, or set managers.{self.name}.command"
        )
