"""Names cut into values."""

from __future__ import annotations

import pytest

from airgap.relocation.solving import Wanted, solve


def cost(index: int, text: str) -> int:
    """Value 0 would naturally be `r.corp/m`; the others are names that should stay as in `ORIGINALS`."""
    return int(text != {0: "r.corp/m", 1: "acme/app", 2: "kafka"}.get(index, text))


@pytest.mark.parametrize(
    ("parts", "target", "settings"),
    [
        ((0,), "r.corp/m/acme/app:v1", {0: "r.corp/m/acme/app:v1"}),
        ((0, ":v1"), "r.corp/m/acme/app:v1", {0: "r.corp/m/acme/app"}),
        ((0, "/", 1, ":v1"), "r.corp/m/acme/app:v1", {0: "r.corp/m", 1: "acme/app"}),
        ((0, "/", 1, ":1"), "r.corp/m/library/busybox:1", {0: "r.corp/m", 1: "library/busybox"}),
        ((0, "-generic:v1"), "r.corp/m/op-generic:v1", {0: "r.corp/m/op"}),
        ((0, 1, ":v1"), "r.corp/m/acme/app:v1", {0: "r.corp/m", 1: "/acme/app"}),
    ],
)
def test_a_name_is_cut_as_a_person_would(parts: tuple[str | int, ...], target: str, settings: dict[int, str]) -> None:
    assert solve([Wanted(parts, target)], cost).settings == settings


def test_images_that_share_a_value_are_solved_together() -> None:
    found = solve(
        [
            Wanted((0, "/", 3, ":v1"), "r.corp/m/library/redis:v1"),
            Wanted((0, "/", 4, "/kafka:1"), "r.corp/m/strim/kafka:1"),
        ],
        cost,
    )

    assert found.settings == {0: "r.corp/m", 3: "library/redis", 4: "strim"}
    assert found.unsolved == ()


def test_the_cheapest_cut_gives_way_where_another_image_forbids_it() -> None:
    found = solve([Wanted((0, "/", 1), "r.corp/m/acme/app"), Wanted((0, "/m/x"), "r.corp/m/x")], cost)

    assert found.settings == {0: "r.corp", 1: "m/acme/app"}


def test_what_no_setting_makes_is_told_and_spoils_nothing_else() -> None:
    impossible = Wanted(("docker.io/", 1), "r.corp/m/acme/app")

    found = solve([impossible, Wanted((1, ":v1"), "r.corp/m/acme/app:v1")], cost)

    assert found.unsolved == (impossible,)
    assert found.settings == {1: "r.corp/m/acme/app"}
