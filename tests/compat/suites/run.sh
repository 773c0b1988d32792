#!/usr/bin/env bash
# Runs the suites against clusters of Steadfast, or of the Kafka in KAFKA_DIR when called with KAFKA=1.
#   run.sh path/to/steadfast [run.py's options]
# Some suites have localhost:9092 in their sources. Where the system lets us, all of it runs in a network namespace of its own, so that the port is free and nothing leaves the machine.
set -euo pipefail
run=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/run.py
target=(--steadfast "$(readlink -f "$1")"); shift
[ -z "${KAFKA:-}" ] || target=(--kafka "$KAFKA_DIR")
if unshare --user --map-root-user --net ip link set lo up 2>/dev/null; then
  exec unshare --user --map-root-user --net bash -c 'ip link set lo up; exec "$0" "$@"' "$run" "${target[@]}" "$@"
fi
exec "$run" "${target[@]}" "$@"
