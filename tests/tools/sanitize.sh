#!/bin/sh
# Runs kernel tests under a checker of memory, on a copy of the tree that is built for it.
#
#   tests/tools/sanitize.sh address [arguments]    out of bounds, undefined behaviour
#   tests/tools/sanitize.sh valgrind [arguments]   memory used before it was written
#   tests/tools/sanitize.sh wide [arguments]       none: `generic` with the sizes of AVX-512
#
# The arguments are those of pytest, or tests/tools/random_configurations.py and its own.
# Without any: all kernel tests, which takes minutes (address) or an hour (valgrind).
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
if [ "$checker" = wide ]; then
    sed -i 's/"generic": (16, 16, /"generic": (64, 32, /' setup.py
    grep -q '"generic": (64, 32, ' setup.py
fi

case $checker in
address)
    flags='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer'
    ;;
valgrind | wide)
    flags=
    ;;
*)
    echo "sanitize.sh: wanted address, valgrind or wide, got $checker" >&2
    exit 2
    ;;
esac
CC="gcc $flags" "$python" setup.py --quiet build_ext --inplace

# Every Python object its own block; without the tests of growth, which the checkers' own
# bookkeeping would fail.
export PYTHONPATH=src PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1
case $1 in
tests/tools/*) ;;
*) set -- -m pytest -q -s -p no:cacheprovider --deselect tests/_kernels/test_memory.py "$@" ;;
esac
if [ "$checker" = address ]; then
    preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
    ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$preload" "$python" "$@"
elif [ "$checker" = wide ]; then
    FASTRNN_SIMD=generic "$python" "$@"
else
    # CPython and the C library have their own reports; ours name a module of _kernels.
    valgrind --log-file=valgrind.log "$python" "$@"
    ! grep -B 6 -A 6 'in .*/_kernels/.*\.so' valgrind.log
fi
