"""The training loop that every kind of training shares; it survives kill -9: a checkpoint holds all that the next step depends on."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from tqdm import tqdm

from core.errors import ConfigError
from models.training.text.recipe import Schedule

CHECKPOINT = "checkpoint.pt"
RECIPE = "recipe.json"
MEAN = "mean"  # of all development texts: what decides which epoch was best
_PROGRESS_STEPS = 50


class Loop:
    """Trains `network` for the recipe's epochs, logging to `out`.

    `epochs` are the batches of each epoch, as keys; `loss` turns a key into a loss to step on. After an epoch `score` says how good
    the network is; the weights of the epoch with the highest `MEAN` are the result. `rates` are parameter groups with their `peak` rates.
    """

    def __init__(self, network: Any, rates: Sequence[dict[str, Any]], out: Path, recipe: Schedule) -> None:
        self.network = network
        self.out = out
        self.recipe = recipe
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network.to(self.device)
        self.optimizer = torch.optim.AdamW(rates, lr=recipe.encoder_rate, weight_decay=recipe.weight_decay, fused=True)
        self.step = 0
        self.scores: list[float] = []
        self._best: dict[str, Any] | None = None
        self._writer = _writer(out)

    def resume(self) -> None:
        """Go on from the checkpoint in `out`, if there is one."""
        path = self.out / CHECKPOINT
        if not path.is_file():
            return
        content = torch.load(path, weights_only=True, map_location=self.device)
        if not same_settings(content["recipe"], self.recipe):
            raise ConfigError("the checkpoint was made by other settings or data; start without --resume", file=str(path))
        self.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random"].cpu())
        self.step, self.scores, self._best = content["step"], content["scores"], content["best"]
        print(f"resumed at step {self.step}", flush=True)

    def run(
        self,
        epochs: Sequence[Sequence[Any]],
        loss: Callable[[Any], Any],
        score: Callable[[], dict[str, float]],
        *,
        patience: int,
    ) -> None:
        """Train to the end, or until `patience` epochs in a row were no better; the network then has the best epoch's weights."""
        total = sum(map(len, epochs))
        end = 0
        for number, batches in enumerate(epochs):
            start, end = end, end + len(batches)
            if end > self.step:
                self.network.train()
                self._epoch(batches[max(self.step - start, 0) :], loss, total=total)
            if len(self.scores) <= number:
                self._judge(number, score())
            if len(self.scores) - 1 - self.scores.index(max(self.scores)) >= patience:
                print(f"stopped early: no better for {patience} epochs", flush=True)
                break
        if self._best is not None:
            self.network.load_state_dict(self._best)
        (self.out / RECIPE).write_bytes(msgspec.json.format(msgspec.json.encode(self.recipe)))
        (self.out / CHECKPOINT).unlink(missing_ok=True)

    def _epoch(self, batches: Sequence[Any], loss: Callable[[Any], Any], *, total: int) -> None:
        held = 0.0
        for key in tqdm(batches, initial=self.step, total=total, mininterval=10, unit="step", ascii=True):
            self._set_rates(total)
            value = self._train_step(loss, key)
            held += value
            self.step += 1
            if self.step % _PROGRESS_STEPS == 0:
                self._log("loss", held / _PROGRESS_STEPS)
                held = 0.0
            if self.step % self.recipe.checkpoint_steps == 0:
                self._checkpoint()

    def _set_rates(self, total: int) -> None:
        warmup = max(1, round(total * self.recipe.warmup_share))
        share = learning_share(self.step, steps=total, warmup=warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share

    def _train_step(self, loss: Callable[[Any], Any], key: Any) -> float:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=multiplies_bfloat16(self.device)):
            value = loss(key)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.max_gradient_norm)
        self.optimizer.step()
        return float(value.item())

    def _judge(self, epoch: int, scores: dict[str, float]) -> None:
        """Note the epoch's scores, and its weights if they are the best so far."""
        mean = scores[MEAN]
        if not self.scores or mean > max(self.scores):
            self._best = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
        self.scores.append(mean)
        for name, value in scores.items():
            self._log(f"dev/{name}", value)
        print(f"epoch {epoch}: " + " ".join(f"{name} {value:.4f}" for name, value in scores.items()), flush=True)
        self._checkpoint()

    def _log(self, name: str, value: float) -> None:
        self._writer.add_scalar(name, value, self.step)
        self._writer.flush()

    def _checkpoint(self) -> None:
        """Write the checkpoint beside its place and rename it, so that a kill leaves the old one or the new one whole."""
        content = {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "recipe": msgspec.to_builtins(self.recipe),
            "scores": self.scores,
            "best": self._best,
        }
        path = self.out / CHECKPOINT
        partial = path.with_suffix(".partial")
        torch.save(content, partial)
        os.replace(partial, path)


def multiplies_bfloat16(device: Any) -> bool:
    """Whether matrix products in bfloat16 are the faster ones: twice as fast on a CPU that has them, and far slower on others."""
    capable: dict[str, Any] = torch.cpu.get_capabilities()
    return device.type == "cuda" or any(capable.get(each, False) for each in ("avx512_bf16", "amx_bf16"))


def same_settings(made: Any, recipe: Schedule) -> bool:
    """Whether a checkpoint's settings are the recipe's; one that is older than a setting had that setting's default."""
    try:
        return msgspec.convert(made, type(recipe)) == recipe
    except msgspec.ValidationError:
        return False


def learning_share(step: int, *, steps: int, warmup: int) -> float:
    """The share of the peak learning rate at `step`: linear up over `warmup` steps, then linear down to 0 at `steps`.

    >>> [round(learning_share(step, steps=10, warmup=2), 2) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    return min((step + 1) / warmup, (steps - step) / max(steps - warmup, 1), 1.0)


def finished(folder: Path) -> Any:
    """The recipe of a finished run, as plain values; `ConfigError` where training has not finished."""
    try:
        return msgspec.json.decode((folder / RECIPE).read_bytes())
    except FileNotFoundError as error:
        raise ConfigError("no finished training run here; go on with `--resume`", file=str(folder)) from error


def remember(out: Path, earlier: Iterable[Path | str]) -> None:
    """Note in a finished run the recipes of the finished runs that it was made from: what they learned from, it has learned from."""
    before = [finished(Path(each)) for each in dict.fromkeys(earlier) if (Path(each) / RECIPE).is_file()]
    if before:
        (out / RECIPE).write_bytes(msgspec.json.format(msgspec.json.encode({**finished(out), "before": before})))


def lineage(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The recipe, then those of the runs that it was made from, each once.

    >>> [each["base"] for each in lineage({"base": "runs/b", "before": [{"base": "runs/a", "before": [{"base": "e5"}]}]})]
    ['runs/b', 'runs/a', 'e5']
    """
    whole = [recipe, *(each for before in recipe.get("before", ()) for each in lineage(before))]
    return [each for at, each in enumerate(whole) if each not in whole[:at]]


def _writer(out: Path) -> Any:
    """TensorBoard's log of the run, in `out`/logs."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(out / "logs"))
