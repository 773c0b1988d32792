#!/usr/bin/env bash
# Throughput, latency, CPU and memory of a cluster of three on loopback; with KAFKA_DIR also of Apache Kafka, in turn, in the same run, with ratios.
#   benches/run.sh path/to/steadfast [results.json]
# BENCH_SECONDS (8): how long each workload is measured. BENCH_WARMUP (30): seconds of load before the first, for both: a JVM needs them.
# The warm-up writes BENCH_WARMUP_RATE (60000) records of 1 KB a second at most. A run needs about 15 GB of free disk.
# The generator is `steadfast bench` for both. Every topic has three replicas; "durable" is flush.messages=1, "page cache" Kafka's default.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 1 ] || { sed -n '2,6p' "${BASH_SOURCE[0]}"; exit 2; }
steadfast=$(readlink -f "$1")
results=${2:-$here/../target/bench.json}
seconds=${BENCH_SECONDS:-8} warmup=${BENCH_WARMUP:-30} warmup_rate=${BENCH_WARMUP_RATE:-60000}
mkdir -p "$(dirname "$results")"
[ -z "${KAFKA_DIR:-}" ] || KAFKA_DIR=$(cd "$KAFKA_DIR" && pwd)
directory=$(mktemp -d)
cluster='' kafka=''
finish() {
  [ -z "$cluster" ] || { kill "$cluster" 2>/dev/null; wait "$cluster" 2>/dev/null || true; }
  [ -z "$kafka" ] || "$KAFKA_DIR/kafka" stop --dir "$directory/kafka" >/dev/null 2>&1 || true
  rm -rf "$directory"
}
trap finish EXIT
trap 'exit 130' INT TERM
lines=$directory/results.jsonl
say() { printf 'bench: %s\n' "$*" >&2; }

page_cache=flush.messages=9223372036854775807 durable=flush.messages=1
# Topics are deleted as soon as they were measured: a workload writes gigabytes, three times.
drop() { "$steadfast" topic delete "$2" -b "$1" >/dev/null || say "$2 could not be deleted"; }
measure() { # system, bootstrap servers, name, the command's words; the processes are in ${pids[@]}
  local system=$1 servers=$2 name=$3 report
  shift 3
  if ! report=$(timeout $((seconds + 60)) "$steadfast" bench "$@" --json -b "$servers" "${pids[@]}"); then
    say "$system: $name failed"
    return
  fi
  printf '{"system":"%s","name":"%s","report":%s}\n' "$system" "$name" "$(tr -d '\n' <<<"$report")" >>"$lines"
  say "$system: $name done"
}

workloads() { # system, bootstrap servers
  local system=$1 servers=$2 all='acks=all'
  if [ "$warmup" -gt 0 ]; then
    say "$system: warming up for $warmup s"
    timeout $((warmup + 60)) "$steadfast" bench produce --duration "${warmup}s" --rate "$warmup_rate" --replication-factor 3 --topic warm-up --batch-size 16K --config $page_cache -b "$servers" >/dev/null || say "$system: the warm-up failed"
    drop "$servers" warm-up
  fi
  produced() { # name, topic, options
    measure "$system" "$servers" "$1" produce --duration "${seconds}s" --replication-factor 3 --topic "${@:2}"
  }
  produced "$all, 64 KB batches, page cache" p64 --batch-size 64K --config $page_cache
  measure "$system" "$servers" 'consume from the page cache' consume --duration "${seconds}s" --topic p64
  drop "$servers" p64
  produced "$all, 16 KB batches, page cache" p16 --batch-size 16K --config $page_cache
  drop "$servers" p16
  produced "$all, 64 KB batches, durable" d64 --batch-size 64K --config $durable
  drop "$servers" d64
  produced "$all, 16 KB batches, durable" d16 --batch-size 16K --config $durable
  drop "$servers" d16
  produced "$all, one 1 KB record in flight, page cache" p1 --partitions 1 --batch-size 1K --in-flight 1 --config $page_cache
  drop "$servers" p1
  produced "$all, one 1 KB record in flight, durable" d1 --partitions 1 --batch-size 1K --in-flight 1 --config $durable
  drop "$servers" d1
}

# Ports below the range of outgoing connections.
"$steadfast" dev --brokers 3 --data-dir "$directory/data" --kafka-port "${BENCH_PORT:-21092}" >"$directory/ready" 2>"$directory/log" &
cluster=$!
for _ in $(seq 300); do grep -q '^ready:' "$directory/ready" && break; kill -0 $cluster 2>/dev/null || break; sleep 0.1; done
grep -q '^ready:' "$directory/ready" || { tail -20 "$directory/log" >&2; say "the cluster did not become ready"; exit 1; }
pids=(--data-dir "$directory/data")
workloads steadfast "$(sed 's/^ready: //' "$directory/ready")"
kill "$cluster"; wait "$cluster" || true
cluster=''
rm -rf "$directory/data"

if [ -n "${KAFKA_DIR:-}" ]; then
  kafka=1
  "$KAFKA_DIR/kafka" start --dir "$directory/kafka" --port "${BENCH_PORT:-21092}" --fsync >"$directory/ready"
  pids=()
  for file in "$directory"/kafka/node-*/pid; do pids+=(--broker-pid "$(cat "$file")"); done
  workloads kafka "$(sed -n 's/^ready: //p' "$directory/ready")"
else
  say "without Kafka: KAFKA_DIR does not name a directory of it"
fi
[ -s "$lines" ] || { say "no workload could be measured"; exit 1; }
"$here/table.py" "$lines" "$results"
