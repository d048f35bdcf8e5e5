"""Sets the repository up on a machine that has Python: `python3 -m hack.setup`. The second run does nothing."""

from __future__ import annotations

import sys

from hack import binaries, debian, environment


def main() -> None:
    """Install what is missing: Debian packages, the virtual environment, helm.

    Raises:
        SystemExit: with what to do about it.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 -- whoever runs an older one reads this first
        sys.exit("error: Python 3.11 or newer is needed\n\nhint: name it: make PYTHON=/usr/bin/python3.12 test")
    debian.install(debian.missing())
    environment.prepare()
    binaries.prepare()


if __name__ == "__main__":
    main()
