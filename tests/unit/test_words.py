from __future__ import annotations

import pytest

from airgap.errors import InvalidInput
from airgap_cli.words import parse_rate, parse_size


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 1),
        ("4096B", 4096),
        ("20k", 20_000),
        ("20K", 20_000),
        ("20kB", 20_000),
        ("20Ki", 20_480),
        ("20 KiB", 20_480),
        ("64MiB", 64 * 2**20),
        ("700M", 700_000_000),
        ("1.5GB", 1_500_000_000),
        ("1.5gib", 3 * 2**29),
        ("0.5KiB", 512),
        ("2T", 2 * 10**12),
        (" 3TiB ", 3 * 2**40),
        ("9007199254740991", 2**53 - 1),
    ],
)
def test_a_size_is_read_with_units_of_1000_and_of_1024(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    "text",
    ["", "MiB", "-1", "+1", "1e3", "0x10", "1,5MB", "1.", ".5M", "5 X", "5MM", "5iB", "٣", "1 0", "nan", "9" * 5000],
)
def test_what_is_no_size_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no size") as caught:
        parse_size(text)
    assert "64MiB" in caught.value.hint


@pytest.mark.parametrize("text", ["0", "0.4B", "9007199254740992", "9999T", "9999999999999999TiB"])
def test_a_size_that_nothing_can_have_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"too (small|large)"):
        parse_size(text)


@pytest.mark.parametrize(("text", "count"), [("20MiB/s", 20 * 2**20), ("20MB", 20_000_000), ("1.5 M/s", 1_500_000)])
def test_a_rate_is_a_size_a_second(text: str, count: int) -> None:
    assert parse_rate(text) == count
