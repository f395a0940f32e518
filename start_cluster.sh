#!/usr/bin/env bash
# Starts, stops and shows the three nodes of config/node*.toml on this machine: ./start_cluster.sh help
#
# This script makes sure that there is a Python to run them with; what it then does is in
# ironkv/tools/control.py. IRONKV_START_PYTHON names an interpreter to use instead of .venv.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
python=${IRONKV_START_PYTHON:-$root/.venv/bin/python}
unset IRONKV_START_PYTHON

case ${1:-help} in
    start | restart)
        [[ $python != "$root/.venv/bin/python" ]] || "$root/tools/venv"
        ;;
    *)
        # Looking and stopping need nothing installed, and must work when .venv is gone.
        [[ -x $python ]] || python=$("$root/tools/venv" python)
        ;;
esac

export PYTHONUTF8=1 PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
exec "$python" -m ironkv.tools.control "$@"
