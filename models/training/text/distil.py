"""A small student that learns from a trained network's answers, on labelled and unlabelled texts alike (Hinton et al. 2015)."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch.nn.functional import kl_div, log_softmax, softmax
from transformers import BertConfig, BertModel

from models.text import language
from models.training.text.batches import encode, padded, plan
from models.training.text.finetune import rates
from models.training.text.heads import COLUMNS, HEADS, LANGUAGES, serving
from models.training.text.judge import dev_scores, torch_logits
from models.training.text.loop import Loop
from models.training.text.measure import Logits
from models.training.text.network import Network, build, open_tokenizer, pad_token, save
from models.training.text.recipe import Distillation, listed
from models.training.text.sets import Example

_CLAUSE = re.compile(r"[^，,。；;！!？?…]+[，,。；;！!？?…]*")
_TEACHER_ROWS = 4096  # texts between two savings of the teacher's answers


@dataclass(frozen=True, slots=True)
class Text:
    """A text to learn from: the answers of `heads` or, where there are none, of all that serve its language."""

    text: str
    lang: str
    heads: tuple[str, ...] = ()


def transfer_texts(
    examples: Sequence[Example], streamed: Sequence[str], *, recombine: Iterable[str] = (), own: bool = False
) -> list[Text]:
    """The texts of the examples and of the streams, each once, those of the streams in their detected language, if it is one of three.

    Also what `recombined` makes of the texts of the sets named `recombine`. With `own`, a set's texts teach its own heads alone.
    """
    made = [Text(each.text, each.lang, tuple(target.head for target in each.targets) if own else ()) for each in examples]
    found = {each.text: each for each in made}
    for name in recombine:
        for text in recombined([each for each, example in zip(made, examples, strict=True) if example.source == name]):
            found.setdefault(text.text, text)
    for streamed_text in streamed:
        lang = language.detect(streamed_text)
        if lang in LANGUAGES:
            found.setdefault(streamed_text, Text(streamed_text, lang))
    return list(found.values())


def recombined(texts: Sequence[Text], *, seed: int = 0) -> Iterator[Text]:
    """Further texts of the same kind: the clauses of each text, and each text with another behind it.

    >>> posts = [Text(text, "zh", ("sentiment.zh",)) for text in ("明天涨停，抢筹", "下周还要跌")]
    >>> [each.text for each in recombined(posts)]
    ['明天涨停，', '抢筹', '明天涨停，抢筹 下周还要跌', '下周还要跌 明天涨停，抢筹']
    """
    for each in texts:
        clauses = [clause for clause in _CLAUSE.findall(each.text) if any(map(str.isalnum, clause))]
        yield from (replace(each, text=clause) for clause in clauses if len(clauses) > 1)
    order = np.random.default_rng(seed).permutation(len(texts))
    for one, other in zip(order.tolist(), np.roll(order, 1).tolist(), strict=True):
        yield replace(texts[one], text=f"{texts[one].text} {texts[other].text}")


def student_of(teacher: Network, recipe: Distillation) -> Network:
    """A fresh student whose word embeddings are the teacher's, on their principal axes."""
    vocabulary = teacher.encoder.config.vocab_size
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=4 * recipe.width,
        pad_token_id=teacher.encoder.config.pad_token_id,
        hidden_dropout_prob=0.0,  # soft labels leave little to overfit
        attention_probs_dropout_prob=0.0,
    )
    student = Network(BertModel(config, add_pooling_layer=False))
    words = teacher.encoder.embeddings.word_embeddings.weight.detach()
    _, _, axes = torch.pca_lowrank(words, q=recipe.width, niter=4)
    projected = words @ axes
    with torch.no_grad():
        student.encoder.embeddings.word_embeddings.weight.copy_(projected * (0.02 / projected.std()))
    return student


def teacher_logits(run: Path, texts: Sequence[str], kept: Path, *, max_tokens: int) -> Logits:
    """A finished run's logits: (texts, COLUMNS), kept in files that start with `kept` as they are made, so that a killed run goes on."""
    teacher, tokenizer = build(run).eval(), open_tokenizer(run, max_tokens=max_tokens)
    parts = []
    for start in range(0, len(texts), _TEACHER_ROWS):
        path = kept.with_name(f"{kept.name}-{start}.npy")
        if not path.is_file():
            found = torch_logits(teacher, tokenizer, texts[start : start + _TEACHER_ROWS])
            partial = path.with_suffix(".partial")
            with partial.open("wb") as stream:
                np.save(stream, found.astype(np.float32))
            partial.rename(path)
            print(f"{kept.name}: {start + len(found)} of {len(texts)} texts", flush=True)
        parts.append(np.load(path))
    result: Logits = np.concatenate(parts)
    return result


def answers_of(run: Path, texts: Sequence[Text], out: Path, recipe: Distillation) -> Any:
    """What the teachers of each text's language say of it: (texts, COLUMNS). Of several the mean of their logits."""
    answers = np.zeros((len(texts), COLUMNS), np.float32)
    for lang in LANGUAGES:
        rows = [at for at, each in enumerate(texts) if each.lang == lang]
        asked = [texts[at].text for at in rows]
        teachers = listed(recipe.teachers.get(lang, str(run)))
        for place, teacher in enumerate(teachers if rows else ()):
            found = teacher_logits(Path(teacher), asked, out / f"teacher-{lang}-{place}", max_tokens=recipe.max_tokens)
            answers[rows] += found / len(teachers)
    return torch.from_numpy(answers)


def distil(
    run: Path, texts: Sequence[Text], dev: Sequence[Example], out: Path, *, recipe: Distillation, resume: bool = False
) -> Network:
    """The student of the recipe's teachers and the finished run in `run`; `out` is then as `finetune` leaves it."""
    out.mkdir(parents=True, exist_ok=True)
    recipe = msgspec.structs.replace(recipe, data=hashlib.sha256(msgspec.json.encode(texts)).hexdigest())
    torch.manual_seed(recipe.seed)
    tokenizer = open_tokenizer(run, max_tokens=recipe.max_tokens)
    answers = answers_of(run, texts, out, recipe)
    student = build(Path(recipe.start)) if recipe.start else student_of(build(run), recipe)
    chunks = encode(tokenizer, [each.text for each in texts])
    lengths = [len(each) for each in chunks]
    epochs = [
        plan(lengths, range(len(chunks)), batch_size=recipe.batch_size, seed=(recipe.seed, epoch))
        for epoch in range(recipe.epochs)
    ]
    asked = serving({target.head for example in dev for target in example.targets})
    loop = Loop(student, rates(student, recipe), out, recipe)
    if resume:
        loop.resume()

    def loss(indices: Sequence[int]) -> Any:
        ids, mask = (
            torch.from_numpy(each).to(loop.device) for each in padded([chunks[at] for at in indices], pad_id=pad_token(tokenizer))
        )
        heads = [texts[at].heads or asked[texts[at].lang] for at in indices]
        return soft_loss(student(ids, mask).float(), answers[list(indices)].to(loop.device), heads, softness=recipe.softness)

    loop.run(epochs, loss, lambda: dev_scores(student, tokenizer, dev), patience=recipe.patience)
    save(student.cpu(), tokenizer, out)
    return student


def soft_loss(logits: Any, answers: Any, heads: Sequence[Sequence[str]], *, softness: float) -> Any:
    """The divergence of the student's distributions from the teacher's over the heads that each text is asked about, by text."""
    total = logits.new_zeros(())
    for name in sorted({name for names in heads for name in names}):
        rows = [at for at, names in enumerate(heads) if name in names]
        columns = list(HEADS[name].columns)
        ours = log_softmax(logits[rows][:, columns] / softness, dim=1)
        theirs = softmax(answers[rows][:, columns] / softness, dim=1)
        total = total + kl_div(ours, theirs, reduction="sum") * softness**2
    return total / len(heads)
