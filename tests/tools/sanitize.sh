#!/bin/sh
# Runs kernel tests under a checker of memory, on a copy of the tree that is built for it.
#
#   tests/tools/sanitize.sh address [pytest arguments]    out of bounds, undefined behaviour
#   tests/tools/sanitize.sh valgrind [pytest arguments]   memory used before it was written
#
# Without pytest arguments: all kernel tests, which takes minutes (address) or an hour (valgrind).
# PYTHON names the interpreter; it needs what `pip install '.[test]'` and a build need.
set -eu
checker=$1
shift
[ $# -gt 0 ] || set -- tests/_kernels
python=$(command -v "${PYTHON:-python3}")
cd "$(dirname "$0")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r pyproject.toml setup.py README.md LICENSE src tests "$copy"
cd "$copy"
find src -name '*.so' -delete

case $checker in
address)
    flags='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer'
    ;;
valgrind)
    flags=
    ;;
*)
    echo "sanitize.sh: wanted address or valgrind, got $checker" >&2
    exit 2
    ;;
esac
CC="gcc $flags" "$python" setup.py --quiet build_ext --inplace

# Every Python object its own block; without the tests of growth, which the checkers' own
# bookkeeping would fail.
export PYTHONPATH=src PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1
set -- -m pytest -q -s -p no:cacheprovider --deselect tests/_kernels/test_memory.py "$@"
if [ "$checker" = address ]; then
    preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
    ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$preload" "$python" "$@"
else
    # CPython and the C library have their own reports; ours name a module of _kernels.
    valgrind --log-file=valgrind.log "$python" "$@"
    ! grep -B 6 -A 6 'in .*/_kernels/.*\.so' valgrind.log
fi
