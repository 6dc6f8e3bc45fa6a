"""The installed file and the JSON Schema agree with the parameter dataclasses."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from webntpd.config.document import SECTIONS, json_schema
from webntpd.config.example import PARTS, example, shown
from webntpd.names import Kind

EXAMPLE = Path(__file__).parents[3] / "etc" / "webntpd.toml"


def test_the_installed_file_is_the_generated_one() -> None:
    assert EXAMPLE.read_text() == example(), "run make config-file"


def test_every_key_of_the_file_is_explained() -> None:
    for part in PARTS:
        assert not part.keys or part.keys[0].help.text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Kind.HTTP, '"http"'),
        (Path("/run/x"), '"/run/x"'),
        (("b", "a"), '["b", "a"]'),
        (frozenset({2, 1}), "[1, 2]"),
        (True, "true"),
        (2.0, "2.0"),
    ],
)
def test_a_value_is_shown_as_toml(value: object, text: str) -> None:
    assert shown(value) == text


def section_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json_schema()["$defs"][name]
    return found


def test_the_schema_has_type_bounds_default_and_help_of_a_key() -> None:
    minimum = section_of("System")["properties"]["minimum_agreeing"]
    assert minimum["type"] == "integer"
    assert minimum["minimum"] == minimum["default"] == 1
    assert "Publish nothing" in minimum["description"]
    header_size = section_of("Server")["properties"]["header_size"]
    assert (header_size["minimum"], header_size["maximum"]) == (256, 65536)


def test_the_schema_knows_every_section_and_no_other_key() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == {"peer", "refclock", *SECTIONS} - {"shm", "sock"}
    assert schema["additionalProperties"] is False
    for name, model in SECTIONS.items():
        section = section_of(name.capitalize())
        assert set(section["properties"]) == set(model.model_fields)
        assert section["additionalProperties"] is False
        assert all(
            "description" in each for key, each in section["properties"].items() if key != "type"
        )


def test_the_keys_of_the_installed_file_are_in_the_schema() -> None:
    document = tomllib.loads(EXAMPLE.read_text())
    assert set(document) <= set(json_schema()["properties"])


def test_the_schema_has_no_null_which_toml_cannot_write() -> None:
    assert "null" not in json.dumps(json_schema())
