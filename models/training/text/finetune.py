"""Multi-task fine-tuning on the labelled sets."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch.nn.functional import log_softmax

from models.training.text.batches import Answers, Batch, collate, encode, plan, share
from models.training.text.heads import HEADS
from models.training.text.judge import dev_scores
from models.training.text.loop import Loop
from models.training.text.network import Network, build, lend, open_tokenizer, pad_token, save
from models.training.text.recipe import Finetuning, Schedule
from models.training.text.sets import Example
from models.training.text.split import Split

# What a head's loss counts beside a text's main question: the views on companies and consumers only help to tell the target's.
_WEIGHTS = {"companies.es": 0.3, "consumers.es": 0.3, "region.zh": 0.5}
_ADAPTED = ["query", "key", "value", "dense"]  # every matrix of a BERT layer


def finetune(base: Path | str, parts: Split, out: Path, *, recipe: Finetuning, resume: bool = False) -> Network:
    """The trained network; `out` is then a Hugging Face folder with the heads beside it, and holds the recipe and the logs.

    With `resume`, training goes on from the last checkpoint in `out`, if there is one.
    """
    out.mkdir(parents=True, exist_ok=True)
    train, dev = parts.train, parts.dev
    recipe = msgspec.structs.replace(recipe, data=fingerprint(train))
    torch.manual_seed(recipe.seed)
    tokenizer = open_tokenizer(folder_of(base), max_tokens=recipe.max_tokens)
    network = build(base, dropout=recipe.encoder_dropout)
    if recipe.lend_sentiment:
        lend(network)
    trained = adapted(network, recipe)
    chunks = encode(tokenizer, [example.text for example in train])
    lengths = [len(each) for each in chunks]
    epochs = [
        plan(
            lengths,
            share(train, recipe.sets, seed=recipe.seed, epoch=epoch),
            batch_size=recipe.batch_size,
            seed=(recipe.seed, epoch),
        )
        for epoch in range(recipe.epochs)
    ]
    loop = Loop(trained, rates(trained, recipe), out, recipe)
    if resume:
        loop.resume()
    pad_id = pad_token(tokenizer)

    def loss(indices: Sequence[int]) -> Any:
        batch = collate([chunks[at] for at in indices], [train[at].targets for at in indices], pad_id=pad_id)
        return batch_loss(trained, batch, recipe=recipe, device=loop.device)

    loop.run(epochs, loss, lambda: dev_scores(trained, tokenizer, dev), patience=recipe.patience)
    result: Network = merged(trained, recipe).cpu()
    save(result, tokenizer, out)
    return result


def fingerprint(examples: Sequence[Example]) -> str:
    """A digest of the training examples in their order."""
    return hashlib.sha256(msgspec.json.encode(examples)).hexdigest()


def folder_of(base: Path | str) -> Path:
    """The local folder of an encoder: `base` itself, or where the Hugging Face hub's copy was put."""
    if Path(base).is_dir():
        return Path(base)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(str(base), allow_patterns=["*.json", "*.safetensors", "vocab.txt"]))


def batch_loss(network: Any, batch: Batch, *, recipe: Finetuning, device: Any) -> Any:
    """The sum of the heads' losses over the batch's texts, by the number of texts."""
    ids, mask = torch.from_numpy(batch.input_ids).to(device), torch.from_numpy(batch.attention_mask).to(device)
    passes = 2 if recipe.consistency else 1
    logits = network(ids.repeat(passes, 1), mask.repeat(passes, 1)).float().unflatten(0, (passes, len(ids)))
    total = logits.new_zeros(())
    for name, answers in batch.answers.items():
        rows = logits[:, torch.from_numpy(answers.rows).to(device)][..., list(HEADS[name].columns)]
        losses = torch.stack([head_loss(each, answers, smoothing=recipe.label_smoothing) for each in rows]).mean(0)
        if recipe.consistency:
            losses = losses + recipe.consistency * disagreement(*rows)
        total = total + _WEIGHTS.get(name, 1.0) * losses.sum()
    return total / len(ids)


def disagreement(one: Any, other: Any) -> Any:
    """The mean of the two divergences between two passes' distributions: (texts, labels) logits → (texts,)."""
    log_p, log_q = log_softmax(one, dim=1), log_softmax(other, dim=1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1) / 2


def head_loss(logits: Any, answers: Answers, *, smoothing: float) -> Any:
    """Cross-entropy with a smoothed distribution or, where one of several labels is true, −log of their summed probability: (known,)."""
    log_p = log_softmax(logits, dim=1)
    weights = torch.from_numpy(answers.weights).to(logits.device)
    spread = (1 - smoothing) * weights + smoothing / weights.shape[1]
    known = -(spread * log_p).sum(1)
    masked = log_p.masked_fill(weights == 0, float("-inf"))
    return torch.where(torch.from_numpy(answers.one_of).to(logits.device), -masked.logsumexp(1), known)


def rates(network: Any, recipe: Schedule) -> list[dict[str, Any]]:
    """Parameter groups with their peak rates: the heads start from noise and learn faster, lower layers slower by `layer_decay`."""
    groups: dict[float, list[Any]] = {}
    layers = network.encoder.config.num_hidden_layers
    for name, parameter in network.named_parameters():
        if recipe.frozen_embeddings and "word_embeddings" in name:
            parameter.requires_grad = False
        if parameter.requires_grad:
            groups.setdefault(_rate(name, recipe, layers), []).append(parameter)
    return [{"params": parameters, "peak": rate} for rate, parameters in groups.items()]


def _rate(name: str, recipe: Schedule, layers: int) -> float:
    if not name.startswith("encoder."):
        return recipe.head_rate
    depth = int(name.split(".layer.")[1].split(".")[0]) + 1 if ".layer." in name else 0
    return float(recipe.encoder_rate * recipe.layer_decay ** (layers - depth))


def adapted(network: Network, recipe: Finetuning) -> Network:
    """The network with low-rank adapters in its encoder, if the recipe asks for them (Hu et al. 2021; peft)."""
    if recipe.lora_rank:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=recipe.lora_rank, lora_alpha=2 * recipe.lora_rank, lora_dropout=0.05, target_modules=_ADAPTED)
        network.encoder = get_peft_model(network.encoder, config)
    return network


def merged(network: Network, recipe: Finetuning) -> Network:
    """The network with its adapters folded into the encoder's weights."""
    if recipe.lora_rank:
        network.encoder = network.encoder.merge_and_unload()
    return network
