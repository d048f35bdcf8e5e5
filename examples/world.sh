#!/bin/sh
# Two real registries on loopback, the first with an image under every name that the examples need, and a shell (or
# the command that is given) in which everything is on PATH. `make world` starts this.
set -eu
cd "$(dirname "$0")/.."
kubectl-airgap images --chart examples/shop -f examples/storage-driver.yaml -o name >.tools/example-images
if [ $# -eq 0 ]; then
    echo 'The registry inside is $INSIDE. AIRGAP_MIRROR says that $INTERNET stands for the internet. Leave with: exit'
    set -- "${SHELL:-/bin/sh}"
fi
exec python -m hack.world .tools/example-images -- "$@"
