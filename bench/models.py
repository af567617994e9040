"""Texts per CPU-second of the text models against what else scores with the same encoder: `python -m bench.models`.

All contenders run on one thread and score the same texts in turn, round after round, so that a busy machine slows them alike; a
contender's ratio is taken within a round. CPU seconds are the process's own, all of its threads included.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bench.encoder import shape_of, write_student
from bench.peers import REFERENCE, Scorer, open_tokenizer, peers
from bench.texts import LANGUAGES, chosen, lengths
from commands.output import print_json, print_table
from core.errors import GroundswellError
from models.aliases import CHAMPION, aliases, resolve
from models.registry import ARTIFACTS, Artifact, find
from models.runtime import Mode
from models.text.score import TOKENIZER, TextScorer

_STUDENT = "student"
_CPU_FEATURES = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8")  # what decides how fast products of each type are
BARS = {"default": ("exact", 2.0), "fast": ("fast", 3.0), "student": ("student, exact", 8.0)}
"""Bar → the contender and the least ratio to the pipeline on headlines that the product promises."""


class Speed(msgspec.Struct, frozen=True):
    """Texts per CPU-second, and how many times the reference's that is: the rounds' median, least and most."""

    contender: str
    texts_per_cpu_s: float
    ratio: float
    least: float
    most: float


class Sample(msgspec.Struct, frozen=True):
    """What was found on texts of one kind."""

    name: str
    texts: int
    mean_tokens: float
    speeds: tuple[Speed, ...]


class Bar(msgspec.Struct, frozen=True):
    """A promise, and what was found."""

    name: str
    promised: float
    measured: float
    met: bool


class Comparison(msgspec.Struct, frozen=True):
    """One run."""

    cpu: str
    model: str
    student: str
    rounds: int
    samples: tuple[Sample, ...]
    bars: tuple[Bar, ...]


def speeds(seconds: Mapping[str, Sequence[float]], texts: int) -> tuple[Speed, ...]:
    """The speeds of contenders from the CPU seconds of each round, in which all scored the same texts.

    >>> speeds({REFERENCE: [4.0, 2.0, 2.0], "fast": [1.0, 1.0, 0.5]}, 8)[1]
    Speed(contender='fast', texts_per_cpu_s=8.0, ratio=4.0, least=2.0, most=4.0)
    """
    found = []
    for contender, taken in seconds.items():
        ratios = [reference / own for reference, own in zip(seconds[REFERENCE], taken, strict=True)]
        rate = texts / statistics.median(taken)
        found.append(Speed(contender, rate, statistics.median(ratios), min(ratios), max(ratios)))
    return tuple(found)


def bars(headlines: Sequence[Speed]) -> tuple[Bar, ...]:
    """Each promise with the ratio on headlines.

    >>> bars([Speed(name, 1.0, 2.5, 2.4, 2.6) for name, _ in BARS.values()])[0]
    Bar(name='default', promised=2.0, measured=2.5, met=True)
    """
    ratios = {speed.contender: speed.ratio for speed in headlines}
    return tuple(
        Bar(name, promised, ratios[contender], ratios[contender] >= promised) for name, (contender, promised) in BARS.items()
    )


def measure(contenders: Mapping[str, Scorer], texts: Sequence[str], rounds: int) -> tuple[Speed, ...]:
    """The speeds over so many rounds, after one that is not counted: it meets every length of batch for the first time."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, scorer in contenders.items():
            started = time.process_time()
            answers = scorer(texts)
            seconds[name].append(time.process_time() - started)
            if len(answers) != len(texts):
                raise RuntimeError(f"{name} gave {len(answers)} answers to {len(texts)} texts")
    return speeds({name: taken[1:] for name, taken in seconds.items()}, len(texts))


def ours(artifact: Artifact, student: Artifact, lang: str) -> dict[str, Scorer]:
    """The served model and the student in both modes, from the text as it came to the answer."""

    def opened(model: Artifact, mode: Mode) -> Scorer:
        scorer = TextScorer.open(model, device="cpu", mode=mode)
        return lambda texts: scorer.score(texts, [lang] * len(texts))

    return {
        "exact": opened(artifact, "exact"),
        "fast": opened(artifact, "fast"),
        "student, exact": opened(student, "exact"),
        "student, fast": opened(student, "fast"),
    }


def compare(artifact: Artifact, student: Artifact, *, lang: str, rounds: int, folder: Path) -> Comparison:
    """The whole comparison; `folder` keeps the peers' ONNX file."""
    tokenizer = open_tokenizer(artifact.path(TOKENIZER))
    contenders = peers(shape_of(artifact), tokenizer, folder) | ours(artifact, student, lang)
    samples = []
    for name, texts in chosen(lang, tokenizer).items():
        tokens = statistics.mean(lengths(tokenizer, texts))
        samples.append(Sample(name, len(texts), tokens, measure(contenders, texts, rounds)))
    return Comparison(
        cpu=cpu(),
        model=artifact.manifest.reference,
        student=student.manifest.reference,
        rounds=rounds,
        samples=tuple(samples),
        bars=bars(samples[0].speeds),
    )


def cpu() -> str:
    """The CPU's model with those of its features that decide how fast matrix products are."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    return " ".join([fields.get("model name", platform.machine()), *(each for each in _CPU_FEATURES if each in flags)])


def show(comparison: Comparison) -> None:
    """Print tables for a reader."""
    print(f"{comparison.cpu}; {comparison.model}; student {comparison.student}; {comparison.rounds} rounds, one thread")
    for sample in comparison.samples:
        print(f"\n{sample.texts} {sample.name} of {sample.mean_tokens:.0f} tokens on the average")
        rows = [
            (each.contender, f"{each.texts_per_cpu_s:.0f}", f"{each.ratio:.2f}", f"{each.least:.2f}–{each.most:.2f}")
            for each in sample.speeds
        ]
        print_table(("", "texts per CPU-second", "ratio", "least–most"), rows)
    print()
    verdicts = (
        (bar.name, f"≥ {bar.promised:.1f}", f"{bar.measured:.2f}", "met" if bar.met else "not met") for bar in comparison.bars
    )
    print_table(("on headlines", "promised", "measured", ""), verdicts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="whose sentiment model and texts")
    parser.add_argument("--model", help="a model, name/version, in place of the one that the champion's alias names")
    parser.add_argument("--models", type=Path, default=ARTIFACTS, help="the folder of models")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: give at least 1")
    slot = f"sentiment.{options.lang}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            artifact = find(options.model, options.models) if options.model else resolve(CHAMPION, slot, options.models)
            student = find_student(slot, options.models) or write_student(artifact, Path(folder))
            found = compare(artifact, student, lang=options.lang, rounds=options.rounds, folder=Path(folder))
        except GroundswellError as error:
            raise SystemExit(str(error)) from error
    print_json(found) if options.json else show(found)


def find_student(slot: str, root: Path) -> Artifact | None:
    """The model that the alias `student` names for a slot, if it does."""
    named = slot in aliases(root).get(_STUDENT, {})
    return resolve(_STUDENT, slot, root) if named else None


if __name__ == "__main__":
    main()
