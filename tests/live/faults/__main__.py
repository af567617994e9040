"""`python -m tests.live.faults [PYTEST ARGUMENTS]` runs the faults and prints the table of what became of each load."""

import os
import sys
from pathlib import Path

import pytest

from tests.live.faults.table import PROPERTY, Row, markdown


class Told:
    """Collects what the tests tell."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a test's rows in, and print them at once, whether it passed or failed."""
        if report.when == "call":
            rows = [Row(*value) for name, value in report.user_properties if name == PROPERTY and isinstance(value, tuple)]
            self.rows += rows
            print(*rows, sep="\n", flush=True)


def main() -> int:
    """The status of the run; the table is printed in any case."""
    os.environ["GROUNDSWELL_TEST_LONG"] = "1"
    told = Told()
    status = pytest.main([str(Path(__file__).parent), *sys.argv[1:]], plugins=[told])
    print(markdown(told.rows))
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
