"""The shipped model: which worlds it learns from, is calibrated on and is measured on, and what its card says."""

import hashlib
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from models.fraud.arrays import Ints
from models.fraud.features import inputs
from models.fraud.history import DAY_S
from models.registry import DataSource
from models.training.fraud.calibrate import calibrate, report
from models.training.fraud.export import NAME, Release, export
from models.training.fraud.generator import Payments, World, generate
from models.training.fraud.ledger import Ledger, exact, histories, ledger
from models.training.fraud.network import Encoder, Shape
from models.training.fraud.train import Plan, rows_between, train

TRAINING = World(customers=16_000, terminals=32_000, days=180, seed=1)
CALIBRATION = World(customers=3_000, terminals=6_000, days=60, seed=2)
TEST = World(customers=3_000, terminals=6_000, days=60, seed=3)
_SETTLED_DAYS = 20  # of calibration and test worlds: by then labels have come in at the rate at which they go on to
_TRAINED = "encoder.pt"
_EVER = (-math.inf, math.inf)


def learn(work: Path, steps: int) -> Encoder:
    """The encoder, trained on one thread; goes on from the checkpoint in `work` and leaves the result there."""
    torch.set_num_threads(1)
    book = book_of(generate(TRAINING))
    model = train(book, rows_between(book, *_EVER), Plan(steps=steps), shape=Shape(), folder=work)
    torch.save(model.state_dict(), work / _TRAINED)
    return model


def release(work: Path, version: str, *, root: Path, measured: str = "") -> Path:
    """The model folder of the encoder that `learn` left in `work`: calibrated and measured on worlds it has not seen.

    `measured` is more of the card: the Markdown table that `evaluate` printed.
    """
    model = Encoder(Shape())
    model.load_state_dict(torch.load(work / _TRAINED, weights_only=True))
    model.eval()
    calibration, test = book_of(generate(CALIBRATION)), book_of(generate(TEST))
    calibrate(model, calibration, _settled(calibration))
    rows = _settled(test)
    metrics = report(model, test, rows)
    learned = generate(TRAINING)
    data = DataSource(
        name=f"own generator: {asdict(TRAINING)}", licence="Apache-2.0", rows=len(learned), sha256=fingerprint(learned)
    )
    sample = inputs(histories(test, rows[:64], exact(64)))
    card = _card(version, metrics) + _elsewhere(measured)
    return export(model, sample, Release(version=version, data=(data,), metrics=metrics, card=card), root=root)


def book_of(payments: Payments) -> Ledger:
    """The ledger of a generated world."""
    return ledger(payments.time_s, payments.amount, payments.fraud, customer=payments.customer, terminal=payments.terminal)


def fingerprint(payments: Payments) -> str:
    """Hex SHA-256 over the columns."""
    digest = hashlib.sha256()
    for column in (payments.time_s, payments.amount, payments.customer, payments.terminal, payments.pattern):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def _settled(book: Ledger) -> Ints:
    return np.flatnonzero(book.time_s >= book.time_s[0] + _SETTLED_DAYS * DAY_S)


def _card(version: str, metrics: dict[str, float]) -> str:
    """The model card."""
    measured = "\n".join(f"| {name} | {value} |" for name, value in metrics.items())
    return _CARD.format(name=NAME, version=version, measured=measured, shape=asdict(Shape()))


def _elsewhere(table: str) -> str:
    """The card's section on data of other makers, if there is any."""
    return _ELSEWHERE.format(table=table.strip()) if table.strip() else ""


_CARD = """# {name} {version}

Gives a card payment the probability of being fraud, 0..1, from the payment, the last 32 payments of its customer (28 days) and the
last 24 of its terminal (42 days), with the labels that had arrived by then.

- Network: BERT-type encoder, one token per payment, sizes {shape}; the head also reads sums over both pasts. No ids are embedded.
- Trained from scratch on generated payments only (Apache-2.0); no pre-training on masked fields. Labels came 0 to 14 days late, drawn
  anew for every example; a quarter of the examples saw fraud reports only, a fifth a past that began within the last 42 days.
- Calibrated (Platt) on another generated world, measured on a third, with every label after 7 days:

| Measure | Value |
|---|---|
{measured}

## Limits
- The patterns of fraud are simulated: amounts above 220, compromised terminals, compromised customers. Real cards need a model trained
  on their own labels: `python -m models.training.fraud` is the way to it.
- The first frauds at a terminal come before any report and look like any other payment: no score can tell them.
- Probabilities are calibrated for about 0.9 % of frauds.
- Currency, channel and country are not read.
"""

_ELSEWHERE = """
## On data of other makers
First test fold of the Fraud Detection Handbook (training week from 2018-07-25, test week from 2018-08-08; 58,264 payments, 385 frauds;
labels after exactly 7 days; customers with a fraud known by test day - 8 removed). In brackets, 95 % bootstrap intervals over customers.
The book's figures are means over its four folds, which differ by .01 to .02. These data come
from a simulator of the same design as the one that the model learned from, so they say little of real cards. They are used for
measuring only and are no part of this project.

{table}
"""
