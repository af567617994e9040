"""The network that is trained and exported: a BERT encoder, the mean of its token vectors, one linear layer for all heads."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModel

from models.training.text.heads import COLUMNS, HEADS

HEAD = "head.pt"
_DROPOUT = 0.1
_BORROWED = ("sentiment.zh", "sentiment.es")  # start from what English taught


class Network(torch.nn.Module):
    """(batch, length) token ids and mask → logits (batch, COLUMNS); `heads.HEADS` says which columns are whose."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = torch.nn.Dropout(_DROPOUT)
        self.head = torch.nn.Linear(encoder.config.hidden_size, COLUMNS)

    def pooled(self, input_ids: Any, attention_mask: Any) -> Any:
        """The mean of the token vectors under the mask: (batch, width)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1)

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        return self.head(self.dropout(self.pooled(input_ids, attention_mask)))


def build(base: Path | str, *, dropout: float | None = None, **options: Any) -> Network:
    """The network on a pretrained encoder: a Hugging Face folder or name, or a finished run, whose heads it then goes on from."""
    if dropout is not None:
        options |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    network = Network(AutoModel.from_pretrained(str(base), add_pooling_layer=False, **options))
    trained = Path(base) / HEAD
    if trained.is_file():
        network.head.load_state_dict(torch.load(trained, weights_only=True))
    return network


def lend(network: Network) -> None:
    """Start the sentiment heads of the other languages from the English one."""
    lender = list(HEADS["sentiment.en"].columns)
    with torch.no_grad():
        for name in _BORROWED:
            for parameter in (network.head.weight, network.head.bias):
                parameter[list(HEADS[name].columns)] = parameter[lender]


def save(network: Network, tokenizer: Tokenizer, out: Path) -> None:
    """Write the network as a Hugging Face folder with the heads beside it."""
    network.encoder.save_pretrained(str(out))
    torch.save(network.head.state_dict(), out / HEAD)
    tokenizer.save(str(out / "tokenizer.json"))


def open_tokenizer(folder: Path, *, max_tokens: int) -> Tokenizer:
    """The folder's tokenizer, cutting at `max_tokens`, not padding: MiniLM's file would pad every text to 128."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def pad_token(tokenizer: Tokenizer) -> int:
    """The id that pads a batch: that of [PAD] or <pad>."""
    found = (tokenizer.token_to_id(each) for each in ("[PAD]", "<pad>"))
    return next((each for each in found if each is not None), 0)
