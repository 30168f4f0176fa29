#!/usr/bin/env bash
# Deploys examples/ocr on a gateway in a scratch folder, lets it read a scanned page, and removes everything again.
# DCF_BIN: the folder of programs that are already built.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-dependencies.sh build demo
if [[ -z ${DCF_BIN:-} ]]; then
    make --no-print-directory build >&2
    DCF_BIN=$PWD/.build/release
fi
PATH=$DCF_BIN:$PATH

# The model's package has wheels for CPython 3.6 to 3.12.
python=
for candidate in python3 python3.12 python3.11 python3.10 python3.9; do
    if "$candidate" -c 'import sys, venv; sys.exit(not (3, 9) <= sys.version_info < (3, 13))' 2>/dev/null; then
        python=$(command -v "$candidate")
        break
    fi
done
[[ -n $python ]] || {
    echo "the demo's model needs a Python from 3.9 to 3.12 with venv, and the PATH has none" >&2
    exit 69
}

scratch=$(mktemp -d)
gateway=
clean_up() {
    if [[ -n $gateway ]]; then
        kill -TERM "$gateway" 2>/dev/null || true
        wait "$gateway" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
step() { printf '\n\033[1m%s\033[0m\n' "$*" >&2; }
seconds_since() { awk -v from="$1" -v to="$(date +%s.%N)" 'BEGIN { printf "%.2f s", to - from }'; }

# The scanned page comes from the package scikit-image. DCF may not distribute the picture.
page=${XDG_CACHE_HOME:-$HOME/.cache}/dcf-test/page.png
if [[ ! -s $page ]]; then
    step "fetching a scanned page from the package scikit-image"
    "$python" -m venv "$scratch/pip"
    "$scratch/pip/bin/pip" download -q --disable-pip-version-check --no-deps --only-binary :all: \
        -d "$scratch/wheel" scikit-image
    "$python" -m zipfile -e "$scratch"/wheel/scikit_image-*.whl "$scratch/scikit-image"
    mkdir -p "$(dirname "$page")"
    cp "$scratch/scikit-image/skimage/data/page.png" "$page.new"
    mv "$page.new" "$page"
fi

step "starting a gateway in $scratch"
dcf-gateway --listen 127.0.0.1:0 --data-dir "$scratch/data" --python "$python" >"$scratch/gateway.log" 2>&1 &
gateway=$!
address=
for _ in $(seq 100); do
    address=$(sed -n '/.*listening on \([0-9.]*:[0-9]*\).*/{s//\1/p;q}' "$scratch/gateway.log")
    [[ -z $address ]] || break
    kill -0 "$gateway" 2>/dev/null || break
    sleep 0.1
done
[[ -n $address ]] || {
    cat "$scratch/gateway.log" >&2
    echo "the gateway did not start" >&2
    exit 1
}
export DCF_GATEWAY=$address
echo "listening on $address" >&2

step "dcf function create -f examples/ocr/config.yaml -v"
began=$(date +%s.%N)
dcf function create -f examples/ocr/config.yaml -v
deployed=$(seconds_since "$began")

step "cat page.png | base64 | dcf function call ocr"
began=$(date +%s.%N)
base64 "$page" | dcf function call ocr >"$scratch/reply.json"
called=$(seconds_since "$began")
"$python" -m json.tool --no-ensure-ascii "$scratch/reply.json"

began=$(date +%s.%N)
base64 "$page" | dcf function call ocr >"$scratch/again.json"
again=$(seconds_since "$began")
cmp "$scratch/reply.json" "$scratch/again.json"

step "how long it took"
# The time is in the last column of the replica's row.
constructed=$(dcf function info ocr | awk '/ Constructor$/ { getline; print $(NF - 1), $NF }')
printf '%-36s %s\n' "deploy, pip and the constructor" "$deployed" "the constructor, with its imports" "$constructed" \
    "the first call" "$called" "the second call" "$again"
