"""Each text to the models of its language: which ones those are is said by an alias."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import msgspec

from core.errors import ModelError
from models import aliases
from models.runtime import Device, Mode
from models.text import language
from models.text.score import TextScore, TextScorer

_HINT = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True)
class Route:
    """The models of one language; the same one twice where it answers both, None where there is none."""

    sentiment: TextScorer | None = None
    topic: TextScorer | None = None

    @property
    def scorers(self) -> tuple[TextScorer, ...]:
        """Its distinct models."""
        return tuple(dict.fromkeys(scorer for scorer in (self.sentiment, self.topic) if scorer is not None))


class TextModels:
    """Scores texts with the models of their languages. `score` may be called from several threads at once."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = dict(routes)

    @classmethod
    def open(cls, alias: str, root: Path, *, device: Device = "auto", mode: Mode = "exact", threads: int = 1) -> Self:
        """The text models that `alias` names, each opened once, however many slots it fills."""
        opened: dict[str, TextScorer] = {}
        routes: dict[str, Route] = {}
        for slot, reference in aliases.assigned(alias, root).items():
            task, _, lang = slot.partition(".")
            if task not in ("sentiment", "topic"):
                continue
            if reference not in opened:
                artifact = aliases.resolve(alias, slot, root)
                opened[reference] = TextScorer.open(artifact, device=device, mode=mode, threads=threads)
            if slot not in aliases.slots_of(opened[reference].manifest):
                raise ModelError(f"alias {alias!r} names {reference} for {slot}, which it cannot fill; promote another model")
            routes[lang] = replace(routes.get(lang, Route()), **{task: opened[reference]})
        if not routes:
            raise ModelError(f"alias {alias!r} names no text model; give it one with `groundswell models promote`")
        return cls(routes)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have a model."""
        return tuple(self._routes)

    @property
    def scorers(self) -> tuple[TextScorer, ...]:
        """The distinct models."""
        return tuple(dict.fromkeys(scorer for route in self._routes.values() for scorer in route.scorers))

    def close(self) -> None:
        """End the threads."""
        for scorer in self.scorers:
            scorer.close()

    def score(self, texts: Sequence[str], langs: Sequence[str | None]) -> list[TextScore]:
        """One score for each text, in their order; no string makes it raise, and no text's score depends on its neighbours.

        `langs` holds what the source says of each text's language: an ISO 639 code, perhaps with a region, is trusted, and
        anything else is detected.
        """
        found = [primary_subtag(hint) or language.detect(text) for text, hint in zip(texts, langs, strict=True)]
        scores: list[dict[TextScorer, TextScore]] = [{} for _ in texts]
        for scorer in self.scorers:
            rows = [row for row, lang in enumerate(found) if lang in self._routes and scorer in self._routes[lang].scorers]
            for row, score in zip(rows, scorer.score([texts[row] for row in rows], [found[row] for row in rows]), strict=True):
                scores[row][scorer] = score
        return [_answer(lang, self._routes.get(lang), given) for lang, given in zip(found, scores, strict=True)]


def _answer(lang: str, route: Route | None, scores: Mapping[TextScorer, TextScore]) -> TextScore:
    if route is None:
        why = "no letters to tell a language by" if lang == language.UNDETERMINED else f"no model for language '{lang}'"
        return TextScore(lang=lang, sentiment=None, topic=None, reason=why, model=None)
    first = scores[route.scorers[0]]
    sentiment = None if route.sentiment is None else scores[route.sentiment].sentiment
    topic = None if route.topic is None else scores[route.topic].topic
    if topic is not None and len(route.scorers) > 1:
        topic = msgspec.structs.replace(topic, model=scores[route.scorers[1]].model)
    reason = next((score.reason for score in scores.values() if score.reason is not None), None)
    return replace(first, sentiment=sentiment, topic=topic, reason=reason)


def primary_subtag(hint: str | None) -> str | None:
    """The ISO 639 code of a language tag, lower case; None for what is no tag or says nothing.

    >>> primary_subtag("en-US"), primary_subtag("ZH_hans"), primary_subtag("English"), primary_subtag("und")
    ('en', 'zh', None, None)
    """
    match = None if hint is None else _HINT.fullmatch(hint.strip())
    code = None if match is None else match[1].lower()
    return None if code in (language.UNDETERMINED, "zxx", "mis", "mul") else code
