"""What every receiver promises, and how a failed delivery tells whether to try again."""

from typing import Protocol

from alerts.store import Delivery
from core.errors import GroundswellError


class TransportError(GroundswellError):
    """A delivery that was not accepted. `permanent`: no later try can succeed; `gone`: nor can any to this address.

    `retry_after_s` is the least wait that the receiver asks for. The message never holds an address or a secret.
    """

    def __init__(self, message: str, *, permanent: bool = False, retry_after_s: float | None = None, gone: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent or gone
        self.retry_after_s = retry_after_s
        self.gone = gone


class Receiver(Protocol):
    """Takes transitions; must accept the same delivery twice, since delivery is at least once."""

    @property
    def name(self) -> str:
        """The name that rules call it by."""

    @property
    def target(self) -> str:
        """A fingerprint of where it sends: it changes with the address and reveals nothing of it."""

    async def send(self, delivery: Delivery) -> None:
        """Returns once the delivery is accepted; TransportError where it is not."""

    async def aclose(self) -> None:
        """Lets go of connections."""
