#!/usr/bin/env bash
# Runs the end-to-end tests: scripts/end-to-end.sh [arguments of pytest]
# Example: scripts/end-to-end.sh test_faults.py -k full_queue
#
# Without arguments all of them run, those of Tests/Watcher too, in several lanes at the same time (scripts/lanes.py).
# With arguments one pytest runs in Tests/EndToEnd.
#
# DCF_BIN        the folder of the programs under test (default .build/debug)
# DCF_TEST_FULL  1 runs the faults at full length
#
# The packages that the tests need from PyPI are in the cache, outside the tree. There are two venvs: the generated
# code of the original client declares the same messages as ours, and one process cannot load both.
set -euo pipefail
cd "$(dirname "$0")/.."

export DCF_BIN=${DCF_BIN:-$PWD/.build/debug}
venv=$(scripts/python-venv.sh venv Tests/EndToEnd/requirements.txt)
python=$venv/bin/python
dcfgrpc=$(scripts/python-venv.sh dcfgrpc Tests/EndToEnd/requirements-dcfgrpc.txt)
export DCF_TEST_DCFGRPC=$dcfgrpc/bin/python

if [[ $# == 0 ]]; then
    exec "$python" scripts/lanes.py
fi
cd Tests/EndToEnd
exec "$python" -m pytest -p no:cacheprovider "$@"
