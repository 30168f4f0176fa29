#!/usr/bin/env bash
# scripts/python-venv.sh NAME REQUIREMENTS: prints the path of a venv that has what the file REQUIREMENTS lists.
#
# The venv is NAME in the cache, outside the tree. It is made once, and made again when the file has changed or its Python
# no longer starts. Only then is PyPI needed.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/dcf-test
home=$cache/$1
wanted=$(sha256sum <"$2")
mkdir -p "$cache"

# One process at a time makes it.
exec 9>"$cache/$1.lock"
flock 9
if [[ ! -f $home/made-from || $(<"$home/made-from") != "$wanted" ]] || ! "$home/bin/python" -c 'import pip' 2>/dev/null; then
    echo "making $home" >&2
    rm -rf "$home"
    python3 -m venv "$home"
    "$home/bin/pip" install -q --disable-pip-version-check -r "$2" >&2 || {
        echo "pip could not install what $2 lists; it needs PyPI this once" >&2
        exit 69
    }
    echo "$wanted" >"$home/made-from"
fi
echo "$home"
