from __future__ import annotations

from collections.abc import Callable

import pytest

from airgap.errors import InvalidInput
from airgap.operations import places, since
from airgap.operations.environment import Run
from airgap.transfer.graph import Graph

LONG = "x" * 5000 + ".tar"


@pytest.mark.parametrize(
    "ask",
    [lambda: places.open_bundle(LONG, Run()), lambda: since.known(LONG, Graph((), {}), Run())],
    ids=["a bundle", "an earlier bundle"],
)
def test_a_name_too_long_for_any_file_is_the_users_mistake_and_not_ours(ask: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput, match="file name too long"):
        ask()
