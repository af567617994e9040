"""The network that is trained and exported: one BERT encoder, the mean of its token vectors, a linear head for each task."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModel

from models.training.text.data import LABELS, TASKS, Task

MAX_TOKENS = 128
_DROPOUT = 0.1


class TwoHeads(torch.nn.Module):
    """(batch, length) token ids and mask → sentiment logits (batch, 3) and topic logits (batch, 20)."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = torch.nn.Dropout(_DROPOUT)
        width = encoder.config.hidden_size
        self.heads = torch.nn.ModuleDict({task: torch.nn.Linear(width, len(LABELS[task])) for task in TASKS})

    def pooled(self, input_ids: Any, attention_mask: Any) -> Any:
        """The mean of the token vectors under the mask: (batch, width)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1)

    def logits(self, task: Task, input_ids: Any, attention_mask: Any) -> Any:
        """The logits of one task: (batch, labels)."""
        return self.heads[task](self.dropout(self.pooled(input_ids, attention_mask)))

    def forward(self, input_ids: Any, attention_mask: Any) -> tuple[Any, Any]:
        pooled = self.dropout(self.pooled(input_ids, attention_mask))
        return self.heads["sentiment"](pooled), self.heads["topic"](pooled)


def build(base: Path) -> TwoHeads:
    """The network with pretrained encoder and fresh heads; eager attention, which exports to ONNX without custom operators."""
    return TwoHeads(AutoModel.from_pretrained(str(base), attn_implementation="eager", local_files_only=True))


def open_tokenizer(folder: Path, *, max_tokens: int = MAX_TOKENS) -> Tokenizer:
    """The folder's tokenizer, cutting at `max_tokens`, not padding: its file would pad every text to 128."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer
