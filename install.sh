#!/bin/sh
# Installs qcow2inspect into .venv beside this script: "sh install.sh", or "sh install.sh dev" with what the tests need.
set -eu
cd "$(dirname "$0")"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

find_python() {
    for python in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    echo "install.sh: Python 3.11 or newer is needed (or set PYTHON to one)" >&2
    return 1
}

make_venv() {
    "$1" -m venv .venv >/dev/null 2>&1 && return
    rm -rf .venv
    # Debian keeps the venv module in a package of its own.
    echo "install.sh: installing python3-venv" >&2
    as_root apt-get update -qq && as_root apt-get install -y -qq python3-venv >/dev/null
    "$1" -m venv .venv
}

python=$(find_python)
[ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 || make_venv "$python"
if [ "${1:-}" = dev ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
else
    .venv/bin/python -m pip install --quiet --disable-pip-version-check .
fi
