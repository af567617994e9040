"""What an exported variant of a model keeps of the trained network's answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parity:
    """A variant held against the network in torch on the development texts.

    `same_label`: share of equal first labels; `max_change`: of a probability; `macro_f1_loss`: the network's minus the variant's;
    `max_change_by_batch`: of a probability, between a text scored alone and among others.
    """

    variant: str
    megabytes: float
    same_label: float
    max_change: float
    macro_f1_loss: float
    max_change_by_batch: float
