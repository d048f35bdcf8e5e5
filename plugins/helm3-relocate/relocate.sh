#!/bin/sh
# A release archive brings the program along in bin/; beside a Python installation it is found on PATH.
program="$HELM_PLUGIN_DIR/bin/helm-relocate"
[ -x "$program" ] || program=$(command -v helm-relocate) || {
    echo 'error: the program helm-relocate is neither in the plugin nor on PATH' >&2
    echo >&2
    echo 'hint: install a release archive of the plugin, or the Python package airgap-suite' >&2
    exit 127
}
exec "$program" "$@"
