#!/usr/bin/env bash
# Installs the foreign clients under target/compat: Python clients in virtual environments, Debian's kcat, sarama built by Go, a Java client where KAFKA_DIR has its jars.
# What cannot be had is named and left out; run.py then names its cases as skipped. Running it again costs nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${1:-$here/../../target/compat}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
say() { printf 'install: %s\n' "$*" >&2; }

packages() { # Debian packages, when a command of theirs is missing and we may install
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { say "cannot install $*: neither root nor apt-get; install them by hand"; return 0; }
  apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || say "apt-get could not install $*"
}
command -v kcat >/dev/null || packages kcat
command -v go >/dev/null || packages golang-go
[ -d /usr/share/gocode/src/github.com/Shopify/sarama ] || packages golang-github-shopify-sarama-dev
python3 -c 'import ensurepip' 2>/dev/null || packages python3-venv

environment() { # name, packages...
  [ -e "$tools/$1/.done" ] && return
  rm -rf "${tools:?}/$1"
  if python3 -m venv "$tools/$1" && "$tools/$1/bin/pip" install -q "${@:2}"; then touch "$tools/$1/.done"; else say "no $1"; rm -rf "${tools:?}/$1"; fi
}
environment modern confluent-kafka==2.16.1 kafka-python==3.0.12 aiokafka==0.14.0 lz4 python-snappy zstandard cramjam
environment kafka-python-2 kafka-python==2.0.2 lz4 python-snappy zstandard six

fresh() { # output, folder: the program is newer than all its sources
  [ -x "$tools/$1" ] && [ -z "$(find "$2" -name '*.go' -newer "$tools/$1")" ]
}
module() { # output, folder: a program on sarama 1.38.1, by the module of examples/go
  fresh "$@" && return
  mkdir -p "$tools/module/$1"
  cp "$here/../../examples/go/go.mod" "$here/../../examples/go/go.sum" "$2"/*.go "$tools/module/$1/"
  (cd "$tools/module/$1" && GOFLAGS=-mod=mod go build -o "$tools/$1" .) || say "no $1: the module of sarama 1.38.1 is not to be had"
}
gopath() { # output, folder: the same program on Debian's sarama 1.22.1, without modules
  fresh "$@" || [ ! -d /usr/share/gocode/src/github.com/Shopify/sarama ] && return
  mkdir -p "$tools/gopath/src/$1"
  cp "$2"/*.go "$tools/gopath/src/$1/"
  (cd "$tools/gopath/src/$1" && GO111MODULE=off GOFLAGS='' GOPATH="$tools/gopath:/usr/share/gocode" go build -o "$tools/$1" . 2>"$tools/$1.log") \
    || { cat "$tools/$1.log" >&2; say "no $1: Debian's sarama 1.22.1 did not build"; }
}
if command -v go >/dev/null; then
  module sarama-1.38 "$here/drivers/sarama"
  module sarama-failover "$here/drivers/sarama-failover"
  module sarama-transactional "$here/drivers/sarama-transactional"
  gopath sarama-1.22 "$here/drivers/sarama"
  for program in producer consumer; do
    module "example-$program" "$here/../../examples/go/$program"
    gopath "example-$program-1.22" "$here/../../examples/go/$program"
  done
else
  say "no sarama: there is no Go"
fi

if [ -d "${KAFKA_DIR:-}/libs" ] && command -v javac >/dev/null; then
  libs=$(cd "$KAFKA_DIR/libs" && pwd)
  mkdir -p "$tools/java"
  javac -cp "$libs/*" -d "$tools/java" "$here"/drivers/java/*.java
  printf '%s:%s\n' "$libs/*" "$tools/java" >"$tools/java/classpath"
else
  say "no Java client: KAFKA_DIR does not name a directory of Kafka's jars, or there is no JDK"
fi
