"""POST /api/events/{news,social,transactions,labels}: raw records into their topic.

Nothing that arrives is lost: a record that `submit` refuses is in the dead-letter topic before the answer says so. Sending a batch again
is safe, since ids are derived from content.
"""

import asyncio
from collections.abc import Sequence

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.errors import InvalidRecord, Retryable
from core.topics import RAW
from web.bodies import MAX_RECORD_BYTES, RawRecord, read_body, split_body
from web.deps import Submit, deps_of
from web.responses import RETRY_AFTER_S, BadRequest, json_response

AT_ONCE = 200  # records handed over together; librdkafka's default queue holds 100,000


class Rejection(Struct, frozen=True):
    """A record that was not accepted: its line or place (from 1), the field at fault, and why."""

    line: int
    field: str | None
    reason: str


async def ingest(request: Request) -> Response:
    """202 with the number accepted and the records rejected; 422 where all were rejected; 503 where the broker does not answer."""
    kind = request.path_params["kind"]
    if kind not in RAW:
        raise BadRequest(f"there is no kind {kind!r}; post to one of: {', '.join(sorted(RAW))}", status=404)
    records = split_body(request.headers.get("content-type", ""), await read_body(request))
    return await submit_all(deps_of(request).submit, RAW[kind].name, records)


async def submit_all(submit: Submit, topic: str, records: Sequence[RawRecord]) -> Response:
    """The answer after all of `records`, in order, or after the first group that found no broker."""
    accepted = 0
    rejected: list[Rejection] = []
    for begin in range(0, len(records), AT_ONCE):
        outcomes = await asyncio.gather(*(_submit(submit, topic, record) for record in records[begin : begin + AT_ONCE]))
        rejected.extend(outcome for outcome in outcomes if isinstance(outcome, Rejection))
        accepted += sum(outcome is None for outcome in outcomes)
        failed = next((outcome for outcome in outcomes if isinstance(outcome, Retryable)), None)
        if failed is not None:
            message = f"{failed}; send the whole batch again later: records that arrive twice count once"
            answer = {"error": message, "accepted": accepted, "rejected": rejected}
            return json_response(answer, status=503, headers={"Retry-After": str(RETRY_AFTER_S)})
    status = 422 if rejected and not accepted else 202
    return json_response({"accepted": accepted, "rejected": rejected}, status=status)


async def _submit(submit: Submit, topic: str, record: RawRecord) -> Rejection | Retryable | None:
    if len(record.raw) > MAX_RECORD_BYTES:  # over the broker's message limit, so not even a dead letter can hold it
        return Rejection(record.line, None, f"record of {len(record.raw):,} bytes; at most {MAX_RECORD_BYTES:,} are taken")
    try:
        await submit(topic, record.raw)
    except InvalidRecord as error:
        return Rejection(record.line, error.field, error.reason)
    except Retryable as error:
        return error
    return None


ROUTES = [Route("/api/events/{kind}", ingest, methods=["POST"])]
