"""Kibana's data view, saved search, panels and dashboard: `python -m deploy.kibana.saved_objects` writes groundswell.ndjson anew.

The objects have the shape of Kibana 8.9, which every later 8 and 9 takes in.
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "groundswell.ndjson"
COLUMNS = ["kind", "source", "title", "text", "entities.name", "sentiment.label", "topic.label", "fraud_score"]
_VIEW = "groundswell-events"
_KUERY = "kuery"
_SEARCH_SOURCE = "kibanaSavedObjectMeta.searchSourceJSON.index"
_MIGRATIONS = {"index-pattern": "8.0.0", "search": "8.0.0", "lens": "8.9.0", "dashboard": "8.9.0"}
_RISK = "sentiment.label:negative or fraud_score >= 0.9"

Json = dict[str, Any]


def saved_objects() -> list[Json]:
    """Every object, those that others refer to first."""
    return [_data_view(), _search(), *_panels(), _dashboard()]


def to_ndjson(objects: list[Json]) -> str:
    """One object a line."""
    return "".join(_json(each) + "\n" for each in objects)


def _data_view() -> Json:
    empty = dict.fromkeys(("fieldAttrs", "fieldFormatMap", "runtimeFieldMap", "typeMeta"), "{}")
    lists = dict.fromkeys(("fields", "sourceFilters"), "[]")
    names = {"title": "groundswell", "name": "Groundswell events", "timeFieldName": "time", "allowNoIndex": True}
    return _object("index-pattern", _VIEW, {**names, **empty, **lists})


def _search() -> Json:
    source = {"query": {"query": _RISK, "language": _KUERY}, "filter": [], "indexRefName": _SEARCH_SOURCE}
    attributes = {
        "title": "Negative texts and suspicious payments",
        "description": "",
        "columns": COLUMNS,
        "sort": [["time", "desc"]],
        "grid": {},
        "hideChart": False,
        "isTextBasedQuery": False,
        "timeRestore": False,
        "kibanaSavedObjectMeta": {"searchSourceJSON": _json(source)},
    }
    return _object("search", "groundswell-risk", attributes, [_reference("index-pattern", _VIEW, _SEARCH_SOURCE)])


def _panels() -> list[Json]:
    layer: Json = {"layerId": "l1", "layerType": "data"}
    bars = {
        "legend": {"isVisible": True, "position": "right"},
        "valueLabels": "hide",
        "preferredSeriesType": "bar_stacked",
        "layers": [{**layer, "seriesType": "bar_stacked", "xAccessor": "x", "splitAccessor": "s", "accessors": ["n"]}],
    }
    table = {**layer, "columns": [{"columnId": "e"}, {"columnId": "n"}]}
    over_time = {"s": _terms("sentiment.label", 3), "x": _by_time(), "n": _COUNT}
    return [
        _lens("groundswell-sentiment", "Texts by sentiment", "lnsXY", bars, over_time),
        _lens("groundswell-entities", "Companies in negative texts", "lnsDatatable", table, _NEGATIVE_BY_ENTITY),
        _lens("groundswell-fraud", "Payments taken for fraud", "lnsMetric", {**layer, "metricAccessor": "n"}, {"n": _FRAUD}),
    ]


def _lens(identity: str, title: str, kind: str, visualization: Json, columns: Json) -> Json:
    layer = {"columns": columns, "columnOrder": list(columns), "incompleteColumns": {}, "sampling": 1}
    state = {
        "visualization": visualization,
        "query": {"query": "", "language": _KUERY},
        "filters": [],
        "internalReferences": [],
        "adHocDataViews": {},
        "datasourceStates": {"formBased": {"layers": {"l1": layer}}, "textBased": {"layers": {}}},
    }
    attributes = {"title": title, "visualizationType": kind, "state": state}
    return _object("lens", identity, attributes, [_reference("index-pattern", _VIEW, "indexpattern-datasource-layer-l1")])


def _dashboard() -> Json:
    places = [
        ("lens", "groundswell-fraud", (0, 0, 12, 8)),
        ("lens", "groundswell-sentiment", (12, 0, 36, 15)),
        ("lens", "groundswell-entities", (0, 8, 12, 22)),
        ("search", "groundswell-risk", (12, 15, 36, 15)),
    ]
    panels, references = [], []
    for number, (kind, identity, (x, y, w, h)) in enumerate(places, 1):
        name = f"p{number}"
        grid = {"x": x, "y": y, "w": w, "h": h, "i": name}
        panel = {"version": "8.9.0", "type": kind, "gridData": grid, "panelIndex": name, "panelRefName": f"panel_{name}"}
        panels.append({**panel, "embeddableConfig": {"enhancements": {}}})
        references.append(_reference(kind, identity, f"{name}:panel_{name}"))
    options = {"useMargins": True, "syncColors": False, "syncCursor": True, "syncTooltips": False, "hidePanelTitles": False}
    source = {"query": {"query": "", "language": _KUERY}, "filter": []}
    attributes = {
        "title": "Groundswell",
        "description": "",
        "version": 1,
        "timeRestore": True,
        "timeFrom": "now-7d",
        "timeTo": "now",
        "refreshInterval": {"pause": False, "value": 10_000},
        "optionsJSON": _json(options),
        "panelsJSON": _json(panels),
        "kibanaSavedObjectMeta": {"searchSourceJSON": _json(source)},
    }
    return _object("dashboard", "groundswell", attributes, references)


def _count(label: str, query: str = "") -> Json:
    column: Json = {
        "label": label,
        "dataType": "number",
        "operationType": "count",
        "isBucketed": False,
        "scale": "ratio",
        "sourceField": "___records___",
        "params": {"emptyAsNull": True},
    }
    return {**column, "filter": {"query": query, "language": _KUERY}} if query else column


def _by_time() -> Json:
    return {
        "label": "time",
        "dataType": "date",
        "operationType": "date_histogram",
        "sourceField": "time",
        "isBucketed": True,
        "scale": "interval",
        "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
    }


def _terms(field: str, size: int) -> Json:
    order = {
        "orderBy": {"type": "column", "columnId": "n"},
        "orderDirection": "desc",
        "otherBucket": False,
        "missingBucket": False,
    }
    values = {"include": [], "exclude": [], "includeIsRegex": False, "excludeIsRegex": False}
    return {
        "label": field,
        "dataType": "string",
        "operationType": "terms",
        "scale": "ordinal",
        "sourceField": field,
        "isBucketed": True,
        "params": {"size": size, "parentFormat": {"id": "terms"}, **order, **values},
    }


def _object(kind: str, identity: str, attributes: Json, references: list[Json] | None = None) -> Json:
    versions = {"coreMigrationVersion": "8.8.0", "typeMigrationVersion": _MIGRATIONS[kind], "managed": False}
    return {"id": identity, "type": kind, "attributes": attributes, "references": references or [], **versions}


def _reference(kind: str, identity: str, name: str) -> Json:
    return {"type": kind, "id": identity, "name": name}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_COUNT = _count("Events")
_NEGATIVE_BY_ENTITY = {"e": _terms("entities.name", 10), "n": _count("Negative texts", "sentiment.label:negative")}
_FRAUD = _count("Payments", "fraud_score >= 0.9")

if __name__ == "__main__":
    FILE.write_text(to_ndjson(saved_objects()), "utf-8")
