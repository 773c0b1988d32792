#!/usr/bin/env bash
# What a user does with the compose cluster: create, produce, kill a node and lose nothing, bring it back, wipe a node's volume, bring it back as a new voter, kill another.
#   test.sh path/to/static/steadfast
# Uses ports and a project name of its own, and removes containers and volumes at the end. Prints one line a step and a closing count.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
steadfast=$(readlink -f "$1")
cd "$here"
if ! docker info >/dev/null 2>&1; then echo "docker: skipped, no Docker engine answers"; exit 0; fi
export COMPOSE_PROJECT_NAME=steadfast-test STEADFAST_PORT_1=21492 STEADFAST_PORT_2=21493 STEADFAST_PORT_3=21494
source ./compose.sh
scratch=$(mktemp -d)
trap 'compose down -v -t 1 >/dev/null 2>&1; rm -rf "$scratch"' EXIT
export STEADFAST_BOOTSTRAP_SERVERS=localhost:21492,localhost:21493,localhost:21494
passed=0
step() { passed=$((passed + 1)); echo "ok    $*"; }
container() { compose ps -q "$1"; }
produce() { # lines from, to
  seq "$1" "$2" | "$steadfast" produce durable --acks all >/dev/null
}
expect() { # count: all lines from 1 to count are there, once each
  "$steadfast" consume durable --from earliest --count "$1" --timeout 30s >"$scratch/read"
  diff <(seq "$1") <(sort -n "$scratch/read") >/dev/null || { echo "FAIL  expected the lines 1 to $1, got $(wc -l <"$scratch/read") lines" >&2; exit 1; }
}

build_image "$steadfast"
compose down -v -t 1 >/dev/null 2>&1 || true
compose up -d >"$scratch/up" 2>&1 || { cat "$scratch/up" >&2; exit 1; }
wait_healthy broker-1 broker-2 broker-3
step "three brokers are healthy"
docker exec "$(container broker-1)" /steadfast topic create durable --partitions 3 >/dev/null
docker exec "$(container broker-2)" /steadfast topic list | grep -qx durable
step "a topic made in one container is seen from another, without flags"
produce 1 1000
expect 1000
step "a client on the host reaches all brokers"
docker kill "$(container broker-1)" >/dev/null
produce 1001 2000
expect 2000
step "broker-1 killed: nothing lost, writes go on"
compose start broker-1 >/dev/null 2>&1
wait_healthy broker-1
produce 2001 3000
step "broker-1 came back"
compose stop -t 20 broker-2 >/dev/null 2>&1
compose rm -f broker-2 >/dev/null 2>&1
docker volume rm "${COMPOSE_PROJECT_NAME}_broker-2" >/dev/null
compose up -d broker-2 >/dev/null 2>&1
wait_healthy broker-2
# The next kill takes one of the brokers that have all records: first the new one must have them too.
for _ in $(seq 300); do "$steadfast" health >/dev/null 2>&1 && break; sleep 0.2; done
"$steadfast" health >/dev/null || { echo "FAIL  the wiped broker did not catch up within 60 s" >&2; exit 1; }
step "broker-2 came back with an empty volume"
docker kill "$(container broker-3)" >/dev/null
produce 3001 4000
expect 4000
step "broker-3 killed: the wiped broker votes and holds what it must"
echo "docker: $passed passed, 0 failed"
