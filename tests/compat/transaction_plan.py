"""What every transactional driver writes, so that a case knows what is to be seen: transactions of records, each with its end.

A driver: write TOPIC ID | read TOPIC COUNT FILE | fence TOPIC ID | copy INPUT OUTPUT GROUP ID ABORTS.
  write   the transactions of TRANSACTIONS, under the transactional id
  read    COUNT records by read_committed, from the beginning, each a line of the file: partition, a space, value
  fence   a first producer opens a transaction and writes; a second one under the same id commits; the first one's commit must fail as fenced
  copy    a member of the group (where the client can, KIP-447) copies the input's values to the same partitions of the output, a transaction a batch with its offsets; the
          share ABORTS of the transactions is aborted and copied again; COMPAT_INSTANCE makes it a static member of this name. It tells {"copied": 30} of each commit and {"aborted": 30}, and {"left": true} at the end of its stdin.
"""

import random

PARTITIONS = 3
EACH = 30
COMMIT, ABORT = "commit", "abort"
TRANSACTIONS = [("first", COMMIT), ("dropped", ABORT), ("second", COMMIT), ("forgotten", ABORT), ("third", COMMIT)]
FENCED, FENCING = "fenced", "fencing"


def records(name):
    """(partition, value) of a transaction's records."""
    return [(number % PARTITIONS, f"{name} {number}".encode()) for number in range(EACH)]


def values(*names):
    """{partition: values} of transactions, in their order."""
    found = {partition: [] for partition in range(PARTITIONS)}
    for name in names:
        for partition, value in records(name):
            found[partition].append(value.decode())
    return found


def committed():
    return values(*(name for name, end in TRANSACTIONS if end == COMMIT))


class Aborts:
    """Says of each transaction whether it is to be aborted: the same for the same id."""

    def __init__(self, identifier, share):
        self.random, self.share = random.Random(identifier), float(share)

    def next(self):
        return self.random.random() < self.share
