"""kcat, with the -X options of the environment variable KCAT_OPTIONS: create TOPIC | produce TOPIC ACKS CODEC FILE | consume TOPIC COUNT FILE |
member TOPIC GROUP STRATEGY INSTANCE.

It cannot create topics: it asks for one that does not exist, and waits until automatic creation has made it, with one partition."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, sys.argv[1])
import member_events
import records

bootstrap, command, topic = sys.argv[2:5]
base = ["kcat", "-q", "-b", bootstrap] + [word for option in os.environ.get("KCAT_OPTIONS", "").split() for word in ("-X", option)]


def run(arguments, stdin=b""):
    result = subprocess.run(base + arguments, input=stdin, capture_output=True, timeout=60)
    if result.returncode:
        sys.exit(result.stderr.decode(errors="replace").strip()[-300:] or f"kcat exited with {result.returncode}")
    return result.stdout


def member(group, strategy, instance):
    """kcat -G, told to end by a signal; its lines become our events. It commits by itself: before it gives a partition away, and when it ends."""
    options = {"partition.assignment.strategy": strategy, "auto.offset.reset": "earliest",
               "session.timeout.ms": member_events.SESSION_TIMEOUT_MS, "heartbeat.interval.ms": member_events.HEARTBEAT_INTERVAL_MS}
    if instance != "-":
        options["group.instance.id"] = instance
    settings = [word for name, value in options.items() for word in ("-X", f"{name}={value}")]
    words = [word for word in base if word != "-q"] + settings + ["-u", "-f", "%p %o %s\\n", "-G", group, topic]
    kcat = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    member_events.Orders(on_leave=lambda: kcat.send_signal(signal.SIGTERM))

    def listen():
        for line in kcat.stderr:
            change = re.search(r"rebalanced \(memberid .*\): (assigned|revoked): ?(.*)", line)
            if change:
                member_events.say(**{change.group(1): [int(number) for number in re.findall(r"\[(\d+)\]", change.group(2))]})
            elif "ERROR" in line:
                sys.stderr.write(line)

    listener = threading.Thread(target=listen)
    listener.start()
    for line in kcat.stdout:
        partition, offset, value = line.rstrip("\n").split(" ", 2)
        member_events.say_record(int(partition), int(offset), value.encode())
    listener.join()
    if kcat.wait():
        sys.exit(f"kcat exited with {kcat.returncode}")
    member_events.say(left=True)


if command == "create":
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        listing = json.loads(run(["-L", "-J", "-t", topic]))["topics"]
        ready = [p for p in listing[0]["partitions"] if p.get("leader", -1) >= 0] if listing else []
        if ready:
            sys.exit(0)
        time.sleep(0.1)  # Between two looks at the condition, not in its place.
    sys.exit(f"{topic} has no leader after 20 s")
elif command == "member":
    member(*sys.argv[5:8])
elif command == "produce":
    acks, codec, path = sys.argv[5:8]
    with tempfile.TemporaryDirectory() as directory:
        for number, record in enumerate(records.read(path)):
            arguments = ["-P", "-t", topic, "-p", str(record["partition"]), "-z", codec, "-X", f"acks={acks}", "-X", "message.max.bytes=1048500"]
            for name, header in record["headers"]:
                arguments += ["-H", f"{name}={records.decode(header).decode()}"]
            key, value = records.decode(record["key"]), records.decode(record["value"])
            if value:
                file = os.path.join(directory, str(number))
                with open(file, "wb") as out:
                    out.write(value)
                run(arguments + (["-k", key.decode()] if key is not None else []) + [file])
            else:
                # kcat sends nothing for an empty file; a line that ends at the key's delimiter has an empty value, and with -Z a null one.
                run(arguments + ["-K", "|"] + (["-Z"] if value is None else []), (key or b"") + b"|\n")
else:
    count, path = int(sys.argv[5]), sys.argv[6]
    seen = []
    for partition in [0]:
        data = run(["-C", "-e", "-t", topic, "-p", str(partition), "-o", "beginning", "-X", "fetch.message.max.bytes=2000000",
                    "-f", "%K %S %T %h\\n%k%s\\n"])
        while data:
            head, data = data.split(b"\n", 1)
            key_length, value_length, timestamp, headers = re.match(rb"(-?\d+) (-?\d+) (-?\d+) ?(.*)", head).groups()
            key_length, value_length = int(key_length), int(value_length)
            key = data[: max(key_length, 0)]
            value = data[max(key_length, 0): max(key_length, 0) + max(value_length, 0)]
            data = data[len(key) + len(value) + 1:]
            seen.append(dict(partition=partition, key=records.encode(key) if key_length >= 0 else None,
                             value=records.encode(value) if value_length >= 0 else None,
                             headers=[[part.split("=", 1)[0], records.encode(part.split("=", 1)[1].encode())]
                                      for part in headers.decode().split(",") if part],
                             timestamp=int(timestamp)))
    records.write(path, seen)
