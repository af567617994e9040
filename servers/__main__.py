"""`python -m servers [FOLDER]`: Kafka, Elasticsearch and PostgreSQL until Ctrl-C, in FOLDER, or in one that is removed at the end."""

import signal
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from core.errors import GroundswellError
from servers.machine import open_servers


def main(arguments: list[str]) -> int:
    """The exit status; prints how to reach what was started."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        folder = (
            Path(arguments[0]) if arguments else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="groundswell-")))
        )
        try:
            found = stack.enter_context(open_servers(folder))
        except GroundswellError as error:
            sys.stderr.write(f"servers: {error}\n")
            return 2
        for server in found:
            sys.stdout.write(f"{server.name:14} {server.address:40} log {server.log_file}\n")
        sys.stdout.write("Ctrl-C stops them.\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
