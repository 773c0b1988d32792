"""Records: a client creates a topic, writes the fixture of records.py and reads it back. What it reads is what it wrote, in order, byte for byte."""

import uuid

import records


def keep(client, bootstrap, acks, codec, scratch):
    """Creates, writes, reads, compares; raises AssertionError with one line of why not."""
    topic = f"compat-{uuid.uuid4().hex[:12]}"
    client.run(bootstrap, "create", topic)
    wanted = records.strip(records.fixture(), client.features)
    written, read = scratch / f"{topic}.in", scratch / f"{topic}.out"
    records.write(written, wanted)
    client.run(bootstrap, "produce", topic, acks, codec, written)
    client.run(bootstrap, "consume", topic, len(wanted), read)
    seen = records.by_partition(records.read(read))
    written.unlink()
    read.unlink()
    for partition, expected in records.by_partition(wanted).items():
        got = [forget(record, client.features) for record in seen.get(partition, [])]
        if len(got) != len(expected):
            raise AssertionError(f"partition {partition}: wrote {len(expected)}, read {len(got)}")
        for position, (want, have) in enumerate(zip(expected, got)):
            if want != have:
                raise AssertionError(f"partition {partition}, record {position}: wrote {records.describe(want)}, read {records.describe(have)}")


def forget(record, features):
    """Drops from what was read the timestamps that the client did not choose."""
    return record if "timestamps" in features else {**record, "timestamp": None}
