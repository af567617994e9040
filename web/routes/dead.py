"""GET /api/dead, GET /api/dead/{place}, POST /api/dead/{place}/replay and POST /api/dead/replay: records that could not go on.

A letter is replayed as it was or with other bytes, one at a time, or all open ones that a topic, stage or words in the reason name.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.codec import DECODERS, MAX_RECORD_BYTES
from core.dead import DeadQuery, hex_dump
from core.errors import ConfigError, InvalidRecord
from core.records import DeadLetter
from core.topics import ALL, RAW
from web.bodies import JSON, media_type, read_body
from web.deps import DeadLetters, deps_of
from web.parameters import whole
from web.responses import BadRequest, json_response

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
MAX_WORDS_CHARS = 500
MAX_AT_ONCE = 1_000  # letters replayed in one request; they are read one by one
HEX_BYTES = 16_384
_TOPICS = sorted(topic.name for topic in ALL)
_KINDS = {topic.name: kind for kind, topic in RAW.items()}


class Mended(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent in place of a letter's bytes; without `text` they are sent as they were."""

    text: str | None = None


class Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which open letters are sent again; at least one of the three must say."""

    topic: str = ""
    stage: str = ""
    reason: str = ""


_Body = TypeVar("_Body", Mended, Chosen)


async def letters(request: Request) -> Response:
    """The newest letters by topic, stage, words in the reason, and whether they are open."""
    params = request.query_params
    limit = whole(params, "limit", DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
    offset = whole(params, "offset", 0, least=0, most=100_000)
    query = _query(params, is_open=params.get("open") == "1")
    dead = deps_of(request).dead
    if dead is None:
        return json_response({"letters": [], "total": 0, "enabled": False})
    page = await dead.page(query, limit=limit, offset=offset)
    return json_response({**msgspec.structs.asdict(page), "topics": _TOPICS, "enabled": True})


async def letter(request: Request) -> Response:
    """One letter with its bytes: `text` where they are UTF-8, else `hex`, and in `proposed` what of them is text."""
    place = request.path_params["place"]
    found, replayed = await _read(_dead(request), place)
    told = {name: getattr(found, name) for name in ("topic", "partition", "offset", "stage", "reason", "time")}
    return json_response({"place": place, **told, "bytes": len(found.raw), "replayed": replayed, **_shown(found.raw)})


async def replay(request: Request) -> Response:
    """Send one letter again; 422 where the mended text is no record of its topic, and then nothing is sent."""
    dead, place = _dead(request), request.path_params["place"]
    mended = await _body(request, Mended)
    found, _ = await _read(dead, place)
    raw = None if mended.text is None else mended.text.encode("utf-8", "surrogatepass")
    if raw is not None:
        _check(request, found.topic, raw)
    return json_response({"sent": await dead.replay([place], raw), "left": 0}, status=202)


async def replay_all(request: Request) -> Response:
    """Send all open letters that are chosen again, oldest first, at most 1,000; `left` tells how many remain."""
    dead, chosen = _dead(request), await _body(request, Chosen)
    if not (chosen.topic or chosen.stage or chosen.reason.strip()):
        raise BadRequest("say which letters to replay: name a topic, a stage or words of the reason")
    query = _query(msgspec.structs.asdict(chosen), is_open=True)
    total = (await dead.page(query, limit=1, offset=0)).total
    page = await dead.page(query, limit=MAX_AT_ONCE, offset=max(0, total - MAX_AT_ONCE))
    sent = await dead.replay([each.place for each in reversed(page.letters)])
    return json_response({"sent": sent, "left": page.total - sent}, status=202)


def _dead(request: Request) -> DeadLetters:
    dead = deps_of(request).dead
    if dead is None:
        raise BadRequest("this server shows no dead letters", status=404)
    return dead


def _query(params: Mapping[str, str], *, is_open: bool) -> DeadQuery:
    topic, words = params.get("topic") or None, params.get("reason", "")
    if topic is not None and topic not in _TOPICS:
        raise BadRequest(f"there is no topic {topic!r}; use one of: {', '.join(_TOPICS)}", field="topic")
    if len(words) > MAX_WORDS_CHARS:
        raise BadRequest(f"at most {MAX_WORDS_CHARS} characters of a reason are looked for", field="reason")
    return DeadQuery(topic=topic, stage=params.get("stage") or None, words=words, open=is_open)


async def _read(dead: DeadLetters, place: str) -> tuple[DeadLetter, object]:
    try:
        return await dead.read(place)
    except (ConfigError, InvalidRecord) as error:
        raise BadRequest(f"there is no dead letter at {place!r}", status=404) from error


async def _body(request: Request, kind: type[_Body]) -> _Body:
    if media_type(request.headers.get("content-type", "")) != JSON:
        raise BadRequest(f"send {JSON}", field="Content-Type", status=415)
    try:
        return msgspec.json.decode(await read_body(request), type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not what is asked for: {error}") from error


def _check(request: Request, topic: str, raw: bytes) -> None:
    """Refuse a mended text that would only become another dead letter."""
    if len(raw) > MAX_RECORD_BYTES:
        raise BadRequest(f"the text has {len(raw):,} bytes; at most {MAX_RECORD_BYTES:,} are taken", field="text", status=413)
    if topic in _KINDS:
        try:
            DECODERS[_KINDS[topic]](raw, deps_of(request).clock())
        except InvalidRecord as error:
            raise BadRequest(f"this is not yet a record of {topic}: {error}", field=error.field, status=422) from error


def _shown(raw: bytes) -> dict[str, object]:
    try:
        return {"text": raw.decode(), "hex": None, "proposed": None, "cut": False}
    except UnicodeDecodeError:
        proposed = raw.decode("utf-8", "replace") if len(raw) <= MAX_RECORD_BYTES else None
        return {"text": None, "hex": hex_dump(raw[:HEX_BYTES]), "proposed": proposed, "cut": len(raw) > HEX_BYTES}


ROUTES = [
    Route("/api/dead", letters),
    Route("/api/dead/replay", replay_all, methods=["POST"]),
    Route("/api/dead/{place}", letter),
    Route("/api/dead/{place}/replay", replay, methods=["POST"]),
]
