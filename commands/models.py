"""`groundswell models`."""

from commands.output import print_json, print_table
from models.registry import ARTIFACTS, champions, load, versions


def print_models(*, json: bool) -> None:
    """The model folders, and which of them serve."""
    serving = {reference: task for task, reference in champions().items()}
    rows = []
    for manifest in versions():
        reference = f"{manifest.name}/{manifest.version}"
        metrics = ", ".join(f"{name} {value:.3f}" for name, value in manifest.metrics.items())
        serves = "yes" if reference in serving else "no"
        rows.append(
            {"model": reference, "task": manifest.task, "serves": serves, "licence": manifest.licence, "metrics": metrics}
        )
    if json:
        for row in rows:
            print_json(row)
    else:
        print_table(("model", "task", "serves", "licence", "metrics"), [tuple(row.values()) for row in rows])


def show_model(name: str) -> None:
    """A model's manifest as JSON, once its files have passed the check."""
    print_json(load(ARTIFACTS / name).manifest)
