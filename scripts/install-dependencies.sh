#!/usr/bin/env bash
# Installs the Debian packages that are missing: scripts/install-dependencies.sh build|test|bench|demo|lint...
# When all of them are present, this script does nothing and needs no rights.
set -euo pipefail

build=(libgrpc-dev libsqlite3-dev libssl-dev zlib1g-dev pkg-config git)
lint=(python3 python3-venv)
demo=(python3 python3-venv python3-pip libgl1 libglib2.0-0)
bench=(libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc nghttp2-client g++ python3-venv)
test=("${bench[@]}" libpython3-dev strace unzip docker.io debootstrap docker-registry haproxy nginx-light)

wanted=()
for use in "$@"; do
    case $use in
        build | demo | bench | lint | test) declare -n list=$use && wanted+=("${list[@]}") ;;
        *) echo "usage: ${0##*/} build|test|bench|demo|lint..." >&2 && exit 64 ;;
    esac
done

# Whether a package is present. Some packages may be installed another way, so their programs are looked for instead.
# Without a pipe into grep -q: that ends at the first match, and with pipefail a writer that then fails (SIGPIPE) would
# make a present package a missing one.
present() {
    case $1 in
        git | strace | unzip | debootstrap | docker-registry | haproxy) command -v "$1" >/dev/null ;;
        nginx-light) command -v nginx >/dev/null ;;
        docker.io) command -v dockerd >/dev/null ;;
        g++) command -v g++ >/dev/null ;;
        python3) command -v python3 >/dev/null ;;
        python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
        python3-pip) python3 -m pip --version >/dev/null 2>&1 ;;
        pkg-config) command -v pkg-config >/dev/null ;;
        protobuf-compiler) command -v protoc >/dev/null ;;
        protobuf-compiler-grpc) command -v grpc_cpp_plugin >/dev/null ;;
        nghttp2-client) command -v h2load >/dev/null ;;
        libgl1) [[ $(ldconfig -p) == *"libGL.so.1 "* ]] ;;
        libglib2.0-0) [[ $(ldconfig -p) == *"libgthread-2.0.so.0 "* ]] ;;
        *) [[ $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) == "install ok installed" ]] ;;
    esac
}

PATH=$PATH:/sbin:/usr/sbin
command -v swift >/dev/null || {
    echo "swift is not on the PATH: install the Swift 6.3 toolchain from https://www.swift.org/install/linux/" >&2
    exit 69
}
missing=()
for package in "${wanted[@]}"; do
    present "$package" || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

command -v apt-get >/dev/null || {
    echo "missing: ${missing[*]}; there is no apt-get here, so install their equivalents for this system" >&2
    exit 69
}
as_root=()
if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || {
        echo "missing: ${missing[*]}; run this as root: apt-get install ${missing[*]}" >&2
        exit 69
    }
    as_root=(sudo)
fi
echo "installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# What they say goes to stderr: stdout belongs to the script that called this one.
{ "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2 || {
    echo "apt-get failed; these packages are needed: ${missing[*]}" >&2
    exit 69
}
