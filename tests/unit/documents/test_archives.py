from __future__ import annotations

from pathlib import Path

import pytest

from airgap.documents.archives import read_directory


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("secret.env", {"Chart.yaml", "docs/a.md", "files/deep/b.md", ".helmignore"}),
        ("*.md", {"Chart.yaml", "secret.env", "files/secret.env", ".helmignore"}),
        ("docs/", {"Chart.yaml", "secret.env", "files/secret.env", "files/deep/b.md", ".helmignore"}),
        ("/secret.env", {"Chart.yaml", "docs/a.md", "files/secret.env", "files/deep/b.md", ".helmignore"}),
        ("files/deep", {"Chart.yaml", "secret.env", "docs/a.md", "files/secret.env", ".helmignore"}),
        (
            "# secret.env",
            {"Chart.yaml", "secret.env", "docs/a.md", "files/secret.env", "files/deep/b.md", ".helmignore"},
        ),
    ],
)
def test_what_helmignore_names_is_no_part_of_the_chart(tmp_path: Path, pattern: str, left: set[str]) -> None:
    for name in ("Chart.yaml", "secret.env", "docs/a.md", "files/secret.env", "files/deep/b.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".helmignore").write_text(f"\n{pattern}\n")
    assert set(read_directory(tmp_path)) == left
