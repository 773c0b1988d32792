"""What a group member tells the case that started it, and what it hears: one JSON object a line on its stdout, one word a line on its stdin.

  {"assigned": [0, 1]}             partitions added to what the member owns
  {"revoked": [1]}                 partitions taken from it
  {"record": [0, 17, "text"]}      partition, offset and value of a record, when it is processed
  {"generation": 3}                the group's generation, whenever it changed and the client shows it
  {"left": true}                   last line: offsets are committed and the group is left

stdin: `leave` (or its end) asks the member to commit and leave; `stall` to stop polling for STALL_SECONDS.
"""

import json
import os
import sys
import threading

# Long, so that a busy machine makes no member late; the case that waits for the end of a session shortens it.
SESSION_TIMEOUT_MS = int(os.environ.get("COMPAT_SESSION_TIMEOUT_MS", "30000"))
HEARTBEAT_INTERVAL_MS = 500
STALL_SECONDS = 5


def say(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def say_record(partition, offset, value):
    say(record=[partition, offset, value.decode(errors="replace")])


class Orders:
    """Listens on stdin in a thread of its own, so that a blocked client still hears that it should leave."""

    def __init__(self, on_leave=lambda: None):
        self.leave, self.stall = threading.Event(), threading.Event()
        threading.Thread(target=self._listen, args=(on_leave,), daemon=True).start()

    def _listen(self, on_leave):
        for line in sys.stdin:
            if line.strip() == "leave":
                break
            if line.strip() == "stall":
                self.stall.set()
        self.leave.set()
        on_leave()


class Generation:
    """Tells a change of the generation, once."""

    def __init__(self):
        self.last = None

    def see(self, generation):
        if generation is not None and generation >= 0 and generation != self.last:
            self.last = generation
            say(generation=generation)
