"""kafka-python, for what is not a stream: producing from outside the worker, creating topics, reading offsets."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import kafka
from kafka.errors import KafkaError, TopicAlreadyExistsError

from core.errors import ConfigError, Retryable
from core.settings import Settings
from core.topics import ALL
from streams.messages import Outgoing

MAX_REQUEST_BYTES = 4_000_000  # a dead letter is its record and headers
_DEAD_MAX_BYTES = 2_000_000
_FLUSH_S = 60.0
_ANSWER_MS = 30_000


def connection(settings: Settings) -> dict[str, Any]:
    """The arguments that every kafka-python client takes."""
    options: dict[str, Any] = {"bootstrap_servers": settings.broker.split(","), "bootstrap_timeout_ms": 10_000}
    if settings.broker_version:
        options["api_version"] = tuple(int(part) for part in settings.broker_version.split("."))
    return options


class EventProducer:
    """Sends messages from outside the worker; what was sent is safe once `flush` has returned, or the `with` block has ended."""

    def __init__(self, settings: Settings) -> None:
        self._failures: list[BaseException] = []
        try:
            self._producer = kafka.KafkaProducer(
                **connection(settings), acks="all", linger_ms=5, max_request_size=MAX_REQUEST_BYTES, max_block_ms=30_000
            )
        except KafkaError as error:
            raise _unreachable(settings, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._producer.close(timeout=_FLUSH_S)

    def send(self, message: Outgoing) -> None:
        """Hand a message over; it is not confirmed yet."""
        self._hand_over(message).add_errback(self._failures.append)

    def send_confirmed(self, message: Outgoing) -> None:
        """Send one message and return once the broker has it; may be called from several threads."""
        try:
            self._hand_over(message).get(timeout=_FLUSH_S)
        except KafkaError as error:
            raise Retryable(f"{message.topic}: the broker did not take the message: {error}") from error

    def _hand_over(self, message: Outgoing) -> Any:
        headers = list(message.headers)
        try:
            return self._producer.send(
                message.topic, value=message.value, key=message.key, partition=message.partition, headers=headers
            )
        except KafkaError as error:
            raise Retryable(f"{message.topic}: the broker did not take the message: {error}") from error

    def flush(self) -> None:
        """Return once the broker has confirmed all messages; `Retryable` if it refused one."""
        try:
            self._producer.flush(timeout=_FLUSH_S)
        except KafkaError as error:
            raise Retryable(f"the broker did not confirm: {error}") from error
        if self._failures:
            refusal, self._failures = self._failures[0], []
            raise Retryable(f"the broker refused a message: {refusal}") from refusal


class Offsets:
    """Reads partitions, end offsets and committed offsets."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        try:
            self._admin = kafka.KafkaAdminClient(**connection(settings))
            self._consumer = kafka.KafkaConsumer(**connection(settings))
        except KafkaError as error:
            raise _unreachable(settings, error) from error

    def close(self) -> None:
        """Close the connections."""
        self._admin.close()
        self._consumer.close()

    def topics(self) -> list[str]:
        """The names of all topics but the broker's own."""
        return sorted(name for name in self._admin.list_topics() if not name.startswith("__"))

    def ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """The offset after the last message, by topic and partition; topics that are not there are left out."""
        try:
            partitions = [
                kafka.TopicPartition(topic, number)
                for topic in topics
                for number in sorted(self._consumer.partitions_for_topic(topic) or ())
            ]
            found = self._consumer.end_offsets(partitions, timeout_ms=_ANSWER_MS)
        except KafkaError as error:
            raise Retryable(f"the broker does not tell its offsets: {error}") from error
        return {(place.topic, place.partition): end for place, end in found.items()}

    def committed(self, group: str, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The group's committed offset, by topic and partition; 0 where there is none."""
        partitions = [kafka.TopicPartition(*place) for place in places]
        try:
            found = self._admin.list_group_offsets({group: partitions})[group]
        except KafkaError as error:
            raise Retryable(f"the broker does not tell the group's offsets: {error}") from error
        return {(place.topic, place.partition): max(0, state.offset) for place, state in found.items()}

    def create(self) -> list[str]:
        """Create the topics that are missing; their names. `ConfigError` where one that is there has other partitions than are set.

        State tables and the messages that feed them meet only where all topics have as many partitions.
        """
        self._check_partitions()
        wanted: dict[str, dict[str, str]] = {topic.name: {} for topic in ALL}
        wanted.update({topic.dead: {"max.message.bytes": str(_DEAD_MAX_BYTES), "retention.ms": "-1"} for topic in ALL})
        missing = {name: configs for name, configs in wanted.items() if name not in self._admin.list_topics()}
        if missing:
            self._create(missing)
        return sorted(missing)

    def _check_partitions(self) -> None:
        there = set(self.topics())
        for topic in ALL:
            found = (
                len(self._consumer.partitions_for_topic(topic.name) or ()) if topic.name in there else self._settings.partitions
            )
            if found != self._settings.partitions:
                raise ConfigError(
                    f"topic {topic.name} has {found} partitions and the setting is {self._settings.partitions}: all topics of "
                    "Groundswell need the same number; change the setting, or the topics that differ",
                    field="partitions",
                )

    def _create(self, missing: Mapping[str, dict[str, str]]) -> None:
        options = {"num_partitions": self._settings.partitions, "replication_factor": self._settings.replication}
        try:
            self._admin.create_topics({name: {**options, "configs": configs} for name, configs in missing.items()})
        except TopicAlreadyExistsError:
            return  # another worker that starts at the same time was faster
        except KafkaError as error:
            raise ConfigError(
                f"the broker does not create topics ({error}); check `replication` and the user's rights"
            ) from error


def _unreachable(settings: Settings, error: BaseException) -> ConfigError:
    return ConfigError(f"no Kafka broker answers at {settings.broker} ({error}); check --broker or start it")
