#!/bin/sh
# The main job, typed as a user would type it. `make demo` sets everything up and starts this.
set -eu
cd "$(dirname "$0")/.."

if [ -z "${INTERNET:-}" ]; then
    exec examples/world.sh "$PWD/examples/demo.sh"
fi
unset AIRGAP_MIRROR # here it is shown as a flag

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }
# Commands are shown on stderr, where their words are too, so that pipes carry data alone.
run() {
    printf '\n$ %s\n' "$*" >&2
    "$@"
}
mirrors="--mirror docker.io=$INTERNET --mirror quay.io=$INTERNET --mirror ghcr.io=$INTERNET --mirror registry.k8s.io=$INTERNET"

ln -s "$PWD/examples" "$WORK/examples"
cd "$WORK"

say "Two real registries run on this machine: $INTERNET stands for the internet, $INSIDE for the registry in the closed cluster."

say '1. Which images do this chart and this manifest really need?'
run kubectl airgap images --chart examples/shop -f examples/storage-driver.yaml

say '2. Put them all into one file. (The mirrors are here because the internet of this demo is a registry on loopback.)'
# shellcheck disable=SC2086
run kubectl airgap pack --chart examples/shop -f examples/storage-driver.yaml $mirrors -o shop.tar

say '3. After the journey: is every byte still there?'
run kubectl airgap verify shop.tar

say '4. Into the registry inside; what is where now goes into a lock.'
run kubectl airgap push shop.tar "$INSIDE/apps"

say '5. Point the chart at it. The chart is rendered again, and every image must be in the lock.'
run helm relocate examples/shop --to "$INSIDE/apps" --lock shop.lock.yaml --diff -o shop

say '6. The proof: no image of the rendered chart is from outside, and each is in the registry by its digest.'
run helm template shop shop >rendered.yaml
run kubectl airgap images -f rendered.yaml -o name | tee found
if grep -v "^$INSIDE/apps/" found; then
    echo 'these are from outside' >&2
    exit 1
fi
while read -r image; do
    digest=$(skopeo inspect --raw --tls-verify=false "docker://$image" | sha256sum | cut -d' ' -f1)
    grep -q "sha256:$digest" shop.lock.yaml || { echo "$image is not what was packed" >&2; exit 1; }
    echo "$image is there, sha256:$(printf %.12s "$digest")…, as packed"
done <found

say '7. A driver whose vendor hides two images, one in a variable and one in a ConfigMap:'
run kubectl airgap relocate -f examples/storage-driver.yaml --lock shop.lock.yaml --diff --dry-run

say 'That was the main job. Type next, on your own charts and manifests:'
cat <<'EOF'
  kubectl airgap images --chart YOUR-CHART            # which images, and how each is known
  kubectl airgap pack -f YOUR-MANIFESTS -o app.tar    # one file to carry over
  kubectl airgap mounts POD -n NAMESPACE              # every mount of a pod, with its path on the node
  kubectl airgap --help; helm relocate --help
EOF
