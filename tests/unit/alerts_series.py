"""Builders for alert tests, and a timeline in words: `at 0m push T1; at 10m expect firing T1; at 20m watermark`."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from alerts.durations import parse_duration
from alerts.evaluate import SeriesState, advance, evaluate
from alerts.rule import Condition, Filter, Frequency, Rule
from core.ids import content_id
from core.records import AlertState, Match, Transition

START = datetime(2026, 3, 2, tzinfo=UTC)
DECIDED = datetime(2030, 1, 1, tzinfo=UTC)  # the wall clock is years off on purpose: it must decide nothing
BURST = Frequency(3, timedelta(minutes=10))


def make_rule(condition: Condition = BURST, *, cooldown: timedelta = timedelta(minutes=30)) -> Rule:
    """A rule named `r`, grouped by `key`."""
    return Rule(
        name="r",
        filter=Filter("kind:news", bool),
        condition=condition,
        severity="warning",
        group_by=("key",),
        cooldown=cooldown,
        receivers=("console",),
    )


def make_match(event: str, after: timedelta, *, key: str = "T1", value: float = 1.0, summary: str | None = None) -> Match:
    """A match of rule `r` so long after the start."""
    match_id = content_id("match", "r", key, event)
    text = f"text of {event}" if summary is None else summary
    return Match(id=match_id, rule="r", group={"key": key}, event_id=event, time=START + after, value=value, summary=text)


@dataclass
class Timeline:
    """Runs steps against the real state machine, one state per key; `unseen` transitions must each be expected."""

    rule: Rule
    states: dict[str, SeriesState | None] = field(default_factory=dict)
    unseen: list[Transition] = field(default_factory=list)
    fired: list[Transition] = field(default_factory=list)
    pushed: int = 0

    def run(self, script: str) -> "Timeline":
        """Every step of the script, then: nothing may have happened that no step expected."""
        for step in filter(None, (line.strip() for line in re.split(r"[;\n]", script))):
            self._step(step)
        assert not self.unseen, f"not expected: {[(t.state.value, t.group, t.time - START) for t in self.unseen]}"
        return self

    def _step(self, step: str) -> None:
        found = re.fullmatch(r"at (\S+) (push|expect|watermark)\s*(.*)", step)
        assert found, f"cannot read {step!r}"
        after, words = parse_after(found[1]), found[3].split()
        match found[2]:
            case "push":
                self._push(after, words)
            case "watermark":
                self._advance(after)
            case _:
                self._expect(step, after, words)

    def _push(self, after: timedelta, words: list[str]) -> None:
        """`push KEY [value V] [as EVENT] [times N]`."""
        options = dict(zip(words[1::2], words[2::2], strict=True))
        for _ in range(int(options.get("times", "1"))):
            self.pushed += 1
            event = options.get("as", f"e{self.pushed}")
            match = make_match(event, after, key=words[0], value=float(options.get("value", "1")))
            state, transitions = evaluate(self.rule, self.states.get(words[0]), match, decided=DECIDED)
            self.states[words[0]] = state
            self._take(transitions)

    def _advance(self, after: timedelta) -> None:
        for key, state in self.states.items():
            if state is not None:
                self.states[key], transitions = advance(self.rule, state, START + after, decided=DECIDED)
                self._take(transitions)

    def _take(self, transitions: tuple[Transition, ...]) -> None:
        self.unseen.extend(transitions)
        self.fired.extend(transitions)

    def _expect(self, step: str, after: timedelta, words: list[str]) -> None:
        """`expect firing|resolved KEY` at that event time, or `expect nothing`."""
        if words == ["nothing"]:
            assert not self.unseen, f"{step}: {self.unseen}"
            return
        wanted = AlertState.ACTIVE if words[0] == "firing" else AlertState.INACTIVE
        assert self.unseen, f"{step}: nothing happened"
        first = self.unseen.pop(0)
        assert (first.state, first.group["key"], first.time - START) == (wanted, words[1], after), step


def parse_after(text: str) -> timedelta:
    """The time since the start: 0m, 90s, 1h30m."""
    return timedelta(0) if text.startswith("0") else parse_duration(text)
