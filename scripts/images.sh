#!/usr/bin/env bash
# scripts/images.sh watcher|gateway...: builds the images of Dockerfiles/ from the programs that are already built. It
# uses the engine that DOCKER_HOST names.
#
# REGISTRY   the start of the images' names (default dcf, as in the Dockerfile that `dcf function init` writes)
# VERSION    the tag (default: the version of this tree)
# BASE       the base of the gateway's image; it must be a Debian 12 (default debian:bookworm-slim)
# DCF_BIN    the folder of the programs (default .build/release)
#
# The watcher's image has three tags: VERSION, VERSION-python3 and VERSION-tensorflow.
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
# A Docker client without the BuildKit plugin cannot use BuildKit, so the default is the engine's own builder.
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
        *) echo "there is no image \"$image\"; the images are watcher and gateway" >&2 && exit 64 ;;
    esac
done
