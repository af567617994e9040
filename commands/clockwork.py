"""Jobs that run by the clock."""

import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from apscheduler.schedulers.blocking import BlockingScheduler

from core import log
from core.errors import Retryable

_log = log.get(__name__)


def run_jobs(jobs: Mapping[Callable[[], None], float]) -> None:
    """Run each job now and then every so many seconds, never twice at once, until SIGTERM or SIGINT; a job that runs then is finished.

    A server that is away fails no more than the one run.
    """
    scheduler = BlockingScheduler(timezone=UTC)
    for job, every_s in jobs.items():
        scheduler.add_job(
            _patient(job), "interval", seconds=every_s, max_instances=1, coalesce=True, next_run_time=datetime.now(UTC)
        )
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        scheduler.start()
    except KeyboardInterrupt:
        scheduler.shutdown()
    finally:
        signal.signal(signal.SIGTERM, before)


def _patient(job: Callable[[], None]) -> Callable[[], None]:
    """The job, with servers that are away told in the log."""

    def run() -> None:
        try:
            job()
        except Retryable as error:
            _log.warning("job_failed", error=str(error), remedy="it is run again at its next time")

    return run
