#!/usr/bin/env bash
# Runs the end-to-end tests: scripts/end-to-end.sh [pytest's arguments], as in
# scripts/end-to-end.sh test_faults.py -k full_queue
#
# DCF_BIN        the folder of the programs under test (default .build/debug)
# DCF_TEST_FULL  1: the faults at full length
#
# What the tests need from PyPI lives in the cache, outside the tree: two venvs, as the real client's generated code
# and ours declare the same messages and cannot meet in one process.
set -euo pipefail
cd "$(dirname "$0")/.."

export DCF_BIN=${DCF_BIN:-$PWD/.build/debug}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dcf-test

# Makes the venv $1 of the requirements file $2, again when that has changed.
venv() {
    local home=$cache/$1 wanted
    wanted=$(sha256sum <"$2")
    [[ -f $home/made-from && $(<"$home/made-from") == "$wanted" ]] && return
    echo "making $home" >&2
    rm -rf "$home"
    python3 -m venv "$home"
    "$home/bin/pip" install -q --disable-pip-version-check -r "$2"
    echo "$wanted" >"$home/made-from"
}

mkdir -p "$cache"
venv venv Tests/EndToEnd/requirements.txt
venv dcfgrpc Tests/EndToEnd/requirements-dcfgrpc.txt
export DCF_TEST_DCFGRPC=$cache/dcfgrpc/bin/python
python=$cache/venv/bin/python

# The watcher alone, driven as the gateway does it.
if [[ $# == 0 ]]; then
    (cd Tests/Watcher && "$python" -m pytest -p no:cacheprovider --timeout 180)
fi
cd Tests/EndToEnd
status=0
"$python" -m pytest -p no:cacheprovider "$@" || status=$?
# And with functions that are images, as far as that can make a difference. Where no engine can be started they are
# skipped, and say why.
if [[ $# == 0 ]]; then
    echo "once more, with functions that are images" >&2
    "$python" -m pytest -p no:cacheprovider --engine docker -m "not process" \
        test_{cancellation,chains,concurrency,context,deadlines,endings,handlers,health,invoke,supervision,updates}.py ||
        status=$?
fi
exit "$status"
