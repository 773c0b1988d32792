#!/usr/bin/env bash
# Runs the foreign clients: against $BOOTSTRAP if it is set, else against Kafka when called by `make compat KAFKA_DIR=...` with KAFKA=1, else against a cluster of three that it starts and stops.
#   on-own-cluster.sh path/to/steadfast [run.py's options]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
steadfast=$(readlink -f "$1"); shift
if [ -n "${BOOTSTRAP:-}" ]; then exec "$here/run.py" --bootstrap "$BOOTSTRAP" "$@"; fi

directory=$(mktemp -d)
port=${COMPAT_PORT:-29092}
if [ -n "${KAFKA:-}" ]; then
  trap '"$KAFKA_DIR/kafka" stop --dir "$directory/kafka" >/dev/null 2>&1; rm -rf "$directory"' EXIT
  "$KAFKA_DIR/kafka" start --dir "$directory/kafka" --port "$port" --heap 512m
else
  "$steadfast" dev --brokers 3 --data-dir "$directory/data" --kafka-port "$port" --override group.initial.rebalance.delay.ms=0 >"$directory/ready" 2>"$directory/log" &
  cluster=$!
  trap 'kill $cluster 2>/dev/null; wait $cluster 2>/dev/null; rm -rf "$directory"' EXIT
  for _ in $(seq 300); do grep -q '^ready:' "$directory/ready" && break; kill -0 $cluster 2>/dev/null || break; sleep 0.1; done
  grep -q '^ready:' "$directory/ready" || { tail -20 "$directory/log" >&2; echo "the cluster did not become ready" >&2; exit 1; }
fi
status=0
"$here/run.py" --bootstrap "127.0.0.1:$port,127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2))" "$@" || status=$?
[ $status = 0 ] || { [ -e "$directory/log" ] && grep -E 'WARN|ERROR|panic' "$directory/log" | tail -30 >&2; }
exit $status
