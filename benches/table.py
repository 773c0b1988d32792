#!/usr/bin/env python3
"""Prints the results of run.sh as a table, with ratios where there are two systems, and writes them as one JSON document."""
import json
import sys


def figures(report):
    latency = report["latency_ms"]
    resident = [broker["peak_resident_bytes"] for broker in report["brokers"]]
    return {
        "MB/s": report["megabytes_per_second"],
        "records/s": report["records_per_second"],
        "p50 ms": latency["p50"],
        "p95 ms": latency["p95"],
        "p99 ms": latency["p99"],
        "p99.9 ms": latency["p99.9"],
        "max ms": latency["max"],
        "brokers CPU s/GB": report["broker_cpu_seconds_per_gigabyte"],
        "CPU us/request": report["broker_cpu_micros_per_request"],
        "peak MiB/broker": max(resident) / 2**20 if resident else None,
    }


def shown(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def main(source, target):
    with open(source) as lines:
        results = [json.loads(line) for line in lines]
    names = list(dict.fromkeys(result["name"] for result in results))
    measured = {(result["system"], result["name"]): figures(result["report"]) for result in results}
    columns = list(next(iter(measured.values())))
    ratios = []
    for name in names:
        print(f"\n{name}")
        print(f"  {'':<12}" + "".join(f"{column:>18}" for column in columns))
        of_name = {system: row for (system, of), row in measured.items() if of == name}
        for system, row in of_name.items():
            print(f"  {system:<12}" + "".join(f"{shown(row[column]):>18}" for column in columns))
        ours, theirs = of_name.get("steadfast"), of_name.get("kafka")
        if ours and theirs:
            ratio = {column: ours[column] / theirs[column] if ours[column] is not None and theirs[column] else None for column in columns}
            ratios.append({"name": name, **ratio})
            print(f"  {'ours/Kafka':<12}" + "".join(f"{shown(ratio[column]):>18}" for column in columns))
    with open(target, "w") as file:
        json.dump({"results": results, "ratios": ratios}, file, indent=1)
    print(f"\nwritten to {target}")


main(*sys.argv[1:3])
