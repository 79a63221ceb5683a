#!/bin/bash
# Types the README's commands on a new Debian stable, as a user who may sudo: the packages, the
# installation with the demo, the tests. Prints the demo's accuracy and pytest's closing line.
#
#   sudo tests/tools/fresh-debian.sh [--no-compiler | --wheel FILE] [folder that it sees] ...
#
# With --no-compiler or --wheel there is only Python, and the demo has two epochs; a wheel takes the
# place of the sources, and must bring its kernels.
#
# The commands are those in README.md. It needs debootstrap and root, one GB in TMPDIR and about 20
# minutes. pip reaches its index as on this machine: its variables, those of proxies and
# certificates, and the files and folders that they name, are there, too; other folders of this
# machine (one in which pip.conf lies, an index on this disk) are arguments. SUITE and MIRROR name
# another Debian, with COMPONENTS=main,universe an Ubuntu. LOG names a file for all that is printed.
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=${SUITE:-stable} mirror=${MIRROR:-http://deb.debian.org/debian}

# The one line of the README's shell code that matches.
from_readme() {
    local lines
    lines=$(sed -n '/^```sh$/,/^```$/p' README.md | grep -E "$1" | sed 's/ *#.*//')
    if [ "$(wc -l <<<"$lines")" != 1 ] || [ -z "$lines" ]; then
        echo "fresh-debian.sh: README.md must have one command like $1" >&2
        return 1
    fi
    echo "$lines"
}
packages=$(from_readme '^sudo apt-get install ')
demo=$(from_readme '&& fastrnn demo( |$)')
tests=$(from_readme '&& pytest$')

only_python='sudo apt-get install python3-venv'
case ${1:-} in
--no-compiler)
    packages=$only_python demo="$demo --epochs 2"
    shift
    ;;
--wheel)
    wheel=$(realpath "$2")
    packages=$only_python
    demo="${demo/pip install ./pip install /home/reader/$(basename "$wheel")} --epochs 2"
    tests='. .venv/bin/activate && fastrnn info | grep "^backend: compiled"'
    shift 2
    ;;
esac

root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
log=${LOG:-$root/log}
say() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }

say "debootstrap $suite"
debootstrap --variant=minbase --components="${COMPONENTS:-main}" --include=ca-certificates,sudo \
    "$suite" "$root/debian" "$mirror" >"$log" 2>&1 || { tail -n 20 "$log"; exit 1; }

debian=$root/debian
cp /etc/resolv.conf "$debian/etc/resolv.conf"
echo 'APT::Get::Assume-Yes "true";' >"$debian/etc/apt/apt.conf.d/90yes"
chroot "$debian" useradd --create-home --shell /bin/bash reader
echo 'reader ALL=(ALL) NOPASSWD: ALL' >"$debian/etc/sudoers.d/reader"
mkdir "$debian/home/reader/fastrnn"
git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from=- --ignore-failed-read |
    tar --extract --no-same-owner --directory="$debian/home/reader/fastrnn"
[ -z "${wheel:-}" ] || cp "$wheel" "$debian/home/reader"
chroot "$debian" chown -R reader: /home/reader/fastrnn

# What is needed to reach the network, and the folders of this machine that it names.
network=() shared=("$@")
while IFS='=' read -r name value; do
    network+=("$name=$value")
    [[ $value != /* || ! -e $value ]] || shared+=("$value")
done < <(env | grep -iE '^(PIP_|SSL_CERT_|REQUESTS_CA_BUNDLE=|[a-z]*_proxy=)')
{
    for variable in "${network[@]}"; do printf 'export %q\n' "$variable"; done
    echo 'cd ~/fastrnn'
    printf '%s || exit\n' "$packages" "$demo" "$tests"
} >"$debian/home/reader/commands"

# Mounts in a namespace of its own: they, and every process that is left, end with it.
# shellcheck disable=SC2016
inside='
debian=$1; shift
for folder in proc sys dev/pts dev/shm; do mkdir -p "$debian/$folder"; done
mount -t proc proc "$debian/proc"
mount -t sysfs -o ro sysfs "$debian/sys"
mount -t devpts devpts "$debian/dev/pts"
mount -t tmpfs shm "$debian/dev/shm"
for path in "$@"; do
    if [ -d "$path" ]; then
        mkdir -p "$debian/$path"
    elif [ ! -e "$debian/$path" ]; then
        mkdir -p "$debian/$(dirname "$path")"
        touch "$debian/$path"
    fi
    mount --bind -o ro "$path" "$debian/$path"
done
exec chroot "$debian" env -i HOME=/home/reader USER=reader TERM=dumb LANG=C.UTF-8 \
    PATH=/usr/local/bin:/usr/bin:/bin setpriv --reuid=reader --regid=reader --init-groups \
    bash -o pipefail /home/reader/commands
'
say "the commands of README.md"
printf '   %s\n' "$packages" "$demo" "$tests"
status=0
unshare --mount --pid --fork --kill-child bash -euc "$inside" inside "$debian" "${shared[@]}" \
    >"$log" 2>&1 </dev/null || status=$?
if [ "$status" != 0 ]; then
    tail -n 60 "$log"
    say "failed with status $status"
    exit 1
fi
sed -n '/^exact match on the held-out dates/,/^$/p' "$log"
tail -n 1 "$log"
say "done"
