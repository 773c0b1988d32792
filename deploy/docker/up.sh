#!/usr/bin/env bash
# Builds the static binary and the image, starts compose.yaml and waits until all three brokers serve. `up.sh path/to/steadfast` takes a static binary that is there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
source ./compose.sh
if [ $# -gt 0 ]; then
  binary=$1
else
  make -C ../.. static
  binary=../../$(make -s -C ../.. print-bin)
fi
build_image "$binary"
compose up -d
wait_healthy broker-1 broker-2 broker-3
echo "ready: localhost:${STEADFAST_PORT_1:-9092},localhost:${STEADFAST_PORT_2:-9093},localhost:${STEADFAST_PORT_3:-9094}"
