"""GET /api/alerts and GET /api/alerts/{id}: an alert explains itself."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerts.store import Delivery
from core.records import AlertState
from web.deps import deps_of
from web.parameters import whole
from web.responses import BadRequest, json_response

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
MAX_DELIVERIES = 200  # two transitions to each of 100 receivers


async def alerts(request: Request) -> Response:
    """The newest alerts, at most `limit`, of one state or rule where those are given."""
    store, params = deps_of(request).alerts, request.query_params
    limit = whole(params, "limit", DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
    if store is None:
        return json_response({"alerts": [], "enabled": False})
    found = await asyncio.to_thread(store.list_alerts, limit, state=_state(params.get("state")), rule=params.get("rule") or None)
    return json_response({"alerts": found, "enabled": True})


async def alert(request: Request) -> Response:
    """One alert with its transitions, its deliveries and the events behind it, fetched from the index.

    `missing_events` are ids that the index does not have (yet).
    """
    deps, alert_id = deps_of(request), request.path_params["id"]
    store = deps.alerts
    found = await asyncio.to_thread(store.get_alert, alert_id) if store is not None else None
    if store is None or found is None:
        raise BadRequest(f"there is no alert {alert_id!r}", status=404)
    transitions = await asyncio.to_thread(store.transitions, alert_id)
    deliveries = await asyncio.to_thread(store.deliveries, alert_id=alert_id, limit=MAX_DELIVERIES)
    ids = list(dict.fromkeys(event_id for transition in transitions for event_id in transition.event_ids))
    documents = await asyncio.gather(*(deps.index.get(event_id) for event_id in ids))
    return json_response(
        {
            "alert": found,
            "transitions": transitions,
            "deliveries": [_public(delivery) for delivery in deliveries],
            "events": [document for document in documents if document is not None],
            "missing_events": [event_id for event_id, document in zip(ids, documents, strict=True) if document is None],
        }
    )


def _state(text: str | None) -> AlertState | None:
    if not text:
        return None
    try:
        return AlertState(text)
    except ValueError as error:
        raise BadRequest(f"{text!r} is no state; use one of: {', '.join(AlertState)}", field="state") from error


def _public(delivery: Delivery) -> dict[str, Any]:
    """A delivery without its lease, which is the workers' own, and its transition, which stands beside it in the answer."""
    return {
        "id": delivery.id,
        "transition_id": delivery.transition_id,
        "receiver": delivery.receiver,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "next_attempt": delivery.next_attempt if delivery.status == "pending" else None,
        "last_error": delivery.last_error,
        "delivered_at": delivery.delivered_at,
    }


ROUTES = [Route("/api/alerts", alerts), Route("/api/alerts/{id:path}", alert)]
