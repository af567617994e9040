"""Boosted trees on the sums: the first stage of a cascade, and what every network is held against.

An ensemble has a member for each third of the customers, which learned from the other two: a payment of the training rows can be
given the logit of the one member that has not seen its customer, and a network that learns on top of that is not misled. A new
payment gets the mean of the three.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier

from models.fraud.aggregates import NAMES, aggregates, usual_of
from models.fraud.arrays import Floats, Ints, Singles
from models.fraud.score import FIRST_GRAPH
from models.runtime import open_session
from models.training.fraud.ledger import Ledger, Reporting, exact, histories

MEMBERS = 3
TREES_DOMAIN = "ai.onnx.ml"
_PART = 4096
_GENUINE_SHARE = 0.25  # of a long period's genuine payments: all of them take four times as long and add nothing
_LONG = 200_000  # payments


@dataclass(frozen=True, slots=True)
class Trees:
    """The members, by the customers' number modulo three that they have not seen."""

    members: tuple[HistGradientBoostingClassifier, ...]

    def logits(self, sums: Singles) -> Floats:
        """(N,) for new payments."""
        return np.asarray(np.mean([_logits(member, sums) for member in self.members], axis=0), dtype=np.float64)

    def write(self, folder: Path) -> Path:
        """The whole ensemble's graph in `folder`; beside it those of the members, which `Members` reads."""
        for place, member in enumerate(self.members):
            onnx.save(graph_of([member]), folder / _member(place))
        onnx.save(graph_of(self.members), folder / FIRST_GRAPH)
        return folder / FIRST_GRAPH


class Ensemble:
    """The graph of trees in a file, to be run."""

    def __init__(self, graph: Path) -> None:
        self.graph = graph
        self._whole = open_session(graph, device="cpu")

    def logits(self, sums: Singles) -> Singles:
        """(N,) for new payments."""
        found: Singles = self._whole.run({"base": sums}, ["logit"])[0]
        return found


class Members(Ensemble):
    """The graphs that `Trees.write` left in a folder, to be run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FIRST_GRAPH)
        self._members = [open_session(folder / _member(place), device="cpu") for place in range(MEMBERS)]

    def unseen_logits(self, sums: Singles, customer: Ints) -> Singles:
        """(N,) for payments that may be of the training rows, each by the member that has not seen its customer."""
        found = np.empty(len(sums), np.float32)
        for place, member in enumerate(self._members):
            of = customer % MEMBERS == place
            if of.any():
                found[of] = member.run({"base": sums[of]}, ["logit"])[0]
        return found


def _member(place: int) -> str:
    return f"first-{place}.onnx"


def _logits(member: HistGradientBoostingClassifier, sums: Singles) -> Floats:
    return np.asarray(member.decision_function(sums), dtype=np.float64)


def sums_of(book: Ledger, rows: Ints, reporting: Reporting | None = None, rng: np.random.Generator | None = None) -> Singles:
    """(N, sums) of rows, with every label after 7 days unless `reporting` says otherwise."""
    whole = exact(len(rows)) if reporting is None else reporting
    found = np.empty((len(rows), len(NAMES)), np.float32)
    for start in range(0, len(rows), _PART):
        part = slice(start, start + _PART)
        past = histories(book, rows[part], whole.part(part), rng)
        found[part] = aggregates(past, usual_of(past))
    return found


def thinned(book: Ledger, rows: Ints, *, seed: int = 0) -> tuple[Ints, Floats]:
    """(rows, weights): of a long period all frauds and a quarter of the genuine payments, which then weigh four times as much."""
    if len(rows) <= _LONG:
        return rows, np.ones(len(rows))
    drawn = np.random.default_rng(seed).random(len(rows)) < _GENUINE_SHARE
    kept = rows[book.fraud[rows] | drawn]
    return kept, np.where(book.fraud[kept], 1.0, 1 / _GENUINE_SHARE)


def fit(book: Ledger, rows: Ints, sums: Singles, weights: Floats) -> Trees:
    """The ensemble that learned from `rows`, whose sums and weights are given."""
    customer, members = book.customer.key[rows], []
    for place in range(MEMBERS):
        seen = customer % MEMBERS != place
        member = HistGradientBoostingClassifier(
            max_iter=150,
            learning_rate=0.06,
            max_leaf_nodes=15,
            min_samples_leaf=30,
            l2_regularization=1.0,
            max_features=0.4,
            random_state=place,
        )
        members.append(member.fit(sums[seen], book.fraud[rows[seen]], sample_weight=weights[seen]))
    return Trees(tuple(members))


def graph_of(members: Sequence[HistGradientBoostingClassifier]) -> Any:
    """The mean of the members as an ONNX model, `base` (N, sums) float32 → `logit` (N,)."""
    nodes = [
        helper.make_node("TreeEnsembleRegressor", ["base"], ["trees_column"], domain=TREES_DOMAIN, **_attributes(members)),
        helper.make_node("Constant", [], ["trees_shape"], value_ints=[-1]),
        helper.make_node("Reshape", ["trees_column", "trees_shape"], ["logit"]),
    ]
    inputs = [helper.make_tensor_value_info("base", TensorProto.FLOAT, ["rows", len(NAMES)])]
    outputs = [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["rows"])]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(TREES_DOMAIN, 3)]
    return helper.make_model(helper.make_graph(nodes, "trees", inputs, outputs), opset_imports=imports, ir_version=8)


def blended(graph: Path, other: Path, share: float) -> Any:
    """The graph whose logit is `share` of the other's and the rest of the first's, as an ONNX model."""
    model, more = onnx.load(graph), onnx.load(other)
    columns = {each.name: each for each in _trees_node(model).attribute}
    added = {each.name: each for each in _trees_node(more).attribute}
    numbers = max(columns["nodes_treeids"].ints) + 1
    for name in ("base_values", "target_weights"):
        kept, coming = columns[name].floats, added[name].floats
        scaled = [(1 - share) * each for each in kept], [share * each for each in coming]
        columns[name].floats[:] = [sum(map(sum, scaled))] if name == "base_values" else [*scaled[0], *scaled[1]]
    for name in ("nodes_treeids", "target_treeids"):
        columns[name].ints.extend(numbers + each for each in added[name].ints)
    for name in {*_NODE_COLUMNS, *_LEAF_COLUMNS} - {"nodes_treeids", "target_treeids", "target_weights"}:
        for kind in ("ints", "floats", "strings"):
            getattr(columns[name], kind).extend(getattr(added[name], kind))
    return model


def _trees_node(model: Any) -> Any:
    return next(node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")


def _attributes(members: Sequence[HistGradientBoostingClassifier]) -> dict[str, Any]:
    """The trees in the columns of a TreeEnsembleRegressor."""
    columns: dict[str, list[Any]] = {name: [] for name in (*_NODE_COLUMNS, *_LEAF_COLUMNS)}
    for number, nodes in enumerate(_nodes(members)):
        for place, node in enumerate(nodes):
            leaf = bool(node["is_leaf"])
            row = (
                *(number, place, "LEAF" if leaf else "BRANCH_LEQ", 0 if leaf else int(node["feature_idx"])),
                *(0.0 if leaf else _below(float(node["num_threshold"])), int(node["left"]), int(node["right"])),
            )
            for name, value in zip(_NODE_COLUMNS, row, strict=True):
                columns[name].append(value)
            if leaf:
                for name, value in zip(_LEAF_COLUMNS, (number, place, 0, float(node["value"]) / len(members)), strict=True):
                    columns[name].append(value)
    start = sum(float(member._baseline_prediction[0, 0]) for member in members) / len(members)
    return columns | {"base_values": [start], "n_targets": 1, "aggregate_function": "SUM"}


_NODE_COLUMNS = (
    *("nodes_treeids", "nodes_nodeids", "nodes_modes", "nodes_featureids"),
    *("nodes_values", "nodes_truenodeids", "nodes_falsenodeids"),
)
_LEAF_COLUMNS = ("target_treeids", "target_nodeids", "target_ids", "target_weights")


def _nodes(members: Sequence[HistGradientBoostingClassifier]) -> Iterator[Any]:
    """The nodes of every tree; scikit-learn keeps them in a private field, the one that its own export to ONNX reads."""
    for member in members:
        for (tree,) in member._predictors:
            yield tree.nodes


def _below(threshold: float) -> float:
    """The largest single-precision number ≤ the threshold: no single-precision value lies between the two."""
    single = np.float32(threshold)
    return float(single if float(single) <= threshold else np.nextafter(single, np.float32(-np.inf)))
