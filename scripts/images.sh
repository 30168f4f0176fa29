#!/usr/bin/env bash
# scripts/images.sh watcher|gateway...: builds the images of Dockerfiles/ from what is built, on the engine that DOCKER_HOST names.
#
# REGISTRY   what their names begin with (default dcf, as in the Dockerfile that `dcf function init` writes)
# VERSION    their tag (default: the version of this tree)
# BASE       another base for the gateway's image than debian:bookworm-slim; it must be a Debian 12
# DCF_BIN    the folder of the programs (default .build/release)
#
# The watcher's image has the tags VERSION, VERSION-python3 and VERSION-tensorflow: they are one image.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $# -gt 0 ]] || {
    echo "usage: ${0##*/} watcher|gateway..." >&2
    exit 64
}
docker version --format '{{.Server.Version}}' >/dev/null 2>&1 || {
    docker version >/dev/null || true
    echo "no Docker engine answers at ${DOCKER_HOST:-unix:///var/run/docker.sock}: start dockerd, or set DOCKER_HOST" >&2
    exit 69
}

registry=${REGISTRY:-dcf}
version=${VERSION:-$(sed -n 's/.*version = "\(.*\)".*/\1/p' Sources/FunctionConfig/Release.swift)}
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
# What has no plugin for it builds with the engine's own builder.
export DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0}
network=(${DOCKER_BUILD_NETWORK:+--network "$DOCKER_BUILD_NETWORK"})

for image in "$@"; do
    case $image in
        watcher)
            scripts/watcher-folder.sh "$context/watcher"
            docker build --quiet --file Dockerfiles/watcher.Dockerfile --build-arg VERSION="$version" \
                --tag "$registry/watcher:$version" --tag "$registry/watcher:$version-python3" \
                --tag "$registry/watcher:$version-tensorflow" "$context"
            ;;
        gateway)
            scripts/install.sh install "$context/gateway" ""
            find "$context/gateway/bin" "$context/gateway/lib/dcf" -type f -exec strip --strip-unneeded {} +
            rm -rf "$context/gateway/lib/systemd" "$context/gateway/share"
            docker build --quiet "${network[@]}" --file Dockerfiles/gateway.Dockerfile --build-arg VERSION="$version" \
                ${BASE:+--build-arg BASE="$BASE"} --tag "$registry/gateway:$version" "$context"
            ;;
        *) echo "no image is called $image; there are watcher and gateway" >&2 && exit 64 ;;
    esac
done
