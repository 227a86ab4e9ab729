"""What GET /metrics says, for tests of any piece: every value by its name and its labels."""

import httpx2
from prometheus_client.parser import text_string_to_metric_families

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def figures_of(service: httpx2.Client) -> Figures:
    """Every value, names without the prefix that all have."""
    text = service.get("/metrics").raise_for_status().text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {
        (sample.name.removeprefix("vision_proxy_"), tuple(sorted(sample.labels.items()))): sample.value
        for sample in samples
    }


def of(figures: Figures, name: str, **labels: str) -> float:
    """One of them; 0 where it is not there."""
    return figures.get((name, tuple(sorted(labels.items()))), 0.0)
