"""GET /healthz, /readyz, /metrics and /api/counters."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.errors import GroundswellError
from core.metrics import GAUGES, PIPELINE
from search.nodes import MatchAll
from web.deps import Deps, Reading, deps_of
from web.responses import json_response

READY_WITHIN_S = 3.0  # below the 5 s after which common probes give up


async def healthz(request: Request) -> Response:
    """200 while the process answers."""
    return json_response({"status": "up", "version": deps_of(request).version})


async def readyz(request: Request) -> Response:
    """200 where the index and the alert store answer, else 503 with the reason for each that does not."""
    deps = deps_of(request)
    checks: dict[str, Awaitable[object]] = {"index": deps.index.count(MatchAll())}
    if deps.alerts is not None:
        checks["alerts"] = asyncio.to_thread(deps.alerts.counts)
    answers = await asyncio.gather(*(_reason(check) for check in checks.values()))
    reasons = dict(zip(checks, answers, strict=True))
    ready = not any(reasons.values())
    return json_response({name: reason or "ok" for name, reason in reasons.items()}, status=200 if ready else 503)


async def _reason(check: Awaitable[object]) -> str | None:
    """Why `check` failed, or None; whatever is wrong behind it, a probe must get its answer."""
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            await check
    except TimeoutError:
        return f"no answer within {READY_WITHIN_S:g} s"
    except GroundswellError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 — the HTTP edge
        return f"{type(error).__name__}: {error}"
    return None


async def counters(request: Request) -> Response:
    """The pipeline's counters and the alert store's counts, now."""
    return json_response(await read_counters(deps_of(request)))


async def read_counters(deps: Deps) -> Mapping[str, object]:
    """What the page's header shows: `counters` as the pipeline counts them, `alerts` as the store does."""
    alerts = await asyncio.to_thread(deps.alerts.counts) if deps.alerts is not None else None
    return {"time": deps.clock(), "counters": await deps.counters(), "alerts": alerts}


async def metrics(request: Request) -> Response:
    """This process's metrics and the pipeline's counters in Prometheus's text format."""
    registry = request.app.state.registry
    assert isinstance(registry, CollectorRegistry)
    deps = deps_of(request)
    counted = [Reading(PIPELINE, {"counter": name}, value) for name, value in sorted((await deps.counters()).items())]
    pipeline = CollectorRegistry()
    pipeline.register(_Pipeline([*counted, *await deps.gauges()]))
    return Response(generate_latest(registry) + generate_latest(pipeline), media_type=CONTENT_TYPE_LATEST)


class _Pipeline:
    """What the composition root reads elsewhere, as gauges."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._readings = readings

    def collect(self) -> list[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for reading in self._readings:
            labels = sorted(reading.labels)
            family = families.setdefault(reading.gauge, GaugeMetricFamily(reading.gauge, GAUGES[reading.gauge], labels=labels))
            family.add_metric([reading.labels[name] for name in labels], reading.value)
        return list(families.values())


ROUTES = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
    Route("/api/counters", counters),
]
