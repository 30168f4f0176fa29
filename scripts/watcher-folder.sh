#!/usr/bin/env bash
# scripts/watcher-folder.sh FOLDER: makes the folder that becomes /dcf/watcher in an image of a function. It uses the
# programs that are already built.
#
#   dcf-watcher           the launcher: one static file
#   libPythonWatcher.so   the library that the image's interpreter loads, with Swift's runtime in it
#   server.py             for images whose command is `python3 server.py`
#
# DCF_BIN: the folder of the programs (default .build/release). The script fails when the library needs more than every
# base has, which is glibc 2.34 and libgcc_s.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:?"usage: scripts/watcher-folder.sh FOLDER"}
built=${DCF_BIN:-.build/release}
for file in dcf-watcher libPythonWatcher.so; do
    [[ -e $built/$file ]] || {
        echo "$built/$file is not there; run make watcher-folder, or make build" >&2
        exit 66
    }
done

library=$built/libPythonWatcher.so
beyond=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' |
    grep -vE '^(libc|libm|libgcc_s|libdl|libpthread)\.so\.|^ld-linux' || true)
newer=$(readelf -V "$library" | grep -oE 'GLIBC_2\.[0-9]+' | sort -uV | awk -F. '$2 > 34' || true)
[[ -z $beyond$newer ]] || {
    echo "$library would not load in every image: it needs" $beyond $newer >&2
    exit 70
}

rm -rf "$folder"
install -d "$folder"
install -m 755 "$built/dcf-watcher" "$folder"
install -m 644 "$library" Watcher/server.py "$folder"
# .swift_ast is for debuggers. strip does not remove it by itself.
strip --strip-unneeded --remove-section=.swift_ast "$folder/dcf-watcher" "$folder/libPythonWatcher.so"
echo "made $folder: $(du -sh --apparent-size "$folder" | cut -f1)"
