"""The JSON record: complete, valid against its published schema, and the schema says what the dataclasses say."""

from __future__ import annotations

import dataclasses
import json
import time
import types
import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pytest_runbook import model
from pytest_runbook.model import Outcome, RunRecord, Severity
from pytest_runbook.runbooks.steps import Stage
from pytest_runbook.runbooks.treatment import UNDO
from runbook_reports import record as renderer

SCHEMA: dict[str, Any] = json.loads(renderer.SCHEMA_FILE.read_text(encoding="utf-8"))
CLASSES = [
    model.Check,
    model.Measurement,
    model.Observation,
    model.Attempt,
    model.Waiver,
    model.Step,
    model.Result,
    model.RunRecord,
]
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_record_of_each_scenario_is_valid_and_complete(record: RunRecord, tmp_path: Path) -> None:
    (path,) = renderer.render(record, tmp_path)

    written = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    VALIDATOR.validate(written)
    read = RunRecord.from_json(written)
    assert [(r.check.nodeid, r.outcome) for r in read.results] == [(r.check.nodeid, r.outcome) for r in record.results]


def test_what_is_written_is_what_the_model_says(ill: RunRecord) -> None:
    written = json.loads(renderer.text(ill))

    assert written == json.loads(json.dumps(ill.to_json()))
    assert RunRecord.from_json(written) == ill


def test_a_record_written_before_there_were_runbooks_is_read(ill: RunRecord) -> None:
    written = json.loads(renderer.text(ill))
    del written["remediation"]
    for result in written["results"]:
        del result["remediation"], result["recurred"]
        result["steps"] = []

    read = RunRecord.from_json(written)

    assert read.remediation == "off"
    assert {(result.remediation, result.recurred) for result in read.results} == {("", "")}


def test_members_that_a_later_writer_adds_are_left_out(ill: RunRecord) -> None:
    written = json.loads(renderer.text(ill))
    for shape in (written, *written["results"], *(step for result in written["results"] for step in result["steps"])):
        shape["later"] = 1

    assert RunRecord.from_json(written) == ill


def test_numbers_that_json_cannot_say_become_null(hostile: RunRecord) -> None:
    written = json.loads(renderer.text(hostile), parse_constant=_refuse)

    assert written["results"][0]["measurements"][0]["value"] is None
    assert written["results"][0]["evidence"][0]["answer"]["worst"] is None


def test_each_result_is_on_a_line_of_its_own(ill: RunRecord) -> None:
    lines = renderer.text(ill).splitlines()

    first = lines.index('"results": [') + 1
    read = [json.loads(line.rstrip(",")) for line in lines[first : first + len(ill.results)]]
    assert [item["check"]["id"] for item in read] == [result.check.id for result in ill.results]


def test_ten_thousand_results_take_little_time(large: RunRecord) -> None:
    begun = time.process_time()
    renderer.text(large)
    assert time.process_time() - begun < 3


def test_the_schema_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_schema_and_dataclass_name_the_same_members(kind: type) -> None:
    definition = SCHEMA["$defs"][kind.__name__]
    names = [field.name for field in dataclasses.fields(kind)]

    assert list(definition["properties"]) == names
    assert definition["required"] == names
    assert definition["additionalProperties"] is False


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_schema_and_dataclass_agree_on_types(kind: type) -> None:
    properties = SCHEMA["$defs"][kind.__name__]["properties"]

    for name, hint in typing.get_type_hints(kind).items():
        assert _allowed(properties[name]) == _expected(kind, name, hint), f"{kind.__name__}.{name}"


def test_no_class_of_the_model_is_missing_from_the_schema() -> None:
    records = {name for name, item in vars(model).items() if dataclasses.is_dataclass(item)}

    assert records == {kind.__name__ for kind in CLASSES}
    assert SCHEMA["$defs"]["severity"]["enum"] == list(Severity)
    assert SCHEMA["$defs"]["outcome"]["enum"] == list(Outcome)
    step = SCHEMA["$defs"]["Step"]["properties"]
    assert (step["risk"]["enum"], step["outcome"]["enum"]) == (list(model.Risk), list(model.StepOutcome))
    assert step["stage"]["enum"] == [*Stage, UNDO]
    assert SCHEMA["$defs"]["RunRecord"]["properties"]["schema"] == {"const": model.SCHEMA}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("gate",), "P4"),
        (("extra",), 1),
        (("results", 0, "outcome"), "ok"),
        (("results", 0, "check", "id"), ""),
        (("results", 14, "steps", 0, "risk"), "harmless"),
        (("results", 14, "steps", 0, "outcome"), "worked"),
        (("results", 14, "steps", 0, "started"), "yesterday"),
        (("results", 0, "check", "typo"), 1),
        (("results", 0, "evidence", 0, "duration"), -1),
        (("results", 0, "sections"), [["only a title"]]),
        (("started",), "yesterday"),
    ],
    ids=str,
)
def test_a_bad_record_is_refused(ill: RunRecord, path: tuple[Any, ...], value: object) -> None:
    written = json.loads(renderer.text(ill))
    place = written
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert not VALIDATOR.is_valid(written)


def _refuse(constant: str) -> None:
    pytest.fail(f"{constant} is not JSON")


def _allowed(schema: dict[str, Any]) -> set[str]:
    """Kinds of JSON value that SCHEMA lets through."""
    if "$ref" in schema:
        definition = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
        return _allowed({key: value for key, value in definition.items() if key != "$ref"})
    if "anyOf" in schema:
        return set().union(*map(_allowed, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return {{str: "string", int: "integer", type(None): "null"}[type(value)] for value in values}
    kinds = schema.get("type", "anything")
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _expected(kind: type, name: str, hint: Any) -> set[str]:
    """Kinds of JSON value that a member annotated with HINT becomes."""
    if (kind, name) == (model.Measurement, "value"):
        return {"number", "null"}  # a value that is not finite
    if isinstance(hint, types.UnionType):
        return set().union(*(_expected(kind, "", member) for member in hint.__args__))
    origin = typing.get_origin(hint) or hint
    if dataclasses.is_dataclass(origin):
        return {"object"}
    words = {str: "string", float: "number", int: "integer", bool: "boolean", type(None): "null", Any: "anything"}
    words |= {list: "array", tuple: "array", dict: "object"}
    return {words[origin]}
