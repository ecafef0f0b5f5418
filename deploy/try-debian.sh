#!/bin/bash
# Tries this tree in a fresh, minimal Debian, as a stranger would have it:
#
#   sudo deploy/try-debian.sh trixie                   make test in Debian 13
#   sudo deploy/try-debian.sh bookworm make run        another command
#
# It needs debootstrap and root, and takes what is committed. MIRROR is where the packages come
# from, by default where this machine's apt gets them. DIRECTORY keeps the system there for the
# next time; without it, it goes to a temporary folder and is removed at the end. Mounts and
# processes are in namespaces of their own and end with the command, whatever happens.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "try-debian: $*" >&2
    exit 1
}

# shellcheck disable=SC2016 # apt-get expands it
apt_mirror() {
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null |
        head -n 1
}

# What lets programs inside reach the network the way it is reached from here.
copy_network_settings() {
    local file
    for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt "$HOME/.npmrc"; do
        [[ ! -e $file ]] || install -D -m 644 "$file" "$root${file/#$HOME//root}"
    done
}

# Fresh sources each time, beside a build/ that a kept directory may have from the last time.
copy_sources() {
    local git=(git -c safe.directory="$PWD" -c safe.directory="$PWD/.git")
    rm -rf "$root/src/.git"
    "${git[@]}" clone -q --no-local --no-checkout "$PWD" "$root/src.new"
    mkdir -p "$root/src"
    mv "$root/src.new/.git" "$root/src/.git"
    rm -rf "$root/src.new"
    git -C "$root/src" reset -q --hard
}

[[ $# -ge 1 ]] || fail "usage: $0 SUITE [COMMAND...], such as: $0 trixie"
[[ $(id -u) == 0 ]] || fail "must run as root (debootstrap and chroot need it)"
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
suite=$1
shift
[[ $# -gt 0 ]] || set -- make test
mirror=${MIRROR:-$(apt_mirror)}
[[ -n $mirror ]] || fail "apt does not know a Debian mirror here; give one as MIRROR=URL"

if [[ -n ${DIRECTORY:-} ]]; then
    root=$DIRECTORY
    mkdir -p "$root"
else
    root=$(mktemp -d)
    chmod 755 "$root" # apt fetches as a user of its own
    trap 'rm -rf --one-file-system "$root"' EXIT
fi
[[ -e $root/etc/debian_version ]] || debootstrap --variant=minbase "$suite" "$root" "$mirror"
copy_network_settings
copy_sources

# shellcheck disable=SC2016 # the inner shell expands these
in_namespaces='
    root=$1
    shift
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    exec chroot "$root" /usr/bin/env HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/tmp \
        sh -c '\''cd /src && exec "$@"'\'' sh "$@"'
prepare='command -v make >/dev/null && command -v git >/dev/null ||
    { apt-get update -q && apt-get install -y -q --no-install-recommends git make ca-certificates; }'
enter() {
    unshare --mount --pid --fork --kill-child bash -ec "$in_namespaces" bash "$root" "$@"
}
enter sh -c "$prepare"
enter "$@"
