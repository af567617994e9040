"""Fixtures of the acceptance tests."""

from collections.abc import Iterator

import pytest

from tests.acceptance.product import Receiver, open_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that verifies signatures."""
    with open_receiver() as opened:
        yield opened
