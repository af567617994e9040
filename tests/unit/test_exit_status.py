"""With what status commands end: a supervisor starts those again that a server made fail, and leaves those that a person must mend."""

import os

import pytest

from servers.process import free_port
from tests.acceptance.product import groundswell


@pytest.mark.parametrize(
    ("database", "status"), [("postgresql+psycopg://u@127.0.0.1:{port}/x", os.EX_TEMPFAIL), ("no address", 2)]
)
def test_what_passes_and_what_must_be_mended_end_differently(database: str, status: int) -> None:
    variables = {"GROUNDSWELL_DATABASE": database.format(port=free_port())}
    done = groundswell("db", "current", variables=variables, status=status)
    assert done.stderr.startswith("groundswell: ")
