#!/usr/bin/env bash
# scripts/nightly.sh [PART...]: runs what is too long for each change, one part after another. A part is a target of the
# Makefile; without an argument all of them run.
#
# A part that fails does not keep the others from running. The last lines say which part passed; fails when one failed.
set -euo pipefail
cd "$(dirname "$0")/.."
trap 'exit 130' INT TERM

parts=(asan tsan test-long soak)
[[ $# == 0 ]] || parts=("$@")
summary=()
status=0
for part in "${parts[@]}"; do
    echo "== make $part =="
    began=$SECONDS
    verdict=passed
    # ARGS of `make nightly` are parts, and no arguments of theirs.
    "${MAKE:-make}" --no-print-directory "$part" ARGS= || verdict="failed (status $?)"
    [[ $verdict == passed ]] || status=1
    took=$((SECONDS - began))
    summary+=("$(printf '%-10s %3d min %02d s  %s' "$part" $((took / 60)) $((took % 60)) "$verdict")")
done
echo
echo "== nightly =="
printf '%s\n' "${summary[@]}"
exit "$status"
