"""Runbooks as files: found by walking a folder, read without running anything, loaded to have their steps."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from pytest_runbook.errors import UsageError, unknown
from pytest_runbook.files import told
from pytest_runbook.runbooks.steps import Stage, StepSpec


@dataclass(frozen=True)
class Runbook:
    """What a person does, and what is done for that person."""

    id: str
    text: str
    """Its docstring, the runbook for people."""
    steps: tuple[StepSpec, ...]
    """In the order in which they are tried; none: only a person can do it."""

    @property
    def title(self) -> str:
        """The first line."""
        return self.text.strip().partition("\n")[0]

    @property
    def ladder(self) -> tuple[StepSpec, ...]:
        """The steps that change something, mildest first."""
        return tuple(step for step in self.steps if step.stage != Stage.DIAGNOSE)


def texts(folder: Path) -> dict[str, str]:
    """Every runbook in FOLDER: the name of its file, and its docstring, the text for people. Nothing is executed."""
    return {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in _files(folder)}


def load(folder: Path, name: str) -> Runbook:
    """The runbook NAME of FOLDER with its steps; raises UsageError with every fault of it."""
    path = folder / f"{name}.py"
    if path not in _files(folder):
        raise UsageError(unknown("runbook", name, [known.stem for known in _files(folder)]))
    module = _module(path)
    steps = tuple(value for value in vars(module).values() if isinstance(value, StepSpec))
    if wrong := [f'runbook "{name}": {fault}' for fault in _faults(steps)]:
        raise UsageError("\n".join(wrong))
    return Runbook(name, (module.__doc__ or "").strip(), steps)


def faults(folder: Path) -> list[str]:
    """What is wrong with the runbooks of FOLDER: a run that may need them stops before it begins."""
    found = []
    try:
        files = _files(folder)
    except UsageError as error:
        return [str(error)]
    for path in files:
        try:
            load(folder, path.stem)
        except UsageError as error:
            found.append(str(error))
    return found


def _files(folder: Path) -> list[Path]:
    try:
        there = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:  # a folder that is closed to us has runbooks all the same
        raise UsageError(told(str(folder), error)) from None
    return [path for path in there if path.suffix == ".py" and not path.name.startswith("_")]


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"runbook_{path.stem.replace('-', '_')}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f'"{path}" is not a Python file')
    module = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a file can raise anything while it is imported
        raise UsageError(f'runbook "{path.stem}" cannot be loaded: {type(error).__name__}: {error}') from error
    finally:
        sys.dont_write_bytecode = writes
    return module


def _faults(steps: tuple[StepSpec, ...]) -> Iterator[str]:
    names = [step.name for step in steps]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield f'the step "{twice[0]}" is declared twice'
    order = list(Stage)
    for before, after in pairwise(steps):
        if order.index(after.stage) < order.index(before.stage):
            yield (
                f'the step "{after.name}" ({after.stage}) comes after "{before.name}" ({before.stage})\n'
                "  hint: diagnose, then correct, then the last resort"
            )
        elif after.risk.level < before.risk.level:
            yield (
                f'the step "{after.name}" ({after.risk}) comes after the riskier "{before.name}" ({before.risk})\n'
                "  hint: the mildest first"
            )
