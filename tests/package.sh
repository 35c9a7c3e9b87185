#!/usr/bin/env bash
# The Debian package, tried as a stranger would: built by cpack from the release preset, installed by apt in a clean Debian 12
# root, used by an ordinary user, purged; then nothing of it may be left. Some minutes the first time; the root is kept.
#
#   tests/package.sh                      debootstrap makes the root, from the mirror that this machine's apt uses
#   tests/package.sh --root DIR           copies that root (a minbase one) instead
#   tests/package.sh --package FILE.deb   tries that package instead of building one
#
# As root, with debootstrap. Everything is mounted in a namespace of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

root= package=
while [ $# -gt 0 ]; do
    case $1 in
    --root) root=$(realpath "$2"); shift 2 ;;
    --package) package=$(realpath "$2"); shift 2 ;;
    *) sed -n 's/^# \{0,1\}//; 2,/^set/p' "$0" >&2; exit 64 ;;
    esac
done
[ "$(id -u)" -eq 0 ] || { echo "tests/package.sh must be run as root: it makes a root file system" >&2; exit 77; }
if [ -z "${LOCKSTEP_TEST_NAMESPACE:-}" ]; then
    arguments=()
    [ -z "$root" ] || arguments+=(--root "$root")
    [ -z "$package" ] || arguments+=(--package "$package")
    LOCKSTEP_TEST_NAMESPACE=1 exec unshare --mount --propagation private "$0" "${arguments[@]}"
fi

# The first mirror in apt's own order, and what apt needs to get there.
mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -1
}

if [ -z "$package" ]; then
    cmake --preset release
    cmake --build --preset release
    rm -f build/release/lockstep_*.deb
    (cd build/release && cpack -G DEB)
    package=$(ls "$PWD"/build/release/lockstep_*.deb)
fi
if [ -z "$root" ]; then
    root=$PWD/build/debian12
    if [ ! -e "$root/.complete" ]; then
        rm -rf "$root"
        debootstrap --variant=minbase bookworm "$root" "$(mirror)"
        touch "$root/.complete"
    fi
fi

# The root stays as it is: what is done to it goes to memory.
work=$(mktemp -d)
trap 'umount -R "$work" 2>/dev/null; rmdir "$work"' EXIT
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/clean"
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" overlay "$work/clean"
clean=$work/clean
mount -t proc proc "$clean/proc"
mount --rbind /dev "$clean/dev"
cp /etc/resolv.conf "$clean/etc/" 2>/dev/null || true
rm -rf "$clean/etc/apt/sources.list" "$clean/etc/apt/sources.list.d"
cp -r /etc/apt/apt.conf.d/. "$clean/etc/apt/apt.conf.d/"
echo "deb $(mirror) bookworm main" >"$clean/etc/apt/sources.list"
cp "$package" "$clean/root/lockstep.deb"

inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} chroot "$clean" "$@"
}

# All files but those that apt writes, and the tester's own.
files() {
    inside find / -xdev \( -path /proc -o -path /dev -o -path /var/lib/apt -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/log -o -path /tmp -o -path /home \) -prune \
        -o -print | sort
}

inside apt-get -q update
inside apt-get -q -y install --no-install-recommends man-db
inside useradd --create-home tester
files >"$work/before"

echo "depends on: $(dpkg-deb -f "$package" Depends)"
inside apt-get -q -y install --no-install-recommends /root/lockstep.deb
inside dpkg --audit
inside dpkg --verify lockstep

# A database from outside, since nothing in a minimal root makes one.
sql() {
    python3 -c 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit()' "$@"
    inside chown -R tester: /home/tester
}
sql "$clean/home/tester/origin.db" "create table t(n); insert into t values (1)"
as_tester() {
    inside su - tester -c "set -eu; $1"
}
as_tester 'lockstep --version; lockstep-origin --version'
as_tester 'man lockstep | grep "EXIT STATUS"; man lockstep-origin | grep SSH_ORIGINAL_COMMAND'
as_tester 'lockstep pull origin.db copy.db'
sql "$clean/home/tester/copy.db" "insert into t values (2)"
as_tester 'lockstep push copy.db origin.db; lockstep verify origin.db copy.db'
as_tester 'lockstep run origin.db copy.db -- sh -c "test -n \"\$LOCKSTEP_TOKEN\" && test -s \"\$LOCKSTEP_DB\""'
as_tester 'lockstep status origin.db copy.db | grep "in sync"'

inside apt-get -q -y purge lockstep
inside apt-get -q -y autoremove --purge
files >"$work/after"
if ! diff "$work/before" "$work/after"; then
    echo "purged, it left something behind" >&2
    exit 1
fi
echo "ok: $(basename "$package") installs, works and goes without a trace"
