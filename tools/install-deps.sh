#!/usr/bin/env bash
# Installs the Debian packages that Lockstep needs and that are not there yet: one apt-get install, and no use of the
# network where nothing is missing. The one place where the packages are listed.
#
#   tools/install-deps.sh build         to build
#   tools/install-deps.sh build demo    to build and to run ./demo.sh
#   tools/install-deps.sh build demo regions    for ./demo.sh regions too
#   tools/install-deps.sh build package           to build and to make a Debian package by cpack
#   tools/install-deps.sh build test    to build and to run every test
#
# As root, or through sudo. (openssh-server is for the tests, which start their own sshd on a port of their own; Debian
# also starts its service on port 22 when it is first installed: `systemctl disable --now ssh` if you do not want that.)
set -euo pipefail

build_packages=(
    gcc libc6-dev cmake ninja-build pkg-config ca-certificates
    libuv1-dev libmsgpack-dev libssh2-1-dev libssl-dev libzstd-dev libxxhash-dev libjansson-dev libcurl4-openssl-dev
    libmicrohttpd-dev   # the daemon's /healthz and /metrics
)
package_packages=(dpkg-dev file)
demo_packages=(sqlite3)
regions_packages=(python3 iproute2 radosgw ceph-mon ceph-osd)
test_packages=(
    libcmocka-dev python3 iproute2 openssh-server openssh-client sqlite3 procps curl openssl
    spin radosgw ceph-mon ceph-osd   # the models, and a real S3 server
    bash zsh fish mandoc             # what completes command lines, and what reads the manual
    "${package_packages[@]}"
    rsync zstd gnuplot-nox           # what the bench measures against, and its pictures
)

usage() {
    echo "usage: tools/install-deps.sh build [package] [demo] [regions] [test]" >&2
    exit 64
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

[ $# -gt 0 ] || usage
wanted=()
for group in "$@"; do
    case $group in
    build) wanted+=("${build_packages[@]}") ;;
    package) wanted+=("${package_packages[@]}") ;;
    demo) wanted+=("${demo_packages[@]}") ;;
    regions) wanted+=("${regions_packages[@]}") ;;
    test) wanted+=("${test_packages[@]}") ;;
    *) usage ;;
    esac
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "This machine has no apt-get, so nothing was installed. On Debian 12 the packages are:" >&2
    echo "    ${wanted[*]} npm" >&2
    echo "With their like installed, run the commands of this script's caller by hand." >&2
    exit 69
fi

missing=()
for package in "${wanted[@]}"; do
    is_installed "$package" || missing+=("$package")
done
# cmake/SQLite.cmake fetches SQLite with npm; people have npm from elsewhere, too, which Debian's would disturb.
command -v npm >/dev/null || missing+=(npm)
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
    [ -t 0 ] || as_root=(sudo -n)
    if ! command -v sudo >/dev/null || ! "${as_root[@]}" true; then
        echo "Packages are missing, and installing them needs root or sudo. Run this as root, then start again:" >&2
        echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 77
    fi
fi

echo "installing: ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
# An update that fails need not matter: the lists may be there, and the install says it if they are not.
"${apt[@]}" update </dev/null || echo "apt-get update failed; going on with the package lists that are there" >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null
