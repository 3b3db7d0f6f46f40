"""The names that a service and the trainer show to Prometheus, as the page in the docs has them."""

from winnow.metrics_page import described

PROMISED = frozenset(one.name for one in described() if one.name.startswith("winnow_"))
HISTOGRAMS = frozenset(one.name for one in described() if one.kind == "histogram")
