from __future__ import annotations

from pathlib import Path

import pytest

from airgap import state


def test_state_lies_where_the_user_says_or_below_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state.directory() == Path.home() / ".local/state/airgap"
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert state.directory() == Path("/somewhere/airgap")


@pytest.mark.parametrize("named", ["", "relative/state"])
def test_a_place_that_is_not_absolute_is_passed_over(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG Base Directory Specification: all paths must be absolute; others are to be ignored."""
    monkeypatch.setenv("XDG_STATE_HOME", named)
    assert state.directory() == Path.home() / ".local/state/airgap"


def test_a_user_without_a_home_has_a_place_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert state.directory() == Path("/.local/state/airgap")
