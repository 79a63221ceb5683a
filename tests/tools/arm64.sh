#!/bin/bash
# Runs the kernel tests on 64-bit ARM: built by Debian's cross compiler, run by qemu in a Debian of
# that architecture.
#
#   sudo tests/tools/arm64.sh [pytest arguments]
#
# Without arguments all kernel tests run, with at most EXAMPLES (3) examples of hypothesis each, which
# takes hours. It needs root, debootstrap, gcc-aarch64-linux-gnu, qemu-user-static, two GB in TMPDIR,
# and a Python (PYTHON) with pip and what a build needs. SUITE and MIRROR name another Debian. ARM64
# names a folder that is kept and used again; otherwise a temporary one is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- tests/_kernels
python=${PYTHON:-python3} suite=${SUITE:-stable} mirror=${MIRROR:-http://deb.debian.org/debian}
rules=/usr/lib/binfmt.d/qemu-aarch64.conf # what the kernel is told of qemu

work=$(mktemp -d)
child=
trap '[ -z "$child" ] || kill -KILL "$child"; rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' INT TERM
root=${ARM64:-$work/debian}
say() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }

if [ ! -e "$root/unpacked" ]; then
    say "debootstrap $suite"
    # Unpacked, not configured: what Python needs is in place then, and qemu would take long.
    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3-dev,libgomp1 \
        "$suite" "$root" "$mirror" >"$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
    for package in "$root"/var/cache/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root"
    done
    mkdir "$root/fastrnn" "$root/site"
    touch "$root/unpacked"
fi
version=$(basename "$root"/usr/include/python3.*)
version=${version#python}

say "packages for Python $version"
"$python" -m pip install --quiet --upgrade --target "$root/site" --only-binary :all: \
    --python-version "$version" --implementation cp --abi "cp${version/./}" --abi abi3 --abi none \
    --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 \
    numpy safetensors tqdm pytest hypothesis threadpoolctl

say "build"
git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from=- --ignore-failed-read |
    tar --extract --directory="$root/fastrnn"
# ARM's headers before those of the Python that builds. A module named plainly .so suits any Python.
compiler="aarch64-linux-gnu-gcc -I$root/usr/include/python$version -idirafter $root/usr/include"
(cd "$root/fastrnn" && CC=$compiler LDSHARED="aarch64-linux-gnu-gcc -shared" \
    "$python" setup.py --quiet build_ext --inplace >"$work/log" 2>&1) ||
    { tail -n 30 "$work/log"; exit 1; }
find "$root/fastrnn/src" -name '*.cpython-*.so' -exec \
    bash -c 'for path; do mv "$path" "${path%%.cpython-*}.so"; done' rename {} +

# A user namespace has rules of its own for programs of other machines; those of this one stay as
# they are. Mounts and processes end with it.
cat >"$work/inside" <<'END'
read -r _ <"$1"
exec unshare --mount --pid --fork --kill-child bash "$2" "${@:3}"
END
cat >"$work/mounted" <<'END'
set -eu
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
cat "$1" >/proc/sys/fs/binfmt_misc/register
mount -t proc proc "$2/proc"
mount --rbind /dev "$2/dev"
mount -t tmpfs tmp "$2/tmp"
# Python keeps its bytecode: to compile what a test's own process imports takes half a minute.
exec chroot "$2" env -i PATH=/usr/bin HOME=/tmp LANG=C.UTF-8 OMP_WAIT_POLICY=passive \
    PYTHONPATH=src:tests/tools:/site EXAMPLES="${EXAMPLES:-3}" sh -c 'cd /fastrnn && exec "$@"' in \
    python3 -m pytest -q -p no:cacheprovider -p few_examples "${@:3}"
END
say "pytest $*"
mkfifo "$work/begin"
unshare --user bash "$work/inside" "$work/begin" "$work/mounted" "$rules" "$root" "$@" </dev/null &
child=$!
while [ "$(readlink /proc/$child/ns/user)" = "$(readlink /proc/$$/ns/user)" ]; do sleep 0.1; done
echo '0 0 65536' >"/proc/$child/uid_map"
echo '0 0 65536' >"/proc/$child/gid_map"
echo >"$work/begin"
status=0
wait $child || status=$?
child=
[ "$status" = 0 ]
say "done"
