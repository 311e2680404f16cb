"""The pinned pair of libraries that draws arguments for imported schemas."""

from __future__ import annotations

import tomllib
from importlib.metadata import version

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema
from jsonschema import Draft202012Validator

from tests.program import ROOT

PINS = ("hypothesis>=6.140,<6.170.10", "hypothesis-jsonschema>=0.23.1,<0.24")
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}


def test_hypothesis_and_hypothesis_jsonschema_work_together() -> None:
    drawn: list[object] = []

    @settings(max_examples=25, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck), backend="hypothesis")  # fmt: skip
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        drawn.append(data.draw(from_schema(SCHEMA)))

    try:
        draw()
    except Exception as error:  # noqa: BLE001 - a broken pair shows in whatever way its private helpers broke
        pair = f"hypothesis {version('hypothesis')} and hypothesis-jsonschema {version('hypothesis-jsonschema')}"
        pytest.fail(
            f"{pair} do not work together: from_schema() of a `type: object` schema raises "
            f"{type(error).__name__}: {error}; --tools needs them: install {' '.join(PINS)}",
            pytrace=False,
        )
    assert len(drawn) >= 25
    assert all(Draft202012Validator(SCHEMA).is_valid(value) for value in drawn)
    assert len({repr(value) for value in drawn}) > 5


def test_the_pins_are_declared_with_their_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert set(PINS) <= set(tomllib.loads(text)["project"]["dependencies"])
    before = text.partition('"hypothesis>=')[0].splitlines()[-4:-1]
    assert any("6.170.10" in line for line in before)
