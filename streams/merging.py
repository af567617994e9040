"""The merges of a stage's partitions: their states are kept in the stage's table, their steps worked off one by one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from core.codec import encode
from core.errors import InvalidRecord
from core.topics import LABELS_RAW, TRANSACTIONS_RAW, Topic
from streams.ledger import Tally
from streams.merge import Merge, Released, decode_state, encode_state
from streams.messages import Place, Received, Worked
from streams.silence import Tide, source_name
from streams.steps import AnyStep, Mark, Parcel, Payment, decode_parcel, decode_step
from streams.tables import StateTable


@dataclass(slots=True)
class Taken:
    """A batch taken in: the merges of its partitions, and what they released, by partition and in the order to work it off."""

    merges: dict[int, Merge] = field(default_factory=dict)
    released: list[tuple[int, Released]] = field(default_factory=list)
    worked: Worked = field(default_factory=lambda: Worked(settled={}))

    def spoil(self, partition: int, released: Released, error: Exception) -> None:
        """Make a dead letter of a step: of the payment or label that it is, so that it can be mended and sent again."""
        self.merges[partition].spoil(released.offset)
        reason = str(error) if isinstance(error, InvalidRecord) else f"unexpected {type(error).__name__}: {error}"
        self.worked.dead.append((_raw_message(released.step), reason))

    def absorb(self, partition: int, released: Released) -> None:
        """Count a step as one that ends here."""
        self.merges[partition].absorb(released.offset)

    @property
    def places(self) -> dict[int, int]:
        """The place of each partition's mark among `marks`."""
        return {partition: place for place, partition in enumerate(self.merges)}


@dataclass(slots=True)
class Merges:
    """One merge for each partition of `topic`, fed by all partitions of the topics `sources`."""

    topic: Topic
    sources: Sequence[Topic]
    table: StateTable
    tide: Tide
    partitions: int
    hold: bool = True
    _merges: dict[int, Merge] = field(default_factory=dict)
    _told: dict[int, float] = field(default_factory=dict)

    def take(self, batch: Iterable[Received]) -> Taken:
        """Take a batch in; messages and steps that are none become dead letters."""
        taken = Taken()
        for message in batch:
            merge = taken.merges.setdefault(message.partition, self._merge(message.partition))
            try:
                parcel = Parcel(()) if merge.knows(message.offset) else decode_parcel(message.value)
            except InvalidRecord as error:
                taken.worked.dead.append((message, str(error)))
                merge.take(message.offset, (), (), dead=1)
                continue
            steps, poison = _steps(parcel, message)
            released = merge.take(message.offset, parcel.marks, steps, dead=len(poison))
            taken.worked.dead += poison
            taken.released += [(message.partition, each) for each in released]
            self.tide.rise(merge.high_s)
        return taken

    def marks(self, taken: Taken) -> tuple[list[Mark], bool]:
        """What this topic's partitions promise as sources of the next, and whether any promises more than before."""
        marks = [
            Mark(source_name(self.topic.name, partition), merge.state.before_s, merge.high_s)
            for partition, merge in taken.merges.items()
        ]
        before = {partition: merge.state.before_s for partition, merge in taken.merges.items()}
        news = any(self._told.get(partition) != before_s for partition, before_s in before.items())
        self._told |= before
        return marks, news

    def save(self, taken: Taken) -> Worked:
        """Put the merges' states into the table; the batch's outcome, with what is settled."""
        settled: dict[Place, dict[int, Tally]] = {}
        for partition, merge in taken.merges.items():
            self.table.put_state(partition, encode_state(merge.state))
            if found := merge.settled():
                settled[self.topic.name, partition] = found
        taken.worked.settled = settled
        return taken.worked

    def settled(self, tallies: Mapping[Place, Mapping[int, Tally]]) -> None:
        """Drop what the ledger has counted."""
        for (_, partition), found in tallies.items():
            if partition in self._merges:
                self._merges[partition].forget(found)

    def forget(self) -> None:
        """Begin again from what is in the table, for partitions may have moved."""
        self._merges.clear()
        self._told.clear()

    def learn(self, partitions: Iterable[int]) -> None:
        """Let the tide know what the states of partitions tell, which may be all that a restarted worker gets to know."""
        for partition in partitions:
            self.tide.rise(Merge((), state=decode_state(self.table.state(partition))).high_s)

    def _merge(self, partition: int) -> Merge:
        if partition not in self._merges:
            names = [source_name(topic.name, number) for topic in self.sources for number in range(self.partitions)]
            self._merges[partition] = Merge(names, hold=self.hold, state=decode_state(self.table.state(partition)))
        return self._merges[partition]


def _steps(parcel: Parcel, message: Received) -> tuple[list[AnyStep], list[tuple[Received, str]]]:
    """The parcel's steps, and those that are none with the reason."""
    steps: list[AnyStep] = []
    poison = []
    for raw in parcel.steps:
        try:
            steps.append(decode_step(raw, parcel.marks))
        except InvalidRecord as error:
            step = Received(message.topic, message.partition, message.offset, None, bytes(raw), message.arrived_s)
            poison.append((step, str(error)))
    return steps, poison


def _raw_message(step: AnyStep) -> Received:
    """The raw message that a step was, as JSON."""
    topic, record = (TRANSACTIONS_RAW, step.transaction) if isinstance(step, Payment) else (LABELS_RAW, _label(step))
    return Received(topic.name, step.partition, step.offset, None, encode(record), 0.0)


def _label(step: AnyStep) -> msgspec.Struct:
    label: msgspec.Struct = getattr(step, "label", step)
    return label
