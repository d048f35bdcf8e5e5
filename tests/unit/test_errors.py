from __future__ import annotations

import inspect

import pytest

from airgap import errors
from airgap.errors import AirgapError

TREE = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, AirgapError)]


@pytest.mark.parametrize("cls", TREE)
def test_every_error_stands_in_the_tree_that_the_module_draws(cls: type[AirgapError]) -> None:
    line = next((line for line in (errors.__doc__ or "").splitlines() if cls.__name__ in line.split()), "")
    assert line, f"{cls.__name__} is not drawn"
    code = next((int(word) for word in line.split() if word.isdigit()), None)
    assert code in (None, cls.exit_code)


def test_exit_codes_are_those_that_the_readme_promises() -> None:
    assert {cls.exit_code for cls in TREE} == {1, 2, 3, 4, 5, 130}
