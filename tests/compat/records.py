"""The records that every client writes and must read back byte for byte, and the form in which drivers exchange them.

One JSON object a line: partition, key, value, headers, timestamp; bytes in base64, null where the record has none.
"""

import base64
import json
import random

MEGABYTE = 1_000_000
PARTITIONS = 3


def encode(data):
    return None if data is None else base64.b64encode(data).decode()


def decode(text):
    return None if text is None else base64.b64decode(text)


def fixture():
    """What is hard to keep: nothing, everything, a lot, and the same twice."""
    noise = random.Random(7)
    plain = [
        (b"key", b"hello"),
        (None, b"no key"),
        (b"", b"empty key"),
        (b"empty value", b""),
        (b"null value", None),
        (bytes(range(256)), bytes(range(256)) * 3),
        (b"one megabyte of text", b"steadfast " * (MEGABYTE // 10)),
        (b"one megabyte of noise", noise.randbytes(MEGABYTE)),
        (b"key", b"hello"),
    ]
    records = [
        dict(partition=i % PARTITIONS, key=encode(k), value=encode(v), headers=[], timestamp=1_600_000_000_000 + i * 1_001)
        for i, (k, v) in enumerate(plain)
    ]
    records[0]["headers"] = [["trace", encode(b"\x00\x01\xff")], ["trace", encode(b"words")], ["empty", encode(b"")]]
    return records


def strip(records, features):
    """Takes out what a client, or the message format that it speaks, cannot carry."""
    out = []
    for record in records:
        record = dict(record)
        if "partitions" not in features:
            record["partition"] = 0
        if "headers" not in features:
            record["headers"] = [header for header in record["headers"] if "text-headers" in features and header[1] == encode(b"words")]
        if "binary-keys" not in features and decode(record["key"]) == bytes(range(256)):
            record["key"] = encode(b"no binary key")
        if "timestamps" not in features:
            record["timestamp"] = None
        if "empty-keys" not in features and record["key"] == "":
            record["key"] = None
        if "null-values" not in features and record["value"] is None:
            record["value"] = ""
        out.append(record)
    return out


def by_partition(records):
    out = {}
    for record in records:
        out.setdefault(record["partition"], []).append(record)
    return out


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write(path, records):
    with open(path, "w", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(record) + "\n")


def describe(record):
    value = record["value"]
    shown = "null" if value is None else f"{len(decode(value))} bytes"
    return f"key={record['key']!r} value={shown} headers={record['headers']!r} timestamp={record['timestamp']}"
