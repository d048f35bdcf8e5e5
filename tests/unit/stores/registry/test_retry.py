from __future__ import annotations

import email.utils
import time

import pytest

from airgap.errors import StoreError
from airgap.stores.registry.retry import Patience, parse_retry_after


@pytest.mark.parametrize(("value", "seconds"), [("0", 0), (" 7 ", 7), ("86400", 86_400), ("9" * 400, 999_999_999_999)])
def test_a_pause_in_seconds_is_read(value: str, seconds: float) -> None:
    assert parse_retry_after(value) == seconds


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "٣", "Sun, 99 Nov 2026 99:00:00 GMT", "1e9"])
def test_a_pause_that_makes_no_sense_counts_as_none(value: str) -> None:
    assert parse_retry_after(value) is None


@pytest.mark.parametrize(("ahead", "expected"), [(30, 30), (-30, 0)])
def test_a_date_is_a_pause_until_then_and_one_in_the_past_is_none(ahead: int, expected: int) -> None:
    date = email.utils.formatdate(time.time() + ahead, usegmt=True)
    assert parse_retry_after(date) == pytest.approx(expected, abs=2)


def test_a_pause_that_is_too_long_is_told_and_not_kept() -> None:
    with pytest.raises(StoreError, match="asks to come back in 86400 s"):
        Patience().wait(1, "`reg.invalid` answered 429", "86400")
