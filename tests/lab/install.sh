#!/usr/bin/env bash
# Installs what the lab's experiments and the tests of its pages use, from Debian's packages. What cannot be had is named; the lab then says which faults it cannot do,
# and the tests of the pages say that they were skipped. Running it again costs nothing.
set -euo pipefail
say() { printf 'install: %s\n' "$*" >&2; }
missing=()
need() { command -v "$1" >/dev/null || missing+=("${@:2}"); }
need chromium chromium fonts-dejavu-core
need strace strace
need nft nftables
need ip iproute2
need mkfs.ext4 e2fsprogs
ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing+=(libfaketime)
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then say "cannot install ${missing[*]}: neither root nor apt-get; install them by hand"; exit 0; fi
apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || say "apt-get could not install ${missing[*]}"
