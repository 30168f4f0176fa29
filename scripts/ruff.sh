#!/usr/bin/env bash
# scripts/ruff.sh ARGUMENTS: runs ruff, which checks the Python code by the rules of ruff.toml. The cache has the program.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-dependencies.sh lint
home=$(scripts/python-venv.sh lint scripts/requirements-lint.txt)
exec "$home/bin/ruff" "$@" --no-cache
