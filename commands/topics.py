"""`groundswell topics`."""

from commands.output import print_json, print_table
from core.settings import Settings
from streams.backlog import GROUP, TOPICS
from streams.kafka_client import Offsets

Row = dict[str, str | int]


def print_topics(settings: Settings, *, json: bool) -> None:
    """Each topic with its partitions and the sum of its end offsets."""
    offsets = Offsets(settings)
    names = offsets.topics()
    ends = offsets.ends(names)
    rows: list[Row] = []
    for name in names:
        partitions = [end for (topic, _), end in ends.items() if topic == name]
        rows.append({"topic": name, "partitions": len(partitions), "messages": sum(partitions)})
    _print(rows, json=json)


def print_lag(settings: Settings, *, json: bool) -> None:
    """By topic and partition: the end, what the workers have committed, and the difference."""
    offsets = Offsets(settings)
    ends = offsets.ends(TOPICS)
    committed = offsets.committed(GROUP, ends)
    rows: list[Row] = []
    for (topic, partition), end in sorted(ends.items()):
        done = committed.get((topic, partition), 0)
        rows.append({"topic": topic, "partition": partition, "end": end, "committed": done, "lag": end - done})
    _print(rows, json=json)


def _print(rows: list[Row], *, json: bool) -> None:
    if json:
        for row in rows:
            print_json(row)
    elif rows:
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
