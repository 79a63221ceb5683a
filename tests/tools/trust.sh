#!/bin/bash
# Tries at length whether the kernels keep their word: random configurations under checkers of memory
# and of threads, allocations that fail, mutated files, kills, growth. Prints a table of counts.
#
#   tests/tools/trust.sh                all parts but `large`: hours
#   tests/tools/trust.sh PART ...       these
#   tests/tools/trust.sh --short ...    a tenth of it; `.ci/run` does so with the first three
#
# part         minutes  what it does
# address           35  random configurations under the address and undefined sanitizers
# allocations        7  every allocation of every operation fails once, then some of random ones
# mutations         15  50,000 mutated files for each reader
# valgrind          60  random configurations: memory that is read before it is written
# kills              5  `fastrnn train` is stopped 100 times, and ends as if it had not been
# soak              20  random configurations in one process, whose memory must not grow
# wide              10  the kernel tests on the generic C source with the sizes of AVX-512
# threads           20  the thread sanitizer; TSAN_PYTHON names a Python for thread-sanitizer.sh
# large             60  calls with more than 2^31 elements, up to 18 GiB of memory
#
# Valgrind knows no AVX-512, so it runs the other sets. No free emulator has AVX-512, either: where the
# machine lacks it, `wide` runs the same source with vectors of 64 bytes and 32 registers, which the
# compiler makes of what there is.
set -uo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
tools=tests/tools
configurations=$tools/random_configurations.py

short=
if [ "${1:-}" = --short ]; then
    short=1
    shift
fi
# The first of two numbers, or the second in a short run.
pick() { if [ "$short" ]; then echo "$2"; else echo "$1"; fi; }

address() { $tools/sanitize.sh address $configurations --show --seconds "$(pick 1800 90)"; }
allocations() { $python $tools/failing_allocations.py --seconds "$(pick 300 20)"; }
mutations() {
    FASTRNN_MUTATIONS=$(pick 50000 5000) \
        $python -m pytest -q -n 2 -p no:cacheprovider tests/test_hostile_files.py
}
valgrind() {
    local sets=(generic)
    if grep -q avx2 /proc/cpuinfo; then sets+=(avx2); fi
    FASTRNN_SIMD=generic $tools/sanitize.sh valgrind $configurations --show \
        --count "$(pick 300 20)" --simd "${sets[@]}"
}
kills() {
    FASTRNN_KILLS=$(pick 100 10) \
        $python -m pytest -q -p no:cacheprovider tests/test_interruptions.py
}
soak() { $python $configurations --steady --seconds "$(pick 1200 120)"; }
wide() { $tools/sanitize.sh wide tests/_kernels -k generic; }
threads() { $tools/thread-sanitizer.sh "$TSAN_PYTHON"; }
large() { $python $tools/large.py; }

parts=(address allocations mutations valgrind kills soak wide)
if [ $# -eq 0 ]; then
    set -- "${parts[@]}"
    if [ "${TSAN_PYTHON:-}" ]; then
        set -- "$@" threads
    else
        echo "threads: left out, TSAN_PYTHON is not set"
    fi
fi
for part; do
    if [[ " ${parts[*]} threads large " != *" $part "* ]]; then
        echo "trust.sh: wanted some of ${parts[*]} threads large, got $part" >&2
        exit 2
    fi
    if [ "$part" = threads ] && [ -z "${TSAN_PYTHON:-}" ]; then
        echo "trust.sh: threads needs TSAN_PYTHON, a Python for thread-sanitizer.sh" >&2
        exit 2
    fi
done

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
counts='configurations in |operations, |reports, |[0-9] (passed|failed)[, ]'
failed=0 table=
for part; do
    begin=$SECONDS log=$logs/$part
    if "$part" >"$log" 2>&1; then
        result=passed
    else
        result=FAILED failed=1
        grep -v '^--only' "$log" | tail -n 200
        grep '^--only' "$log" | tail -n 1 # what was under way
    fi
    count=$(grep -E "$counts" "$log" | tail -n 1)
    printf -v line '%-12s %s %6d s  %s' "$part" "$result" $((SECONDS - begin)) \
        "${count:-$(tail -n 1 "$log")}"
    echo "$line"
    table+=$line$'\n'
done
printf '\n%s' "$table"
exit $failed
