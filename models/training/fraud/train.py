"""Supervised training on payments whose labels come late. Resumable: a step's batch follows from the seed and its number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import structlog
import torch
from torch import Tensor, nn

from models.fraud.arrays import Floats, Ints, Singles
from models.fraud.features import Inputs, inputs
from models.training.fraud.ledger import Ledger, Reporting, exact, histories, varied
from models.training.fraud.network import AMOUNT_FIELD, Encoder, Guess, Shape
from models.training.fraud.trees import Ensemble, Members

log = structlog.get_logger()
_BATCH = 256  # rows: at 1,024 the kernel spends five times as long on mapping memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how fast to learn.

    `fraud_share` of each batch are frauds; what the logit is held against is shifted by the log-odds of that, which weighs the
    genuine payments back. `hide_share` of the past tokens hide their amount, and `guess_weight` weighs the loss of guessing it.
    `until` breaks off after so many of the steps, to go on another time.
    """

    steps: int
    batch: int = 256
    fraud_share: float = 0.125
    peak_rate: float = 2e-3
    warm_up: int = 200
    decay: float = 0.01
    average: float = 0.998
    seed: int = 0
    save_every: int = 200
    varied_labels: bool = True
    hide_share: float = 0.05
    guess_weight: float = 0.05
    until: int | None = None

    def reporting(self, count: int, rng: np.random.Generator) -> Reporting:
        """How labels reach `count` payments."""
        return varied(count, rng) if self.varied_labels else exact(count)


@dataclass(frozen=True, slots=True)
class Batch:
    """N payments, their truth, and a first stage's logits of them, if there is one."""

    inputs: Inputs
    truth: Singles
    first: Singles | None


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a ledger that may be learned from."""

    frauds: Ints
    genuine: Ints

    @property
    def fraud_odds(self) -> float:
        return len(self.frauds) / len(self.genuine)


def rows_of(book: Ledger, rows: Ints) -> Rows:
    """The rows by truth."""
    fraud = book.fraud[rows]
    return Rows(frauds=rows[fraud], genuine=rows[~fraud])


def tensors(batch: Inputs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The network's arguments."""
    return torch.from_numpy(batch.tokens), torch.from_numpy(batch.ids), torch.from_numpy(batch.mask), torch.from_numpy(batch.base)


def draw(book: Ledger, rows: Rows, plan: Plan, step: int, first: Members | None = None) -> Batch:
    """The batch of one step; the same for the same seed and step."""
    rng = np.random.default_rng([plan.seed, step])
    frauds = round(plan.batch * plan.fraud_share)
    chosen = np.concatenate([rng.choice(rows.frauds, frauds), rng.choice(rows.genuine, plan.batch - frauds)])
    batch = inputs(histories(book, chosen, plan.reporting(plan.batch, rng), rng))
    judged = None if first is None else first.unseen_logits(batch.base, book.customer.key[chosen])
    return Batch(batch, book.fraud[chosen].astype(np.float32), judged)


class Learner:
    """The network, its running average, the optimiser, and the head that guesses hidden amounts."""

    def __init__(self, shape: Shape, plan: Plan, shift: float) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.shift = plan, shift
        self.model, self.averaged, self.guess = Encoder(shape), Encoder(shape), Guess(shape)
        self.averaged.load_state_dict(self.model.state_dict())
        parameters = [*self.model.parameters(), *self.guess.parameters()]
        self.optimiser = torch.optim.AdamW(_groups(parameters, plan.decay), lr=plan.peak_rate)

    def standardise(self, base: Singles) -> None:
        """Set the mean and scale of the sums from examples."""
        for model in (self.model, self.averaged):
            model.base_mean.copy_(torch.from_numpy(base.mean(axis=0)))
            model.base_scale.copy_(torch.from_numpy(np.maximum(base.std(axis=0), 1e-3)))

    def begin(self, log_odds: float) -> None:
        """Let every logit begin at `log_odds`, or on top of a first stage, so much above that."""
        for model in (self.model, self.averaged):
            nn.init.zeros_(model.head[-1].weight)
            nn.init.constant_(model.head[-1].bias, log_odds)

    def step(self, number: int, batch: Batch) -> float:
        """Learn from a batch; its loss as a classifier."""
        plan = self.plan
        cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * number / plan.steps))
        for group in self.optimiser.param_groups:
            group["lr"] = plan.peak_rate * min(1.0, (number + 1) / plan.warm_up) * cosine
        self.model.train()
        classified, guessed = self._losses(number, batch)
        self.optimiser.zero_grad()
        (classified + plan.guess_weight * guessed).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        keep = min(plan.average, (1 + number) / (10 + number))
        with torch.no_grad():
            for mean, current in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(current, 1 - keep)
        return float(classified.detach())

    def _losses(self, number: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """(of the classifier, of the guesses)."""
        tokens, ids, mask, base = tensors(batch.inputs)
        rng = np.random.default_rng([self.plan.seed, number, 1])
        hidden = torch.from_numpy((rng.random(mask.shape) < self.plan.hide_share) & (batch.inputs.mask > 0))
        hidden[:, 0] = False
        context = self.model.context(self.model.embed(tokens, ids, hidden), mask)
        first = None if batch.first is None else torch.from_numpy(batch.first)
        logit = self.model.judge(context, mask, base, first) + self.shift
        classified = nn.functional.binary_cross_entropy_with_logits(logit, torch.from_numpy(batch.truth))
        if not hidden.any():
            return classified, torch.zeros(())
        return classified, nn.functional.cross_entropy(self.guess(context, hidden), ids[:, :, AMOUNT_FIELD][hidden])

    def save(self, path: Path, step: int) -> None:
        """Write a checkpoint whole or not at all."""
        state = {name: part.state_dict() for name, part in self._parts().items()} | {"step": step}
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def resume(self, path: Path) -> int:
        """The step to go on from; 0 without a checkpoint."""
        if not path.is_file():
            return 0
        state = torch.load(path, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        return int(state["step"])

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "averaged": self.averaged, "guess": self.guess, "optimiser": self.optimiser}


def train(book: Ledger, rows: Rows, plan: Plan, *, shape: Shape, folder: Path, first: Members | None = None) -> Encoder:
    """The trained network with averaged weights, whose logits are those of the rows; goes on from `folder`'s checkpoint."""
    shift = math.log(plan.fraud_share / (1 - plan.fraud_share) / rows.fraud_odds)
    learner = Learner(shape, plan, shift)
    learner.standardise(np.concatenate([draw(book, rows, plan, 2**30 + step).inputs.base for step in range(20)]))
    learner.begin(math.log(rows.fraud_odds) if first is None else 0.0)
    folder.mkdir(parents=True, exist_ok=True)
    begin = learner.resume(folder / "checkpoint.pt")
    started, running = perf_counter(), 0.0
    end = plan.steps if plan.until is None else plan.until
    for step in range(begin, end):
        loss = learner.step(step, draw(book, rows, plan, step, first))
        running = loss if step == begin else 0.98 * running + 0.02 * loss
        if (step + 1) % plan.save_every == 0 or step + 1 == end:
            log.info("trained", step=step + 1, loss=round(running, 5), elapsed_s=round(perf_counter() - started, 1))
            learner.save(folder / "checkpoint.pt", step + 1)
    return learner.averaged.eval()  # type: ignore[no-any-return]


def _groups(parameters: Sequence[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Matrices decay, vectors do not."""
    return [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]


def logits(
    model: Encoder, book: Ledger, rows: Ints, *, reporting: Reporting | None = None, first: Ensemble | None = None
) -> Floats:
    """Logits of `rows`, which the network has not learned from, with every label after 7 days unless `reporting` says otherwise."""
    whole = exact(len(rows)) if reporting is None else reporting
    found = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            part = slice(start, start + _BATCH)
            batch = inputs(histories(book, rows[part], whole.part(part), np.random.default_rng(start)))
            judged = () if first is None else (torch.from_numpy(first.logits(batch.base)),)
            found.append(model(*tensors(batch), *judged).numpy())
    return np.concatenate(found).astype(np.float64)
