"""`python -m winnow.metrics_page [--check] FILE`: the page of all metrics, made from the collectors themselves."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric

from service.metrics import Metrics
from service.prior import PriorModel
from trainer.metrics import TrainerMetrics
from winnow.generated_page import write_or_check

_HEAD = """# Metrics

The service answers `GET /metrics` on its port and on the admin port (role `metrics`), the trainer on
`WINNOW_TRAINER_METRICS_PORT`. Counters begin at 0 with the process and are there from then on, with every label that is
known beforehand; a figure that nobody has told yet is NaN. No label is an id of a user or an item. A histogram exposes
`_bucket`, `_sum` and `_count`. This page is made from the code by `make docs`, and `make check` fails when it is stale.
"""
_PROCESSES = ("service", "trainer")
_ONE_ROUTE = "/v1/score"


@dataclass(frozen=True)
class Described:
    """One metric."""

    name: str  # as Prometheus exposes it; of a histogram without _bucket, _sum and _count
    kind: str  # counter, gauge or histogram
    labels: tuple[str, ...]
    meaning: str
    process: str  # service or trainer


def described() -> list[Described]:
    """Return every metric of either process, in the order of their names."""
    service = Metrics()
    service.follow(lambda: PriorModel(0.02))
    service.open_route(_ONE_ROUTE)
    registries = dict(zip(_PROCESSES, (service.registry, TrainerMetrics().registry), strict=True))
    found = [one for process, registry in registries.items() for one in _of(process, registry)]
    return sorted(found, key=lambda one: (one.process, one.name))


def name_of(metric: Metric) -> str:
    """Return the name by which Prometheus knows a family."""
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def render() -> str:
    """Return the page in Markdown."""
    lines = [_HEAD]
    for process in _PROCESSES:
        lines += [f"## {process.capitalize()}", "", "| name | type | labels | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {one.meaning} |"
            for one in described()
            if one.process == process
        ]
        lines.append("")
    return "\n".join(lines)


def _of(process: str, registry: CollectorRegistry) -> Iterator[Described]:
    for metric in registry.collect():
        labels = dict.fromkeys(label for sample in metric.samples for label in sample.labels)
        yield Described(
            name=name_of(metric),
            kind=metric.type,
            labels=tuple(label for label in labels if label != "le"),
            meaning=metric.documentation,
            process=process,
        )


if __name__ == "__main__":
    sys.exit(write_or_check(render, sys.argv[1:]))
