"""Targets that were written down, by hand or by `push`, and contradict each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from airgap.errors import AirgapError, DocumentError, InvalidInput
from airgap.operations.relocate import rule
from airgap.references import Reference
from airgap.relocation.policy import Relocation

DIGEST = "sha256:" + "ab" * 32


def lock(path: Path, *pairs: tuple[str, str]) -> Path:
    images = [{"source": source, "digest": DIGEST, "target": target} for source, target in pairs]
    path.write_text(yaml.safe_dump({"apiVersion": "airgap.dev/v1", "kind": "ImageLock", "images": images}))
    return path


CONTRADICTIONS = {
    "B9-source-twice": (("q.io/a:1", "r.io/a:1"), ("q.io/a:1", "r.io/b:1")),
    "B9-one-target": (("q.io/a:1", "r.io/x:1"), ("q.io/b:1", "r.io/x:1")),
    "B9-circle": (("q.io/a:1", "r.io/a:1"), ("r.io/a:1", "q.io/a:1")),
    "B9-moves-on": (("q.io/a:1", "r.io/a:1"), ("r.io/a:1", "s.io/a:1")),
}


@pytest.mark.parametrize("pairs", [pytest.param(value, id=key) for key, value in CONTRADICTIONS.items()])
def test_a_lock_that_contradicts_itself_is_refused_by_the_names_in_it(
    pairs: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    with pytest.raises(AirgapError) as caught:
        rule("", lock=lock(tmp_path / "x.lock.yaml", *pairs))
    assert isinstance(caught.value, DocumentError | InvalidInput)
    assert {source for source, _ in pairs} <= {word.strip("`,") for word in caught.value.message.split()}


def test_b9_an_image_that_is_at_its_target_already_contradicts_nothing(tmp_path: Path) -> None:
    written = lock(tmp_path / "x.lock.yaml", ("q.io/a:1", "r.io/a:1"), ("r.io/a:1", "r.io/a:1"))
    assert str(rule("", lock=written).target_of(Reference.parse("q.io/a:1"))) == "r.io/a:1"


def test_b9_of_prefixes_that_overlap_whole_components_decide() -> None:
    outer, inner = Relocation.to("r.io/apps"), Relocation.to("r.io/apps/shop")
    source = Reference.parse("r.io/apps/shop-2/web:1")
    assert outer.target_of(source) == source
    assert str(inner.target_of(source)) == "r.io/apps/shop/apps/shop-2/web:1"
