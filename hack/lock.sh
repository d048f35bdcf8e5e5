#!/bin/sh
# Writes the lock files from pyproject.toml and requirements/tools.in: exact versions, each with its hashes.
# Versions already locked stay, unless UPGRADE=1.
set -eu
cd "$(dirname "$0")/.."

uv=build/lock/bin/uv
if [ ! -x "$uv" ]; then
    "${PYTHON:-python3}" -m venv build/lock
    build/lock/bin/pip install --quiet 'uv>=0.9,<1'
fi

compile() {
    "$uv" pip compile --quiet --no-config --generate-hashes --no-emit-index-url --no-emit-find-links \
        --custom-compile-command 'make lock' ${UPGRADE:+--upgrade} "$@"
}

compile pyproject.toml --group test --group check --group build \
    --universal --python-version 3.11 --output-file requirements/dev.txt
compile requirements/tools.in --no-deps --output-file requirements/tools.txt
