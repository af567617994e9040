"""Masked-language training of an encoder on unlabelled texts of the field (Gururangan et al. 2020), before it is fine-tuned."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy, gelu, linear

from models.training.text.batches import Ints, encode, padded, plan
from models.training.text.finetune import folder_of, rates
from models.training.text.loop import MEAN, Loop
from models.training.text.network import Network, build, open_tokenizer, pad_token, save
from models.training.text.recipe import Pretraining

_HELD_OUT = 0.01
_UNKNOWN = -100  # what cross_entropy leaves out
_MASKED, _SHUFFLED = 0.8, 0.1  # of the chosen tokens; the rest stay as they are (Devlin et al. 2019)
_EVALUATED = 50  # batches


class MaskedLanguage(torch.nn.Module):
    """The encoder with a layer that names the hidden tokens by the word embeddings: (masked, vocabulary) logits."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        config = network.encoder.config
        self.encoder = network.encoder
        self.dense = torch.nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = torch.nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = torch.nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, input_ids: Any, attention_mask: Any, chosen: Any) -> Any:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state[chosen]
        words = self.encoder.embeddings.word_embeddings.weight
        return linear(self.norm(gelu(self.dense(hidden))), words, self.bias)


def pretrain(base: Path | str, texts: Sequence[str], out: Path, *, recipe: Pretraining, resume: bool = False) -> None:
    """Train on the texts; `out` is then a Hugging Face folder to fine-tune from. 1 % of the texts are held out to judge by."""
    out.mkdir(parents=True, exist_ok=True)
    recipe = msgspec.structs.replace(recipe, data=hashlib.sha256("\n".join(texts).encode()).hexdigest())
    torch.manual_seed(recipe.seed)
    tokenizer = open_tokenizer(folder_of(base), max_tokens=recipe.max_tokens)
    network = build(base, dropout=recipe.encoder_dropout)
    model = MaskedLanguage(network)
    order = np.random.default_rng(recipe.seed).permutation(len(texts))
    held_out = max(recipe.batch_size, round(len(texts) * _HELD_OUT))
    chunks = encode(tokenizer, [texts[at] for at in order])
    lengths, size = [len(each) for each in chunks], recipe.batch_size
    epochs = [
        plan(lengths, range(held_out, len(chunks)), batch_size=size, seed=(recipe.seed, epoch)) for epoch in range(recipe.epochs)
    ]
    judged = plan(lengths, range(held_out), batch_size=size, seed=(recipe.seed, recipe.epochs))[:_EVALUATED]
    loop = Loop(model, rates(model, recipe), out, recipe)
    if resume:
        loop.resume()
    masker = Masker(tokenizer.get_vocab_size(), _mask_token(tokenizer))

    def loss(indices: Sequence[int]) -> Any:
        ids, mask = padded([chunks[at] for at in indices], pad_id=pad_token(tokenizer))
        hidden, labels = masker.hide(ids, mask, seed=(recipe.seed, loop.step))
        chosen = torch.from_numpy(labels != _UNKNOWN).to(loop.device)
        logits = model(torch.from_numpy(hidden).to(loop.device), torch.from_numpy(mask).to(loop.device), chosen)
        return cross_entropy(logits.float(), torch.from_numpy(labels[labels != _UNKNOWN]).to(loop.device))

    def score() -> dict[str, float]:
        model.eval()
        with torch.inference_mode():
            found = -float(np.mean([loss(batch).item() for batch in judged]))
        return {"minus_loss": found, MEAN: found}

    loop.run(epochs, loss, score, patience=recipe.epochs)
    save(network.cpu(), tokenizer, out)


def _mask_token(tokenizer: Tokenizer) -> int:
    """The id that hides a token: [MASK], or where the vocabulary has none <unk>."""
    found = (tokenizer.token_to_id(each) for each in ("[MASK]", "<unk>"))
    return next(each for each in found if each is not None)


class Masker:
    """Hides a share of a batch's tokens."""

    def __init__(self, vocabulary: int, mask_id: int, *, share: float = 0.15) -> None:
        self._vocabulary = vocabulary
        self._mask_id = mask_id
        self._share = share

    def hide(self, ids: Ints, mask: Ints, *, seed: tuple[int, int]) -> tuple[Ints, Ints]:
        """The ids with a share of the tokens hidden, and what they were (elsewhere −100); the frame of a text stays."""
        rng = np.random.default_rng(seed)
        inner = np.zeros(ids.shape, dtype=np.bool_)
        lengths = mask.sum(1)
        for row, length in enumerate(lengths.tolist()):
            inner[row, 1 : length - 1] = True
        chosen = inner & (rng.random(ids.shape) < self._share)
        if not chosen.any():
            chosen[0, 0] = True
        draw = rng.random(ids.shape)
        hidden = np.where(chosen & (draw < _MASKED), self._mask_id, ids)
        shuffled = chosen & (draw >= _MASKED) & (draw < _MASKED + _SHUFFLED)
        hidden = np.where(shuffled, rng.integers(5, self._vocabulary, ids.shape), hidden)
        return hidden, np.where(chosen, ids, _UNKNOWN)
