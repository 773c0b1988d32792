#!/usr/bin/env bash
# Whether the lab finds brokers that are broken on purpose, and finds nothing in the same runs of the same binary when it is whole.
#   tests/lab/mutations.sh LAB BROKER [MUTATION...]
# LAB is steadfast-lab, BROKER a steadfast built with `cargo build -p broker --features mutations`. ATTEMPTS (3), DURATION (60s) and OUT say
# how often each is tried, how long clients write, and where the histories of what was found stay. Exit 1: not found, or a false alarm.
set -u
[ $# -ge 2 ] || { sed -n 2,5p "$0"; exit 2; }
lab=$1 broker=$2; shift 2
attempts=${ATTEMPTS:-3} duration=${DURATION:-60s} out=${OUT:-$(mktemp -d)}
mkdir -p "$out"

# Mutation, faults, and what else the experiment needs to show it. Mutations with the same experiment stand together: they share a control.
experiments='
acks-all-on-leader-alone   isolate-leader
uncommitted-reads          isolate-leader
divergence-by-length       isolate-leader,kill-leader --quiet-for 4s
full-disk-acknowledged     disk-full          --disk 256
commit-not-written         kill-coordinator   --clients plain,group
commit-before-write        isolate-coordinator --clients plain,group
sequences-unchecked        slow-disk,kill-leader --overlap 100 --clients idempotent,consumer
followers-forget-producers slow-disk,kill-leader --overlap 100 --clients idempotent,consumer
lost-replica-stays         wiped-heir         --nodes 5 --partitions 5
truncate-to-high-watermark restarted-heir     --nodes 5 --partitions 5
election-outside-isr       lagging-heir
ack-before-flush           power-all
flush-without-sync         power-all
'

# Runs one experiment: `run MUTATION SEED FAULTS OPTION...`; sets `found` (the anomalies, or empty) and `took`.
run() {
    local mutation=$1 seed=$2 faults=$3; shift 3
    local directory=$out/$mutation-${faults//,/+}-$seed begun=$SECONDS code
    rm -rf "$directory"
    local environment=(STEADFAST_MUTATION="$mutation")
    [ "$mutation" != none ] || environment=(-u STEADFAST_MUTATION)
    timeout 400 env "${environment[@]}" "$lab" chaos --set binary="$broker" --duration "$duration" --seed "$seed" \
        --faults "$faults" --out "$directory" "$@" > "$directory.log" 2>&1
    code=$? took=$((SECONDS - begun))
    found=$(python3 - "$directory/report.json" <<'END' 2> /dev/null
import json, sys
print(", ".join(f"{a['name']} {a['count']}" for a in json.load(open(sys.argv[1]))["verdict"]["anomalies"]))
END
    ) || { found=; echo "$mutation, $faults, seed $seed: no verdict (exit $code); see $directory.log" >&2; return 1; }
    [ -n "$found" ] || rm -rf "$directory" "$directory.log"
}

failed=0
printf '| %s | %s | %s | %s | %s |\n' mutation faults 'found by run' anomalies seconds
echo '|---|---|---|---|---|'
while read -r mutation faults options; do
    [ -n "$mutation" ] || continue
    [ $# -eq 0 ] || [[ " $* " == *" $mutation "* ]] || continue
    total=0 verdict=
    for ((seed = 1; seed <= attempts; seed++)); do
        # shellcheck disable=SC2086 # options are words
        run "$mutation" "$seed" "$faults" $options < /dev/null
        total=$((total + took))
        [ -z "$found" ] || { verdict="$seed"; break; }
    done
    [ -n "$verdict" ] || { verdict="none of $attempts" failed=1; }
    printf '| `%s` | %s %s | %s | %s | %s |\n' "$mutation" "$faults" "$options" "$verdict" "$found" "$total"
done <<< "$experiments"

echo
echo '| control: faults | seed | anomalies | seconds |'
echo '|---|---|---|---|'
while read -r faults options; do
    for ((seed = 1; seed <= ${CONTROLS:-1}; seed++)); do
        # shellcheck disable=SC2086 # options are words
        run none "$seed" "$faults" $options < /dev/null || failed=1
        [ -z "$found" ] || failed=1
        printf '| %s %s | %s | %s | %s |\n' "$faults" "$options" "$seed" "${found:-none}" "$took"
    done
done < <(while read -r mutation faults options; do
    [ -z "$mutation" ] || { [ $# -gt 0 ] && [[ " $* " != *" $mutation "* ]]; } || echo "$faults" "$options"
done <<< "$experiments" | sort -u)
exit "$failed"
