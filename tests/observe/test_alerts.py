"""The dashboard and the alert rules: their queries are PromQL, name only figures that exist, and are all explained."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
DASHBOARD: Any = json.loads((ROOT / "deploy" / "grafana" / "vision-proxy.json").read_text("utf-8"))
ALERTS: Any = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")

RULES: list[Any] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
QUERIES = {
    **{
        f"panel {panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    },
    **{f"alert {rule['alert']}": rule["expr"] for rule in RULES},
}

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


@pytest.fixture(scope="module")
def families(service: httpx2.Client) -> dict[str, str]:
    """Every figure that there is, and its type."""
    return {family.name: family.type for family in text_string_to_metric_families(service.get("/metrics").text)}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_is_promql_and_names_only_figures_that_exist(families: dict[str, str], query: str) -> None:
    known = {name + suffix for name, kind in families.items() for suffix in SUFFIXES.get(kind, ("",))}

    named = set(re.findall(r"vision_proxy_\w+", query))

    promql_parser.parse(query.replace("$__rate_interval", "5m").replace("$job", "vision-proxy"))
    assert named <= known
    assert named or query == 'up{job="vision-proxy"} == 0'


def test_every_figure_is_documented_and_no_other(families: dict[str, str]) -> None:
    documented = re.findall(r"^\| `(vision_proxy_\w+)", OPERATIONS, re.MULTILINE)

    assert sorted(documented) == sorted(
        name + SUFFIXES.get(kind, ("",))[0].replace("_bucket", "") for name, kind in families.items()
    )


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    rows = re.findall(r"^\| `(VisionProxy\w+)` \| (.{20,}) \| (.{20,}) \|$", OPERATIONS, re.MULTILINE)

    assert [name for name, _, _ in rows] == [rule["alert"] for rule in RULES]


def test_every_figure_is_on_the_dashboard(families: dict[str, str]) -> None:
    shown = " ".join(QUERIES.values())

    assert [name for name in families if name not in shown] == []
