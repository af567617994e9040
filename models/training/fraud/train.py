"""Supervised training on payments whose labels come late. Resumable: a step's batch follows from the seed and its number."""

import math
from collections.abc import Iterator
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
from models.training.fraud.network import Encoder, Shape

log = structlog.get_logger()
_BATCH = 256  # rows: at 1,024 the kernel spends five times as long on mapping memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how fast to learn. `fraud_share` of each batch are frauds; the logit is corrected for it afterwards.

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
    save_every: int = 250
    varied_labels: bool = True
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a ledger that may be learned from."""

    frauds: Ints
    genuine: Ints

    @property
    def fraud_odds(self) -> float:
        return len(self.frauds) / len(self.genuine)


def rows_between(book: Ledger, start_s: float, end_s: float) -> Rows:
    """The rows with start ≤ time < end, by truth."""
    inside = (book.time_s >= start_s) & (book.time_s < end_s)
    return Rows(frauds=np.flatnonzero(inside & book.fraud), genuine=np.flatnonzero(inside & ~book.fraud))


def tensors(batch: Inputs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The network's arguments."""
    return torch.from_numpy(batch.tokens), torch.from_numpy(batch.ids), torch.from_numpy(batch.mask), torch.from_numpy(batch.base)


def draw(book: Ledger, rows: Rows, plan: Plan, step: int) -> tuple[Inputs, Singles]:
    """The batch of one step and its truth; the same for the same seed and step."""
    rng = np.random.default_rng([plan.seed, step])
    frauds = round(plan.batch * plan.fraud_share)
    chosen = np.concatenate([rng.choice(rows.frauds, frauds), rng.choice(rows.genuine, plan.batch - frauds)])
    reporting = varied(plan.batch, rng) if plan.varied_labels else exact(plan.batch)
    return inputs(histories(book, chosen, reporting, rng)), book.fraud[chosen].astype(np.float32)


def train(book: Ledger, rows: Rows, plan: Plan, *, shape: Shape, folder: Path) -> Encoder:
    """The trained network: averaged weights, logit corrected to the rows' share of frauds; goes on from `folder`'s checkpoint."""
    torch.manual_seed(plan.seed)
    model, averaged = Encoder(shape), Encoder(shape)
    _standardise(model, book, rows, plan)
    averaged.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(_groups(model, plan.decay), lr=plan.peak_rate)
    folder.mkdir(parents=True, exist_ok=True)
    first = _resume(folder / "checkpoint.pt", model, averaged, optimiser)
    started, running = perf_counter(), 0.0
    end = plan.steps if plan.until is None else plan.until
    for step in range(first, end):
        loss = _step(model, optimiser, plan, step, draw(book, rows, plan, step))
        _follow(averaged, model, min(plan.average, (1 + step) / (10 + step)))
        running = loss if step == first else 0.98 * running + 0.02 * loss
        if (step + 1) % plan.save_every == 0 or step + 1 == end:
            log.info("trained", step=step + 1, loss=round(running, 5), elapsed_s=round(perf_counter() - started, 1))
            _save(folder / "checkpoint.pt", model, averaged, optimiser, step + 1)
    share = plan.fraud_share / (1 - plan.fraud_share)
    averaged.offset.fill_(math.log(rows.fraud_odds / share))
    return averaged.eval()  # type: ignore[no-any-return]


def _standardise(model: Encoder, book: Ledger, rows: Rows, plan: Plan) -> None:
    """Set the mean and scale of the sums from a few batches."""
    base = np.concatenate([draw(book, rows, plan, 2**30 + step)[0].base for step in range(40)])
    model.base_mean.copy_(torch.from_numpy(base.mean(axis=0)))
    model.base_scale.copy_(torch.from_numpy(np.maximum(base.std(axis=0), 1e-3)))


def _groups(model: Encoder, decay: float) -> Iterator[dict[str, Any]]:
    """Matrices decay, vectors do not."""
    parameters = list(model.parameters())
    yield {"params": [one for one in parameters if one.ndim > 1], "weight_decay": decay}
    yield {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0}


def _step(model: Encoder, optimiser: Any, plan: Plan, step: int, drawn: tuple[Inputs, Singles]) -> float:
    """One step; the batch's mean loss."""
    batch, truth = drawn
    progress = step / plan.steps
    rate = plan.peak_rate * min(1.0, (step + 1) / plan.warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
    for group in optimiser.param_groups:
        group["lr"] = rate
    model.train()
    loss = nn.functional.binary_cross_entropy_with_logits(model(*tensors(batch)), torch.from_numpy(truth))
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def _follow(averaged: Encoder, model: Encoder, keep: float) -> None:
    """Move the averaged weights towards the model's."""
    with torch.no_grad():
        for mean, current in zip(averaged.parameters(), model.parameters(), strict=True):
            mean.lerp_(current, 1 - keep)


def _save(path: Path, model: Encoder, averaged: Encoder, optimiser: Any, step: int) -> None:
    """Write a checkpoint whole or not at all."""
    state = {"model": model.state_dict(), "averaged": averaged.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def _resume(path: Path, model: Encoder, averaged: Encoder, optimiser: Any) -> int:
    """The step to go on from; 0 without a checkpoint."""
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    averaged.load_state_dict(state["averaged"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def logits(model: Encoder, book: Ledger, rows: Ints, *, reporting: Reporting | None = None) -> Floats:
    """Logits of `rows`, with every label after 7 days unless `reporting` says otherwise."""
    whole = exact(len(rows)) if reporting is None else reporting
    found = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            part = slice(start, start + _BATCH)
            some = Reporting(whole.delay_s[part], whole.jitter[part], whole.genuine[part], whole.memory_s[part])
            found.append(model(*tensors(inputs(histories(book, rows[part], some)))).numpy())
    return np.concatenate(found).astype(np.float64)
