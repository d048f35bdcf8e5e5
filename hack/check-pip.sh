#!/bin/sh
# Installs the project as a user with an old pip does: in a new environment, without our lock, in under a minute.
# What the bounds in pyproject.toml are for: without them this pip searches for minutes, or takes boto3 from 2016.
set -eu
cd "$(dirname "$0")/.."
limit=60

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
pip="$folder/venv/bin/python -m pip --disable-pip-version-check"
$pip install --quiet pip==23.2.1

start=$(date +%s)
$pip install --quiet .
seconds=$(($(date +%s) - start))

$pip check
"$folder/venv/bin/kubectl-airgap" --version
"$folder/venv/bin/helm-relocate" --version
echo "pip 23.2.1 installed the project in $seconds s"
[ "$seconds" -lt "$limit" ] || { echo "error: that is more than $limit s" >&2; exit 1; }
