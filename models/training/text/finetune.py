"""Multi-task fine-tuning that survives kill -9: a checkpoint holds all that the next step depends on."""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from tokenizers import Tokenizer

from core.errors import ConfigError
from models.training.text.batches import Batch, Encoded, collate, encode, plan
from models.training.text.data import Example
from models.training.text.network import TwoHeads, build, open_tokenizer

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.pt"
RUN = "run.json"
_PROGRESS_STEPS = 50


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a run; a checkpoint resumes only under the recipe and data that made it.

    The heads start from noise and learn ten times as fast as the encoder.
    """

    seed: int = 0
    epochs: int = 3
    batch_size: int = 16
    encoder_rate: float = 5e-5
    head_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup_share: float = 0.06
    label_smoothing: float = 0.05
    max_gradient_norm: float = 1.0
    checkpoint_steps: int = 500
    data: str = ""


@dataclass(slots=True)
class _State:
    network: TwoHeads
    optimizer: Any
    step: int


def finetune(base: Path, examples: Sequence[Example], out: Path, *, recipe: Recipe, resume: bool = False) -> TwoHeads:
    """The trained network; `out` then holds weights.pt, run.json and the encoder's config and tokenizer.

    With `resume`, training goes on from the last checkpoint in `out`, if there is one.
    """
    out.mkdir(parents=True, exist_ok=True)
    recipe = msgspec.structs.replace(recipe, data=fingerprint(examples))
    torch.manual_seed(recipe.seed)
    tokenizer = open_tokenizer(base)
    encoded = encode(tokenizer, examples)
    schedule = [
        indices
        for epoch in range(recipe.epochs)
        for indices in plan(encoded, batch_size=recipe.batch_size, seed=recipe.seed, epoch=epoch)
    ]
    state = _start(base, recipe)
    if resume and (out / CHECKPOINT).is_file():
        _restore(state, out / CHECKPOINT, recipe)
    _run(state, _batches(encoded, schedule[state.step :], tokenizer), out, recipe=recipe, steps=len(schedule))
    save(state.network, tokenizer, out, recipe=recipe)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return state.network


def fingerprint(examples: Sequence[Example]) -> str:
    """A digest of the training examples in their order.

    >>> fingerprint([]) == fingerprint(())
    True
    """
    return hashlib.sha256(msgspec.json.encode(examples)).hexdigest()


def learning_share(step: int, *, steps: int, warmup: int) -> float:
    """The share of the peak learning rate at `step`: linear up over `warmup` steps, then linear down to 0 at `steps`.

    >>> [round(learning_share(step, steps=10, warmup=2), 2) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    return min((step + 1) / warmup, (steps - step) / max(steps - warmup, 1), 1.0)


def save(network: TwoHeads, tokenizer: Tokenizer, out: Path, *, recipe: Recipe) -> None:
    """Write weights, encoder configuration, tokenizer and recipe."""
    torch.save(network.state_dict(), out / WEIGHTS)
    network.encoder.config.save_pretrained(str(out))
    tokenizer.save(str(out / "tokenizer.json"))
    (out / RUN).write_bytes(msgspec.json.format(msgspec.json.encode(recipe)))


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a finished run; `ConfigError` where training has not finished."""
    try:
        return msgspec.json.decode((folder / RUN).read_bytes(), type=Recipe)
    except FileNotFoundError as error:
        raise ConfigError("no finished training run here; go on with `train --resume`", file=str(folder)) from error


def _start(base: Path, recipe: Recipe) -> _State:
    network = build(base)
    groups = [
        {"params": list(network.encoder.parameters()), "peak": recipe.encoder_rate},
        {"params": list(network.heads.parameters()), "peak": recipe.head_rate},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.encoder_rate, weight_decay=recipe.weight_decay, fused=True)
    return _State(network=network, optimizer=optimizer, step=0)


def _batches(encoded: Sequence[Encoded], schedule: Sequence[Sequence[int]], tokenizer: Tokenizer) -> Iterator[Batch]:
    pad_id = tokenizer.token_to_id("[PAD]") or 0
    for indices in schedule:
        yield collate([encoded[index] for index in indices], pad_id=pad_id)


def _run(state: _State, batches: Iterator[Batch], out: Path, *, recipe: Recipe, steps: int) -> None:
    warmup = max(1, round(steps * recipe.warmup_share))
    state.network.train()
    started, first, loss_sum = time.monotonic(), state.step, 0.0
    for batch in batches:
        share = learning_share(state.step, steps=steps, warmup=warmup)
        for group in state.optimizer.param_groups:
            group["lr"] = group["peak"] * share
        loss_sum += _train_step(state, batch, recipe)
        state.step += 1
        if state.step % _PROGRESS_STEPS == 0:
            pace = (time.monotonic() - started) / (state.step - first)
            minutes = pace * (steps - state.step) / 60
            print(
                f"step {state.step}/{steps} loss {loss_sum / _PROGRESS_STEPS:.4f} {pace:.3f} s/step {minutes:.1f} min left",
                flush=True,
            )
            loss_sum = 0.0
        if state.step % recipe.checkpoint_steps == 0:
            _checkpoint(state, out / CHECKPOINT, recipe)


def _train_step(state: _State, batch: Batch, recipe: Recipe) -> float:
    logits = state.network.logits(batch.task, torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch.labels), label_smoothing=recipe.label_smoothing)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), recipe.max_gradient_norm)
    state.optimizer.step()
    return float(loss.item())


def _checkpoint(state: _State, path: Path, recipe: Recipe) -> None:
    """Write the checkpoint beside its place and rename it, so that a kill leaves the old one or the new one whole."""
    content = {
        "step": state.step,
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "recipe": msgspec.to_builtins(recipe),
    }
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    os.replace(partial, path)


def _restore(state: _State, path: Path, recipe: Recipe) -> None:
    content = torch.load(path, weights_only=True)
    if content["recipe"] != msgspec.to_builtins(recipe):
        raise ConfigError("the checkpoint was made by other settings or data; start without --resume", file=str(path))
    state.network.load_state_dict(content["network"])
    state.optimizer.load_state_dict(content["optimizer"])
    torch.set_rng_state(content["random"])
    state.step = content["step"]
    print(f"resumed at step {state.step}", flush=True)
