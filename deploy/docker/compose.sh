# Sourced by up.sh and test.sh: the compose command of either generation, the image, and waiting for health.

compose() {
  if docker compose version >/dev/null 2>&1; then docker compose -f compose.yaml "$@"; else docker-compose -f compose.yaml "$@"; fi
}

build_image() { # static binary
  if ldd "$1" 2>/dev/null | grep -q '=>'; then echo "$1 is not static: an image FROM scratch cannot run it" >&2; return 1; fi
  local said status=0
  cp "$1" steadfast
  said=$(DOCKER_BUILDKIT=0 docker build -q -t steadfast:latest . 2>&1) || status=$?
  rm -f steadfast
  [ $status = 0 ] || { printf 'the image cannot be built:\n%s\n' "$said" >&2; return $status; }
}

wait_healthy() { # services...
  local service id state
  for service in "$@"; do
    for _ in $(seq 300); do
      id=$(compose ps -q "$service")
      state=$(docker inspect -f '{{.State.Health.Status}}' "$id" 2>/dev/null || echo missing)
      [ "$state" = healthy ] && continue 2
      sleep 0.2
    done
    echo "$service is $state after 60 s:" >&2
    docker logs --tail 20 "$id" >&2
    return 1
  done
}
