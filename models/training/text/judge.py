"""The decisions that logits stand for, and the one figure by which each set is judged."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from models.text.score import softmax
from models.training.text.batches import encode, padded
from models.training.text.heads import HEADS
from models.training.text.loop import MEAN
from models.training.text.measure import Logits, flag_micro_f1, macro_f1
from models.training.text.network import pad_token
from models.training.text.sets import Example, Target

# A topic is listed beside the first from this probability on: half the best F1 that is in reach is the threshold at which F1 is
# highest (Lipton et al. 2014, Optimal Thresholding of Classifiers to Maximize F1 Measure); two equal topics have .5 each.
ALSO = 0.45
_ROWS = 32

Flags = np.ndarray[tuple[int, int], np.dtype[np.bool_]]


def torch_logits(network: Any, tokenizer: Tokenizer, texts: Sequence[str]) -> Logits:
    """The network's logits: (texts, COLUMNS)."""
    return module_logits(network, encode(tokenizer, texts), pad=pad_token(tokenizer))


def module_logits(network: Any, chunks: Sequence[Sequence[int]], *, pad: int) -> Logits:
    """The logits of a module of ids and mask: (chunks, columns)."""
    order = np.argsort([-len(chunk) for chunk in chunks])
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(order), _ROWS):
            ids, mask = padded([chunks[at] for at in order[start : start + _ROWS]], pad_id=pad)
            found.append(network(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)).float().cpu().numpy())
    network.train(training)
    result: Logits = np.concatenate(found)[np.argsort(order)].astype(np.float64)
    return result


def flags(targets: Sequence[Target], head: str) -> Flags:
    """Targets as flags: (texts, labels)."""
    found = np.zeros((len(targets), len(HEADS[head].labels)), dtype=np.bool_)
    for row, target in enumerate(targets):
        found[row, list(target.labels)] = True
    return found


def decide(logits: Logits, head: str, *, temperature: float = 1.0) -> Flags:
    """The labels a head gives: (texts, labels): the most probable, and for topics the others whose probability is at least ALSO."""
    probabilities = softmax(logits[:, list(HEADS[head].columns)] / temperature)
    found: Flags = probabilities == probabilities.max(axis=1, keepdims=True)
    return found | (probabilities >= ALSO) if HEADS[head].task == "topic" else found


def set_score(dev: Sequence[Example], logits: Logits) -> float:
    """The figure of one set: macro-F1 of its labels; for several labels a text micro-F1 over all of them; for known negatives theirs."""
    first = dev[0].targets[0]
    if dev[0].source == "finnl":
        names = ("topic.zh", "region.zh")
        rows = [{target.head: target for target in example.targets} for example in dev]
        truth = np.hstack([flags([row.get(name, Target(name, ())) for row in rows], name) for name in names])
        given = np.hstack([decide(logits, name) for name in names])
        return float(flag_micro_f1(truth, given, np.ones((1, len(dev))))[0])
    columns = list(HEADS[first.head].columns)
    guesses = logits[:, columns].argmax(1)
    if dev[0].source == "finnsp":
        negative = np.array([not example.targets[0].one_of for example in dev])
        return macro_f1(negative.astype(np.int64), (guesses == 0).astype(np.int64))
    return macro_f1(np.array([example.targets[0].labels[0] for example in dev]), guesses)


def dev_scores(network: Any, tokenizer: Tokenizer, dev: Sequence[Example]) -> dict[str, float]:
    """The figure of each set in the development part, and as `mean` that of all, see `dev_figure`."""
    logits = torch_logits(network, tokenizer, [example.text for example in dev])
    return {**set_scores(dev, logits), MEAN: dev_figure(dev, logits)}


def set_scores(dev: Sequence[Example], logits: Logits) -> dict[str, float]:
    """The figure of each set from logits: (texts, COLUMNS)."""
    sources = np.array([example.source for example in dev])
    found = {}
    for source in dict.fromkeys(sources.tolist()):
        rows = np.flatnonzero(sources == source).tolist()
        found[source] = set_score([dev[row] for row in rows], logits[rows])
    return found


def dev_figure(dev: Sequence[Example], logits: Logits) -> float:
    """The mean of the sets' figures, each counting by its texts."""
    counts = Counter(example.source for example in dev)
    return sum(score * counts[source] for source, score in set_scores(dev, logits).items()) / len(dev)
