#!/bin/bash
# Builds for a CPython without the GIL and runs tests there: first those of eight threads at once,
# each for a minute (FASTRNN_HAMMER_SECONDS), then those of the kernels and of `ops`.
#
#   tests/tools/free-threaded.sh python3.13t [pytest arguments for the second part]
#
# It takes half an hour on two processors, and needs a C compiler. Where no such Python can be had,
# CPython's source makes one:
#
#   ./configure --disable-gil --prefix=FOLDER && make && make install
#
# Safetensors has no wheel for 3.13t (for 3.14t from 0.9 on), and pip can compile it only where there
# is Rust. These tests read and write no model, so it is not installed. NumPy's last wheel for 3.13t
# is that of 2.4.
set -euo pipefail
python=$(command -v "$1")
shift
[ $# -gt 0 ] || set -- tests/_kernels tests/ops
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }

say "packages and build"
"$python" -m venv "$work/venv"
# shellcheck source=/dev/null
source "$work/venv/bin/activate"
unset PYTHONPATH
python -c 'import sysconfig; assert sysconfig.get_config_var("Py_GIL_DISABLED"), "it has a GIL"'
pip install --quiet --only-binary :all: 'setuptools>=77' 'Cython>=3.1' 'numpy>=2' 'tqdm>=4.60' \
    'pytest>=8' 'hypothesis>=6.100' 'threadpoolctl>=3'
cp -r pyproject.toml setup.py README.md LICENSE src tests "$work"
cd "$work"
find src -name '*.so' -delete
pip install --quiet --no-deps --no-build-isolation .

# A module that does not declare itself turns the GIL on, with a warning.
say "import without a warning, without the GIL"
python -W error -c 'import fastrnn'
python -W error -c 'import sys, fastrnn._kernels; assert not sys._is_gil_enabled()'
export PYTHON_GIL=0 # whatever the tests import
say "eight threads"
FASTRNN_HAMMER_SECONDS=${FASTRNN_HAMMER_SECONDS:-60} \
    python -m pytest -v -s -p no:cacheprovider tests/_kernels/test_many_threads.py
say "pytest $*"
python -m pytest -q -p no:cacheprovider "$@"
say "done"
