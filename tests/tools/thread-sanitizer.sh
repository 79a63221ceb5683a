#!/bin/bash
# Runs tests of several threads under the thread sanitizer, and prints the reports that name a file or
# a module of ours: each is a failure. Those of CPython and NumPy alone are only counted.
#
#   tests/tools/thread-sanitizer.sh python3.13t [pytest arguments]
#
# It takes 20 minutes on two processors. The Python is one that Clang has built for the sanitizer, to
# which the locks of another one are unknown:
#
#   CC=clang ./configure --disable-gil --with-thread-sanitizer --prefix=FOLDER && make && make install
#
# It needs LLVM's OpenMP (libomp-dev), whose part Archer tells the sanitizer what waits for what. The
# instruction set is `generic`, as the sanitizer sees no access of more than 16 bytes. Safetensors is
# not installed (free-threaded.sh says why), so no test may read or write a model.
set -euo pipefail
python=$(command -v "$1")
shift
[ $# -gt 0 ] ||
    set -- tests/_kernels/test_{many_threads,threads,directions}.py -k 'many_threads or generic'
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TSAN_OPTIONS=report_bugs=0
unset PYTHONPATH
"$python" -m venv "$work/venv"
# shellcheck source=/dev/null
source "$work/venv/bin/activate"
pip install --quiet --only-binary :all: 'setuptools>=77' 'Cython>=3.1' 'numpy>=2' 'tqdm>=4.60' \
    'pytest>=8' 'hypothesis>=6.100' 'threadpoolctl>=3'
cp -r pyproject.toml setup.py README.md LICENSE src tests "$work"
cd "$work"
find src -name '*.so' -delete
compiler=$(python -c 'import sysconfig; print(sysconfig.get_config_var("CC").split()[0])')
CC="$compiler -fsanitize=thread" FASTRNN_DEBUG=1 python setup.py --quiet build_ext --inplace
archer=$("$compiler" -print-file-name=libarcher.so)
[ -e "$archer" ] || { echo "thread-sanitizer.sh: $compiler has no libarcher.so" >&2; exit 1; }
export OMP_TOOL_LIBRARIES=$archer FASTRNN_SIMD=generic
export PYTHONPATH=src OPENBLAS_NUM_THREADS=1 PYTHON_GIL=0
options=(
    "log_path=$work/report" exitcode=0 ignore_noninstrumented_modules=1 history_size=4
    die_after_fork=0 "external_symbolizer_path=$(command -v addr2line)"
    "stack_trace_format='    #%n %f %S (%m+%o)'" # with the full paths of modules
)
export TSAN_OPTIONS="${options[*]}"
python -c 'import fastrnn; assert fastrnn.cpu_info()["openmp"]'
failed=0
python -m pytest -q -s -p no:cacheprovider "$@" || failed=$?
shopt -s nullglob
awk -v RS='==================\n' '
    /WARNING: ThreadSanitizer/ { all++ }
    /WARNING: ThreadSanitizer/ && /\/_kernels\// { ours++; print }
    END { printf "thread sanitizer: %d reports, %d of them name ours\n", all, ours; exit ours > 0 }
' /dev/null report.* || failed=1
exit "$failed"
