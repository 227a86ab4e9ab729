"""The usage page: what was spent, by day, model and key, and every request of the ledger."""

import csv
from collections.abc import Callable

import httpx2
import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import ADMIN

OpenPage = Callable[..., Page]
StartService = Callable[..., httpx2.Client]
Maker = Callable[..., bytes]

AS_ADMIN = {"x-api-key": ADMIN}

_LINES = """all => all.map((one) => {
    const text = document.createRange();
    text.selectNodeContents(one);
    return text.getClientRects().length;
})"""


@pytest.fixture
def spent(start_service: StartService, photo: Maker) -> httpx2.Client:
    """A service with three requests in its ledger: two models, two keys."""
    service = start_service(admin_key=ADMIN)
    app = service.post("/v1/keys", json={"name": "an app"}, headers=AS_ADMIN).json()["key"]
    picture = photo(64, 48)
    for key, model in ((ADMIN, "claude-opus-4-8"), (app, "claude-sonnet-5-5"), (app, "claude-sonnet-5-5")):
        fields, headers = {"model": model}, {"x-api-key": key}
        service.post("/v1/analyze", files={"image": picture}, data=fields, headers=headers).raise_for_status()
    return service


@pytest.fixture
def page(open_page: OpenPage, spent: httpx2.Client) -> Page:
    """The usage page, once an admin has shown the key."""
    opened = open_page("/usage", of=spent)
    opened.get_by_label("Key of this service").fill(ADMIN)
    opened.get_by_role("button", name="Use this key").click()
    expect(opened.locator("#ledger-status")).to_have_text("3 requests")
    return opened


def test_sums_are_shown_by_day_model_and_key(page: Page, spent: httpx2.Client) -> None:
    total = spent.get("/v1/usage", headers=AS_ADMIN).json()["total"]["cost_usd"]

    expect(page.locator("#totals .figure").first).to_have_text(f"${total:.6f}spent")
    expect(page.locator("#totals")).to_contain_text("3requests3pictures")
    expect(page.locator("#by-model .bars li")).to_contain_text(["claude-opus-4-8", "claude-sonnet-5-5"])
    expect(page.locator("#by-key .bars li")).to_have_count(2)
    expect(page.locator("#by-key")).to_contain_text("an app")
    expect(page.get_by_role("img", name="Cost by day")).to_be_visible()
    expect(page.locator("#by-day rect.bar")).to_have_count(30)


def test_a_chart_is_also_a_table(page: Page) -> None:
    page.locator("#by-model summary").click()

    row = page.get_by_role("group", name="Cost by model").get_by_role("row", name="claude-sonnet-5-5")
    expect(row.get_by_role("cell")).to_have_count(3)
    expect(row.get_by_role("cell").nth(1)).to_have_text("2")


def test_the_ledger_is_searched_and_filtered(page: Page) -> None:
    rows = page.locator("#ledger tbody tr")
    expect(rows).to_have_count(3)

    page.get_by_label("Search").fill("OPUS")
    expect(rows).to_have_count(1)
    expect(page.locator("#ledger-status")).to_have_text("1 of 3 requests")
    page.get_by_label("Search").fill("")
    page.locator("#key").select_option(label="an app")
    expect(rows).to_have_count(2)
    page.get_by_label("State").select_option("released")
    expect(page.locator("#ledger")).to_have_text("No such request.")


def test_older_requests_are_loaded_when_asked_for(page: Page, spent: httpx2.Client) -> None:
    first = spent.get("/v1/usage/requests", params={"limit": 2}, headers=AS_ADMIN)
    page.route(
        "**/v1/usage/requests?*",
        lambda route: route.continue_() if "page=" in route.request.url else route.fulfill(json=first.json()),
    )
    page.get_by_label("State").select_option("settled")

    expect(page.locator("#ledger-status")).to_have_text("2 requests, older ones not loaded")
    page.get_by_role("button", name="Older requests").click()

    expect(page.locator("#ledger-status")).to_have_text("3 requests")


def test_the_whole_ledger_is_downloaded_as_csv_however_many_pages_it_has(page: Page) -> None:
    def one_each(route: Route) -> None:
        route.continue_(url=route.request.url.replace("limit=1000", "limit=1"))

    page.route("**/v1/usage/requests?*limit=1000*", one_each)
    page.locator("#key").select_option(label="an app")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()

    assert download.value.suggested_filename == "usage.csv"
    with download.value.path().open(encoding="utf-8", newline="") as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["claude-sonnet-5-5"] * 2


def test_a_span_without_requests_is_empty(page: Page) -> None:
    page.get_by_label("To, inclusive").fill("2020-01-31")
    page.get_by_label("From").fill("2020-01-01")

    expect(page.locator("#ledger-status")).to_have_text("0 requests")
    expect(page.locator("#totals")).to_contain_text("$0spent")


def test_a_wrong_key_is_told_of(open_page: OpenPage, spent: httpx2.Client) -> None:
    page = open_page("/usage", of=spent)
    page.get_by_label("Key of this service").fill("wrong")
    page.get_by_role("button", name="Use this key").click()

    expect(page.locator("#problem")).to_contain_text("key")
    expect(page.get_by_role("dialog", name="Your key")).to_be_visible()


@pytest.mark.parametrize("others", ["", "9999-12-31", "275760-09-13"])
def test_a_year_that_is_still_being_typed_does_not_draw_every_day_since(page: Page, others: str) -> None:
    page.get_by_label("To, inclusive").fill(others)
    page.get_by_label("From").fill("0002-11-01")

    expect(page.locator("#totals")).to_contain_text("3requests")
    expect(page.locator("#by-day rect.bar")).to_have_count(1)
    expect(page.locator("#problem")).to_be_hidden()


def test_what_another_key_was_shown_goes_when_a_key_may_see_nothing(page: Page, spent: httpx2.Client) -> None:
    wanted = {"ttl_s": 600, "endpoints": ["/v1/analyze"]}
    token = spent.post("/v1/tokens", json=wanted, headers=AS_ADMIN).json()["token"]

    page.get_by_role("button", name="Key entered").click()
    page.get_by_label("Key of this service").fill(token)
    page.get_by_role("button", name="Use this key").click()

    expect(page.locator("#problem")).to_contain_text("This token may not use /v1/usage")
    for shown in ("#totals", "#by-day", "#by-model", "#by-key"):
        expect(page.locator(shown)).to_be_empty()
    expect(page.locator("#ledger")).to_have_text("No such request.")
    expect(page.locator("#key option")).to_have_text(["all"])


def test_a_key_that_no_header_can_hold_is_told_of_where_it_is_typed(page: Page) -> None:
    page.get_by_role("button", name="Key entered").click()
    page.get_by_label("Key of this service").fill("ключ")
    page.get_by_role("button", name="Use this key").click()

    dialog = page.get_by_role("dialog", name="Your key")
    expect(dialog).to_contain_text("a key has plain letters, digits and signs alone")
    assert page.evaluate("sessionStorage.getItem('vision-proxy.key')") == ADMIN


def test_a_chart_and_its_sums_can_be_read_on_a_phone(page: Page, spent: httpx2.Client, photo: Maker) -> None:
    key = spent.post("/v1/keys", json={"name": "a name that goes on " * 5}, headers=AS_ADMIN).json()["key"]
    spent.post("/v1/analyze", files={"image": photo(64, 48)}, headers={"x-api-key": key}).raise_for_status()
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("radio", name="7 days").check()

    expect(page.locator("#by-day rect.bar")).to_have_count(7)
    expect(page.locator("#by-key .bars li")).to_have_count(3)
    letters = page.locator(".chart text").evaluate_all("all => all.map((one) => one.getBoundingClientRect().height)")
    lines = page.locator(".bars .label span:last-child").evaluate_all(_LINES)
    assert min(letters) > 10
    assert max(lines) == 1
