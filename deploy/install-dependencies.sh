#!/bin/bash
# Installs the Debian packages that are missing, as root or through sudo.
#
#   deploy/install-dependencies.sh build    what it takes to build and run (the default)
#   deploy/install-dependencies.sh test     that, and what the tests and lint need
#
# Made for Debian 12 and 13. When nothing is missing it asks nobody, touches nothing and is done
# in a moment. A Node.js (18 or newer) or a nats-server that is there already, from wherever it
# came, stays as it is.
set -euo pipefail

# Debian keeps nats-server where only root's PATH looks.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

BUILD_PACKAGES=(make gcc libc6-dev protobuf-compiler protobuf-c-compiler libprotobuf-dev
    libprotobuf-c-dev libuv1-dev libnats-dev liblmdb-dev libjansson-dev libssl-dev libisal-dev
    librhonabwy-dev libwslay-dev)
TEST_PACKAGES=(git clang llvm clang-format clang-tidy cppcheck shellcheck libcmocka-dev pkgconf
    chromium curl openssl nginx caddy)

fail() {
    echo "install-dependencies: $*" >&2
    exit 1
}

installed() {
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

has_node() {
    local version
    version=$(node --version 2>/dev/null) || return 1
    version=${version#v}
    [[ ${version%%.*} -ge 18 ]]
}

# The names of what is missing for "build" or "test", one a line. The sanitizers of clang are in a
# package with clang's version in its name, known once clang itself is there.
missing() {
    local wanted=("${BUILD_PACKAGES[@]}") package
    [[ $1 == build ]] || wanted+=("${TEST_PACKAGES[@]}")
    for package in "${wanted[@]}"; do
        installed "$package" || echo "$package"
    done
    command -v nats-server >/dev/null || echo nats-server
    [[ $1 == test ]] || return 0
    has_node || echo nodejs
    command -v npm >/dev/null || echo npm
    package=$(clang_runtime)
    [[ -z $package ]] || installed "$package" || echo "$package"
}

clang_runtime() {
    local version
    version=$(clang -dumpversion 2>/dev/null) || return 0
    echo "libclang-rt-${version%%.*}-dev"
}

as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "these packages are missing and only root can install them:" \
            "apt-get install --no-install-recommends $(missing "$purpose" | xargs)"
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -o Dpkg::Use-Pty=0 install -y -q --no-install-recommends "$@"
}

# Debian's packages of servers would start what listens on every address, now and after each boot.
# Nobody asked for that: keep the services off when we are the ones who bring them.
apt_install_without_services() {
    local status=0 service services=()
    for service in nats-server nginx caddy; do
        [[ " $* " != *" $service "* ]] || services+=("$service.service")
    done
    if [[ ! -d /run/systemd/system || ${#services[@]} == 0 ]]; then
        apt_install "$@"
        return
    fi
    as_root systemctl mask --runtime --quiet "${services[@]}"
    apt_install "$@" || status=$?
    as_root systemctl unmask --runtime --quiet "${services[@]}"
    as_root systemctl disable --quiet "${services[@]}" || true
    return $status
}

purpose=${1:-build}
[[ $purpose == build || $purpose == test ]] || fail "usage: $0 [build|test]"

mapfile -t packages < <(missing "$purpose")
[[ ${#packages[@]} -gt 0 ]] || exit 0
command -v apt-get >/dev/null ||
    fail "no apt-get here; install what these Debian packages hold: ${packages[*]}"
echo "install-dependencies: installing ${packages[*]}"
if [[ " ${packages[*]} " == *" nodejs "* && -n $(command -v node) ]]; then
    echo "install-dependencies: $(command -v node) is $(node --version); the tests need 18 or newer"
fi
as_root apt-get update -q
apt_install_without_services "${packages[@]}"

mapfile -t packages < <(missing "$purpose")
[[ ${#packages[@]} -gt 0 ]] || exit 0
apt_install "${packages[@]}"
mapfile -t packages < <(missing "$purpose")
[[ ${#packages[@]} -eq 0 ]] || fail "still missing: ${packages[*]}"
