from __future__ import annotations

import pytest

from airgap.mounts.variables import expand, variables_of


@pytest.mark.parametrize(
    ("text", "expanded", "missing"),
    [
        ("a", "a", ()),
        ("$(A)/$(B)", "1/2", ()),
        ("$$(A)", "$(A)", ()),
        ("$(C)", "$(C)", ("C",)),
        ("$A $", "$A $", ()),
        ("$(A", "$(A", ()),
    ],
)
def test_variables_are_replaced_as_kubernetes_does(text: str, expanded: str, missing: tuple[str, ...]) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == (expanded, missing)


def test_a_later_variable_may_use_an_earlier_one_and_not_the_other_way_round() -> None:
    env = [{"name": "B", "value": "$(A)"}, {"name": "A", "value": "1"}, {"name": "C", "value": "$(A)2"}]

    assert variables_of({"env": env}, {}) == {"A": "1", "C": "12"}


def test_a_field_that_the_pod_does_not_have_gives_no_value() -> None:
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]

    assert variables_of({"env": env}, {"status": {}}) == {}
