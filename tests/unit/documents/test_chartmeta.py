"""Chart.yaml as Helm's JSON. That it equals Helm's own is proved in tests/integration/test_artifacts.py."""

from __future__ import annotations

import json

import pytest

from airgap.documents.chartmeta import config_of
from airgap.documents.charts import Chart
from airgap.errors import DocumentError


def config(text: str) -> bytes:
    return config_of(Chart("c", "1.0.0", "", {"Chart.yaml": text.encode()}), "c")


def test_fields_stand_in_gos_order_and_those_that_say_nothing_are_left_out() -> None:
    text = "version: 1.0.0\nicon: ''\nhome: ~\nname: c\ndeprecated: no\nkeywords: []\nunknown: x\n"
    assert config(text) == b'{"name":"c","version":"1.0.0"}'


def test_numbers_stay_as_they_are_written() -> None:
    assert json.loads(config("name: c\nversion: 1.0.0\nappVersion: 1.10\n"))["appVersion"] == "1.10"


def test_characters_are_escaped_as_go_does() -> None:
    assert config('name: c\ndescription: "<a> & \\u2028 ä"\n') == (
        '{"name":"c","description":"\\u003ca\\u003e \\u0026 \\u2028 ä"}'.encode()
    )


def test_a_dependency_has_a_name_and_a_repository_even_if_they_are_empty() -> None:
    assert json.loads(config("name: c\ndependencies: [{alias: x, enabled: true}]\n"))["dependencies"] == [
        {"name": "", "repository": "", "enabled": True, "alias": "x"}
    ]


def test_what_has_another_kind_than_it_should_says_nothing() -> None:
    text = "name: c\nsources: x\nmaintainers: {a: b}\nannotations: [a]\ndependencies: x\nicon: [a]\nkeywords: [{}]\n"
    assert json.loads(config(text)) == {"name": "c", "keywords": [""]}


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(DocumentError, match="no mapping"):
        config("- a\n")
