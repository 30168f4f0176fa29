#!/usr/bin/env bash
# Generates two things from Protos/: the Swift messages, and the descriptor set that the gateway serves for reflection.
#
#   scripts/generate.sh          writes them into Sources/GatewayProtocol
#   scripts/generate.sh --check  writes nothing; fails when the committed files do not match Protos/
#
# The plugin is built from the swift-protobuf that the package depends on, once for each of its versions, and kept in
# the cache. PROTOC_GEN_SWIFT names a ready plugin instead.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

protos=(gateway.proto grpc/health/v1/health.proto grpc/reflection/v1/reflection.proto
    grpc/reflection/v1alpha/reflection.proto)
target=Sources/GatewayProtocol
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dcf-test

# Prints the path of protoc-gen-swift.
plugin() {
    if [[ -n ${PROTOC_GEN_SWIFT:-} ]]; then
        echo "$PROTOC_GEN_SWIFT"
        return
    fi
    [[ -d .build/checkouts/swift-protobuf ]] || swift package resolve >&2
    local revision built
    revision=$(git -C .build/checkouts/swift-protobuf rev-parse --short=12 HEAD)
    built=$cache/protoc-gen-swift-$revision
    if [[ ! -x $built ]]; then
        echo "building protoc-gen-swift $revision, once" >&2
        swift build --product protoc-gen-swift >&2
        mkdir -p "$cache"
        cp "$(swift build --show-bin-path)/protoc-gen-swift" "$built.new"
        mv "$built.new" "$built"
    fi
    echo "$built"
}

# Writes everything below the folder $1.
generate() {
    local plugin
    plugin=$(plugin)
    mkdir -p "$1/Generated" "$1/Resources"
    # The descriptor set has no comments, so the same protos always give the same bytes.
    protoc -IProtos --plugin="protoc-gen-swift=$plugin" --swift_out="$1/Generated" \
        --swift_opt=Visibility=Package,UseAccessLevelOnImports=true,FileNaming=PathToUnderscores \
        --include_imports --descriptor_set_out="$1/Resources/descriptors.binpb" "${protos[@]}"
}

if [[ ${1:-} != --check ]]; then
    rm -rf "$target/Generated"
    generate "$target"
    exit
fi
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
generate "$fresh"
for part in Generated Resources; do
    diff -r "$target/$part" "$fresh/$part" || {
        echo "generated code is stale: $target/$part does not match Protos/; run make generate and commit" >&2
        exit 1
    }
done
echo "generated code is current"
