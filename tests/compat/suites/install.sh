#!/usr/bin/env bash
# Downloads and builds other clients' own test suites under target/compat-suites (or the directory given), from PyPI, crates.io and Debian, each through its ordinary client:
# kafka-python's sdist, the crates rdkafka, rskafka and kafka, Debian's kafka-go. What cannot be had is named and left out; run.py then names the suite as skipped.
# Running it again costs nothing. Afterwards the suites need no network but the cluster's.
set -euo pipefail
tools=${1:-$(dirname "${BASH_SOURCE[0]}")/../../../target/compat-suites}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
say() { printf 'install: %s\n' "$*" >&2; }

packages() { # Debian packages, when something of theirs is missing and we may install
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { say "cannot install $*: neither root nor apt-get; install them by hand"; return 0; }
  apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || say "apt-get could not install $*"
}
command -v go >/dev/null || packages golang-go
[ -d /usr/share/gocode/src/github.com/segmentio/kafka-go ] || packages golang-github-segmentio-kafka-go-dev
python3 -c 'import ensurepip' 2>/dev/null || packages python3-venv
command -v make >/dev/null && command -v g++ >/dev/null || packages make g++
pkg-config --exists openssl zlib 2>/dev/null || packages pkg-config libssl-dev zlib1g-dev
compgen -G '/usr/lib/llvm-*/lib/libclang.so' >/dev/null || packages libclang-dev # zstd-sys, of rskafka's tests, reads zstd's header with it

kafka_python() { # the sdist has the tests, the wheel does not
  [ -e "$tools/kafka-python/.done" ] && return
  rm -rf "$tools/kafka-python" && mkdir "$tools/kafka-python"
  local source=$tools/kafka-python/kafka_python-3.0.12
  python3 -m venv "$tools/kafka-python/venv" \
    && "$tools/kafka-python/venv/bin/pip" download -q --no-binary kafka-python --no-deps -d "$tools/kafka-python" kafka-python==3.0.12 \
    && tar -xzf "$source.tar.gz" -C "$tools/kafka-python" \
    && "$tools/kafka-python/venv/bin/pip" install -q "$source" pytest==8.4.2 pytest-timeout==2.4.0 pytest-mock==3.15.1 lz4 python-snappy zstandard \
    || { say "no kafka-python 3.0.12"; return; }
  # The sdist forgot two files of test/: the one that makes it a package, and the one with the programs that start brokers. Ours run already.
  touch "$source/test/__init__.py"
  printf '%s\n' 'class ExternalService:' '    def __init__(self, host, port): pass' '    def open(self): pass' '    def stop(self): pass' '    def dump_logs(self): pass' \
    'class SpawnedService: pass' >"$source/test/service.py"
  touch "$tools/kafka-python/.done"
}

sources() { # cargo fetches the crates as dependencies of a package that has nothing else, and tells where it keeps them
  [ -e "$tools/crates/.done" ] && return
  rm -rf "$tools/crates" && mkdir -p "$tools/crates/fetch/src"
  printf '%s\n' '[package]' 'name = "fetch"' 'version = "0.0.0"' '[workspace]' '[dependencies]' \
    'rdkafka = { version = "=0.39.0", default-features = false }' 'rskafka = { version = "=0.6.0", default-features = false }' \
    'kafka = { version = "=0.10.0", default-features = false }' >"$tools/crates/fetch/Cargo.toml"
  touch "$tools/crates/fetch/src/lib.rs"
  cargo metadata --quiet --format-version 1 --manifest-path "$tools/crates/fetch/Cargo.toml" >"$tools/crates/fetch/metadata.json" || { say "no crates"; return; }
  python3 - "$tools/crates" <<'python'
import json, pathlib, shutil, sys
crates = pathlib.Path(sys.argv[1])
for package in json.loads((crates / "fetch/metadata.json").read_text())["packages"]:
    if package["name"] in ("rdkafka", "rskafka", "kafka"):
        shutil.copytree(pathlib.Path(package["manifest_path"]).parent, crates / package["name"])
python
  # rskafka asks for a compiler of its own and locks an rsasl that no current one builds.
  rm -f "$tools/crates/rskafka/rust-toolchain.toml"
  touch "$tools/crates/.done"
}

crate() { # name, cargo's options: builds the tests of a crate and lists their executables in NAME.tests
  [ -s "$tools/$1.tests" ] || [ ! -d "$tools/crates/$1" ] && return
  (cd "$tools/crates/$1" && CARGO_TARGET_DIR="$tools/target" CARGO_PROFILE_DEV_DEBUG=0 RUSTFLAGS='' cargo test --quiet --no-run --message-format json "${@:2}" 2>"$tools/$1.log") \
    | python3 -c 'import json, sys; print(*filter(None, (json.loads(line).get("executable") for line in sys.stdin if line.startswith("{"))), sep="\n")' >"$tools/$1.tests.new" \
    && mv "$tools/$1.tests.new" "$tools/$1.tests" || { tail -5 "$tools/$1.log" >&2; rm -f "$tools/$1.tests.new"; say "no $1: its tests did not build; the log is $tools/$1.log"; }
}

kafka_go() {
  [ -x "$tools/kafka-go.test" ] || [ ! -d /usr/share/gocode/src/github.com/segmentio/kafka-go ] && return
  GO111MODULE=off GOFLAGS='' GOPATH="$tools/gopath:/usr/share/gocode" go test -c -o "$tools/kafka-go.test" github.com/segmentio/kafka-go >"$tools/kafka-go.log" 2>&1 \
    || { tail -5 "$tools/kafka-go.log" >&2; say "no kafka-go: Debian's kafka-go 0.2.1 did not build"; }
}

kafka_python
sources
[ ! -d "$tools/crates/rskafka" ] || [ -s "$tools/rskafka.tests" ] || cargo update --quiet --manifest-path "$tools/crates/rskafka/Cargo.toml" -p rsasl
crate rdkafka --tests
crate rskafka --tests
crate kafka --tests --features integration_tests
if command -v go >/dev/null; then kafka_go; else say "no kafka-go: there is no Go"; fi
