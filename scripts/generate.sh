#!/usr/bin/env bash
# Generates two things from Protos/: the Swift messages, and the descriptor set that the gateway serves for reflection.
#
#   scripts/generate.sh          writes them into Sources/GatewayProtocol
#   scripts/generate.sh --check  writes nothing; fails when the committed files do not match Protos/
#
# Protos/generated.sha256 holds the sums of the protos, of this script, and of what was generated from them. The check
# compares only those, so that it needs neither protoc nor its plugin and does not depend on their versions.
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

# Prints the sum of each proto, of this script, and of each generated file.
sums() {
    find Protos scripts/generate.sh "$target/Generated" "$target/Resources" -type f ! -name '*.sha256' |
        LC_ALL=C sort | xargs sha256sum
}

if [[ ${1:-} == --check ]]; then
    diff Protos/generated.sha256 <(sums) || {
        echo "generated code is stale: $target does not match Protos/; run make generate and commit" >&2
        exit 1
    }
    echo "generated code is current"
    exit
fi
plugin=$(plugin)
rm -rf "$target/Generated"
mkdir -p "$target/Generated" "$target/Resources"
# The descriptor set has no comments, so the same protos always give the same bytes.
protoc -IProtos --plugin="protoc-gen-swift=$plugin" --swift_out="$target/Generated" \
    --swift_opt=Visibility=Package,UseAccessLevelOnImports=true,FileNaming=PathToUnderscores \
    --include_imports --descriptor_set_out="$target/Resources/descriptors.binpb" "${protos[@]}"
sums >Protos/generated.sha256
