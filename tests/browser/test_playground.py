"""The playground as people use it: pictures in, their price before, the answer after."""

import re
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import FileChooser, FilePayload, Page, Route, expect

from tests.browser.acting import answer_with, drop, names, paste, ready, stream_with, tile
from tests.conftest import ADMIN
from tests.pdfs import pdf

OpenPage = Callable[..., Page]
StartService = Callable[..., httpx2.Client]
Maker = Callable[..., bytes]


@pytest.fixture
def small(photo: Maker, tmp_path: Path) -> list[Path]:
    """Three small pictures."""
    paths = [tmp_path / f"{name}.jpg" for name in ("first", "second", "third")]
    for path in paths:
        path.write_bytes(photo(320, 200))
    return paths


def test_pictures_that_are_dropped_are_priced_and_the_answer_streams(
    page: Page, heic: Path, jpeg: Path, screenshot: Path
) -> None:
    drop(page, heic, jpeg, screenshot)

    expect(tile(page, "pug.heic")).to_contain_text("4032\u00d73024 \u2192 2212\u00d71659 px")
    expect(tile(page, "camera.jpg")).to_contain_text("4032\u00d73024 \u2192 2212\u00d71659 px")
    expect(tile(page, "okta")).to_contain_text("637\u00d7406 px")
    expect(tile(page, "okta")).to_contain_text("345 tokens, $0.00069")
    expect(page.locator("#price")).to_contain_text("9,825 tokens")
    expect(page.locator("#price .figure")).to_have_text(re.compile(r"^\$0\.0198 to send, on claude-sonnet-5-5$"))

    page.get_by_label("Prompt").fill("What is this?")
    page.get_by_role("button", name="Ask Claude").click()

    expect(page.locator(".answer-text")).to_contain_text("Image 3: PNG, sent as 637x406 px")
    expect(page.locator("#answer-status")).to_contain_text("From the sandbox: no model ran.")
    expect(page.locator("#session-total")).to_have_text(re.compile(r"^\$0\.021\d?, 1 request$"))


def test_the_answer_is_read_while_it_comes_and_can_be_stopped(page: Page, small: list[Path]) -> None:
    def slowly(route: Route) -> None:
        route.continue_(headers={**route.request.headers, "x-vision-proxy-sandbox-fault": "drip=1"})

    page.route("**/v1/analyze", slowly)
    drop(page, small[0])
    ready(page)

    page.get_by_role("button", name="Ask Claude").click()

    expect(page.locator(".answer-text")).to_contain_text("[sandbox] No model ran.")
    expect(page.locator("#answer-body")).to_have_attribute("aria-busy", "true")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#answer-status")).to_have_text(
        "Stopped. The question, and what Claude had written by then, is billed: "
        "the usage page has it, this session's sum has not."
    )
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(page.get_by_role("heading", name="Answer")).to_be_focused()


def test_a_file_that_nobody_can_decode_is_told_of_at_its_tile(page: Page, broken: Path, small: list[Path]) -> None:
    drop(page, small[0], broken)

    told = tile(page, "broken.png").get_by_role("alert")
    expect(told).to_have_text(
        "The image/png file is broken: PNG data that cannot be read. "
        "Open it in an image editor and save it again, or take the picture anew."
    )
    expect(tile(page, "first.jpg").get_by_role("alert")).to_be_hidden()
    page.get_by_role("button", name="Ask Claude").click()
    expect(page.locator("#send-note")).to_have_text("Remove the picture that cannot be read.")

    page.get_by_role("button", name="Remove broken.png").click()
    ready(page)


def test_an_error_of_the_request_is_shown_at_the_picture_that_caused_it(page: Page, small: list[Path]) -> None:
    details = {"error_code": "image_undecodable", "image": 2, "name": "second.jpg"}
    error = {"type": "invalid_request_error", "message": "image 2 (second.jpg): too odd", "details": details}
    answer_with(page, "/v1/analyze", {"type": "error", "error": error, "request_id": "req_7"}, 400)
    drop(page, *small)
    ready(page, 3)

    page.get_by_role("button", name="Ask Claude").click()

    expect(tile(page, "second.jpg").get_by_role("alert")).to_have_text("Too odd.")
    expect(tile(page, "first.jpg").get_by_role("alert")).to_be_hidden()
    expect(page.locator("#answer-error")).to_have_text("Image 2 (second.jpg): too odd. (req_7)")


def test_what_the_page_shows_are_the_bytes_that_would_be_sent(page: Page, service: httpx2.Client, jpeg: Path) -> None:
    drop(page, jpeg)
    ready(page)

    shown = page.evaluate(
        """async () => {
            const { pictures } = await import("/static/playground/pictures.js");
            const bytes = await pictures.value[0].prepared.parts[0].blob.arrayBuffer();
            const digest = await crypto.subtle.digest("SHA-256", bytes);
            return [...new Uint8Array(digest)].map((each) => each.toString(16).padStart(2, "0")).join("");
        }"""
    )

    normalized = service.post("/v1/normalize", files={"image": jpeg.read_bytes()}).content
    assert shown == sha256(normalized).hexdigest()


def test_before_and_after_are_compared_with_mouse_or_keys(page: Page, jpeg: Path) -> None:
    drop(page, jpeg)
    ready(page)
    tile(page, "camera.jpg").get_by_role("button", name="Compare camera.jpg before and after").click()
    dialog = page.get_by_role("dialog", name="camera.jpg")

    expect(dialog).to_contain_text("Before: 4032\u00d73024 px")
    expect(dialog.get_by_alt_text("The original")).to_be_visible()
    split = dialog.get_by_label("Before \u2194 after")
    split.fill("25")
    fitted = int(dialog.locator("output").inner_text().split()[0])
    dialog.get_by_role("group").press("+")
    expect(dialog.locator("output")).not_to_have_text(f"{fitted} %")
    dialog.get_by_role("group").press("ArrowRight")
    dialog.get_by_role("button", name="One to one").click()
    expect(dialog.locator("output")).to_have_text("100 %")

    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_picture_that_the_browser_cannot_show_has_its_prepared_self_alone(page: Page, heic: Path) -> None:
    drop(page, heic)
    ready(page)
    tile(page, "pug.heic").get_by_role("button", name="Compare").click()

    expect(page.locator("#inspector-note")).to_have_text(
        "This browser cannot show image/heic, so there is no before; this is what Claude gets."
    )
    expect(page.get_by_alt_text("The original")).to_be_hidden()
    expect(page.get_by_alt_text("What Claude gets")).to_be_visible()


def test_the_price_follows_what_is_typed(page: Page, small: list[Path]) -> None:
    drop(page, small[0])
    ready(page)
    words = page.get_by_role("row", name="Words")
    before = words.inner_text()

    page.get_by_label("Prompt").press_sequentially("Tell me everything there is to tell of it.")

    expect(words).not_to_have_text(before)


def test_a_price_that_nobody_waits_for_any_more_is_not_asked_for_any_more(page: Page, small: list[Path]) -> None:
    held: list[Route] = []
    given_up: list[str] = []
    page.on("requestfailed", lambda request: given_up.append(request.url))
    drop(page, small[0])
    ready(page)

    page.route("**/v1/estimate", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/v1/estimate"):
        page.get_by_label("Prompt").fill("one")
    with page.expect_response("**/v1/estimate"):
        page.get_by_label("Prompt").fill("another")

    assert [url.rpartition("/")[2] for url in given_up] == ["estimate"]


def test_uploads_show_how_far_they_are_and_end_with_their_reason(page: Page, jpeg: Path) -> None:
    given_up: list[str] = []
    page.on("requestfailed", lambda request: given_up.append(request.url))
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.emulateNetworkConditions", slow)  # pyright: ignore[reportUnknownMemberType]
    drop(page, jpeg)

    progress = tile(page, "camera.jpg").get_by_role("progressbar", name="Upload of camera.jpg")
    expect(progress).to_have_text(re.compile(r"^[1-9]\d? %$"))
    with page.expect_event("requestfailed"):
        page.get_by_role("button", name="Remove camera.jpg").click()

    assert [url.rpartition("/")[2] for url in given_up] == ["normalize"]


def test_another_level_of_detail_prepares_the_picture_anew(page: Page, jpeg: Path) -> None:
    drop(page, jpeg)
    ready(page)

    page.get_by_label("Detail").select_option("low")

    expect(tile(page, "camera.jpg")).not_to_contain_text("4,740 tokens")
    ready(page)


def test_models_and_levels_are_compared_and_chosen_in_a_table(page: Page, small: list[Path]) -> None:
    drop(page, small[0])
    ready(page)
    page.locator("#compare summary").click()

    cell = page.get_by_role("button", name=re.compile(r"^Claude Opus 4\.6, original: \$"))
    expect(page.locator("button.cell")).to_have_count(18 * 5)
    cell.click()

    expect(page.get_by_label("Model")).to_have_value("claude-opus-4-6")
    expect(page.get_by_label("Detail")).to_have_value("original")
    expect(page.locator("#price .figure")).to_contain_text("on claude-opus-4-6")


def test_the_comparison_follows_the_schema(page: Page, small: list[Path]) -> None:
    drop(page, small[0])
    ready(page)
    page.get_by_role("radio", name="Extract data").check()
    page.locator("#compare summary").click()
    expect(page.locator("button.cell")).to_have_count(18 * 5)
    page.locator("summary", has_text="JSON Schema").click()

    held: list[Route] = []
    page.route("**/v1/estimate", lambda route: held.append(route))  # noqa: PLW0108 - Playwright takes no builtin
    page.get_by_role("textbox", name="JSON Schema").fill('{"type": "number"}')

    expect(page.locator("#compare-body")).to_have_text("Comparing\u2026")


def test_pictures_are_moved_with_the_mouse(page: Page, small: list[Path]) -> None:
    drop(page, *small)
    ready(page, 3)

    tile(page, "third.jpg").drag_to(tile(page, "first.jpg"))

    assert names(page) == ["1. third.jpg", "2. first.jpg", "3. second.jpg"]


def test_the_order_of_the_pictures_is_their_order_in_the_request(page: Page, small: list[Path], photo: Maker) -> None:
    small[1].write_bytes(photo(400, 100))
    drop(page, *small)
    ready(page, 3)
    page.get_by_role("button", name="Move second.jpg earlier").click()

    page.get_by_role("button", name="Ask Claude").click()

    expect(page.locator(".answer-text")).to_contain_text("Image 1: JPEG, sent as 400x100 px")


def test_pictures_are_pasted(page: Page, small: list[Path]) -> None:
    paste(page, small[0])

    ready(page)


def test_the_pages_of_a_pdf_are_pictures(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf(["one", "two", "three"]))

    drop(page, path)
    ready(page)
    expect(tile(page, "report.pdf")).to_contain_text("3 pages")
    page.get_by_role("button", name="Ask Claude").click()

    expect(page.locator(".answer-text")).to_contain_text("Image 3:")


def test_pages_that_are_left_out_are_told_of_before_anything_is_sent(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "long.pdf"
    path.write_bytes(pdf(["a page"] * 22, size_pt=(60, 80)))

    drop(page, path)
    ready(page)

    expect(tile(page, "long.pdf").locator(".tile-warnings")).to_contain_text("The first 20 of 22 pages of long.pdf")


def test_what_is_wrong_with_a_picture_is_seen_without_opening_anything(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "moving.gif"
    frames = [Image.new("RGB", (320, 240), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])

    drop(page, path)
    ready(page)

    expect(tile(page, "moving.gif").locator(".tile-warnings")).to_have_text(
        "Only the first of 2 frames or pages was sent."
    )
    expect(tile(page, "moving.gif").locator("summary")).to_have_text("2 operations")


def test_what_is_wrong_with_an_answer_is_seen_beside_it(page: Page, small: list[Path]) -> None:
    script = quote('{"objects": [{"label": "a ghost", "image": 9, "box": [0, 0, 9, 9]}]}')

    def scripted(route: Route) -> None:
        route.continue_(headers={**route.request.headers, "x-vision-proxy-sandbox-answer": f"text={script}"})

    page.route("**/v1/locate", scripted)
    drop(page, small[0])
    ready(page)
    page.get_by_role("radio", name="Locate").check()
    page.get_by_label("What to find").fill("ghosts")

    page.locator("#send").click()

    expect(page.locator(".answer-warnings")).to_have_text("'a ghost' was left out: there is no image 9.")


def test_at_most_is_what_an_extraction_can_cost_with_its_second_turn(
    page: Page, service: httpx2.Client, small: list[Path]
) -> None:
    schema = '{"type":"object","additionalProperties":{"type":"number"}}'
    drop(page, small[0])
    ready(page)
    page.get_by_role("radio", name="Extract data").check()
    page.locator("summary", has_text="JSON Schema").click()
    page.get_by_role("textbox", name="JSON Schema").fill(schema)

    fields = {"schema": schema, "max_cost_usd": "0"}
    refused = service.post("/v1/extract", files={"image": small[0].read_bytes()}, data=fields)
    most = refused.json()["error"]["details"]["actual"]
    expect(page.locator("#price")).to_contain_text(f"At most ${most:.4f} in all.")


def test_very_many_pictures_are_said_to_be_sent_smaller(page: Page, photo: Maker) -> None:
    picture = photo(2200, 60)
    files: list[FilePayload] = [{"name": f"{n}.jpg", "mimeType": "image/jpeg", "buffer": picture} for n in range(21)]
    page.locator("#files").set_input_files(files)
    ready(page, 21)

    expect(page.locator("#price")).to_contain_text("Claude gets some of them smaller than shown.")
    page.get_by_role("button", name="Ask Claude").click()

    expect(page.locator(".answer-text")).to_contain_text(re.compile(r"Image 21: JPEG, sent as (1999|2000)x\d+ px"))


def leave(chooser: FileChooser) -> None:
    """Does nothing with a chooser: somebody else waits for it."""
    del chooser


def test_the_whole_flow_by_keyboard(page: Page, small: list[Path]) -> None:
    keys = page.keyboard
    page.on("filechooser", leave)  # the browser takes a moment until it hands choosers over
    keys.press("Tab")
    expect(page.get_by_role("link", name="Skip to the pictures")).to_be_focused()
    keys.press("Enter")
    keys.press("Tab")
    expect(page.get_by_role("button", name="Choose pictures")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        keys.press("Enter")
    chooser.value.set_files(small)
    ready(page, 3)

    keys.press("Shift+Tab")  # back to the last tile
    expect(page.get_by_role("button", name="Remove third.jpg")).to_be_focused()
    keys.press("Alt+ArrowUp")
    assert names(page) == ["1. first.jpg", "2. third.jpg", "3. second.jpg"]
    expect(page.locator("#pictures-status")).to_have_text("third.jpg is now 2 of 3")
    expect(page.get_by_role("button", name="Remove third.jpg")).to_be_focused()
    keys.press("Delete")
    assert names(page) == ["1. first.jpg", "2. second.jpg"]
    expect(page.get_by_role("button", name="Remove second.jpg")).to_be_focused()

    for _ in range(2):
        keys.press("Tab")
    expect(page.get_by_role("radio", name="Ask")).to_be_focused()
    keys.press("Tab")
    expect(page.get_by_label("Prompt")).to_be_focused()
    keys.type("What is this?")
    keys.press("Control+Enter")

    expect(page.locator(".answer-text")).to_contain_text("The prompt had")
    expect(page.get_by_role("heading", name="Answer")).to_be_focused()


def test_data_is_extracted_by_the_fields_of_the_editor_into_a_table(page: Page, small: list[Path]) -> None:
    rows = [{"title": "Tea", "price": 3.5}, {"title": "Cake", "price": 4}]
    asked = stream_with(page, "/v1/extract", {**ANSWER, "data": {"items": rows}})
    drop(page, small[0])
    ready(page)
    page.get_by_role("radio", name="Extract data").check()
    for _ in range(2):
        page.get_by_role("button", name="Remove field 2").click()
    page.get_by_role("button", name="Add a field").click()
    page.get_by_label("Name of field 2").fill("price")
    page.get_by_label("Type of field 2").select_option("number")
    page.get_by_label("There are several of them").check()

    page.locator("#send").click()

    table = page.get_by_role("group", name="Table").get_by_role("table")
    expect(table.get_by_role("row")).to_have_text(["titleprice", "Tea3.5", "Cake4"])
    expect(page.locator("#session-total")).to_have_text("$0.0104, 1 request")
    one = '{"type":"object","properties":{"title":{"type":"string"},"price":{"type":"number"}},'
    assert one in (asked[0].post_data or "")


def test_the_data_of_the_sandbox_has_the_fields_that_were_asked_for(page: Page, small: list[Path]) -> None:
    drop(page, small[0])
    ready(page)
    page.get_by_role("radio", name="Extract data").check()

    page.locator("#send").click()

    rows = page.get_by_role("group", name="Table").get_by_role("row")
    expect(rows.get_by_role("rowheader")).to_have_text(["title", "date", "total"])
    expect(rows.first).to_contain_text("[sandbox]")


def test_an_answer_that_is_no_such_data_is_shown_with_its_cost(page: Page, small: list[Path]) -> None:
    details: dict[str, object] = {"error_code": "schema_mismatch", "text": '{"title": 7}', "cost_usd": 0.0123}
    details["usage"] = {"input_tokens": 4801, "output_tokens": 12}
    error = {"type": "invalid_request_error", "message": "the answer is not valid by the schema", "details": details}
    stream_with(page, "/v1/extract", {"type": "error", "error": error, "request_id": "req_8"}, "error")
    drop(page, small[0])
    ready(page)
    page.get_by_role("radio", name="Extract data").check()

    page.locator("#send").click()

    expect(page.locator("#answer-error")).to_have_text("The answer is not valid by the schema. (req_8)")
    expect(page.locator("#answer-body")).to_have_text('{"title": 7}')
    expect(page.locator("#answer-bill")).to_have_text("$0.0123 for 4,801 tokens in and 12 out")
    expect(page.locator("#session-total")).to_have_text("$0.0123, 1 request")


def test_a_schema_that_rows_cannot_show_is_edited_as_json(page: Page) -> None:
    page.get_by_role("radio", name="Extract data").check()
    page.locator("summary", has_text="JSON Schema").click()
    text = page.get_by_role("textbox", name="JSON Schema")

    text.fill('{"type": "object", "properties": {"a": {"enum": [1, 2]}}}')
    expect(page.locator("#schema-note")).to_have_text("This schema says more than fields can; edit it as JSON.")
    expect(page.get_by_label("Name of field 1")).to_be_hidden()

    text.fill("{")
    expect(page.locator("#schema-note")).to_contain_text("This is no JSON")


def test_boxes_are_drawn_where_the_answer_says(page: Page, small: list[Path]) -> None:
    box = [80, 50, 240, 150]
    found = {"label": "table", "image": 1, "box": box, "sent_box": box}
    stream_with(page, "/v1/locate", {**ANSWER, "objects": [found]})
    drop(page, small[0])
    ready(page)
    page.get_by_role("radio", name="Locate").check()
    page.get_by_label("What to find").fill("every table")

    page.locator("#send").click()

    drawn = page.locator(".box rect").bounding_box()
    picture = page.locator(".boxed img").bounding_box()
    assert drawn is not None
    assert picture is not None
    scale = picture["width"] / 320
    expected = [picture["x"] + 80 * scale, picture["y"] + 50 * scale, 160 * scale, 100 * scale]
    assert [drawn["x"], drawn["y"], drawn["width"], drawn["height"]] == pytest.approx(expected, abs=3)
    expect(page.locator(".objects")).to_contain_text("[80, 50, 240, 150]")


def test_a_box_is_drawn_where_the_sandbox_said(page: Page, tmp_path: Path) -> None:
    picture = Image.new("RGB", (4000, 3000), "white")
    ImageDraw.Draw(picture).rectangle((1000, 600, 1799, 1199), fill="#ff00ff")  # the sandbox finds magenta
    picture.save(tmp_path / "plan.png")
    drop(page, tmp_path / "plan.png")
    ready(page)
    page.get_by_role("radio", name="Locate").check()
    page.get_by_label("What to find").fill("the mark")

    page.locator("#send").click()

    drawn = page.locator(".box rect")
    expect(drawn).to_have_count(1)
    edges = [float(drawn.get_attribute(name) or "nan") for name in ("x", "y", "width", "height")]
    assert edges == pytest.approx([1000, 600, 800, 600], abs=4)


@pytest.mark.parametrize(("language", "program"), [("curl", ["/bin/bash", "-c"]), ("Python", [sys.executable, "-c"])])
def test_the_code_that_is_shown_runs(page: Page, small: list[Path], language: str, program: list[str]) -> None:
    drop(page, small[0])
    ready(page)
    page.get_by_label("Prompt").fill('What\'s "this"; a $HOME or @file?\nSay.')
    page.get_by_role("radio", name=language).check()

    code = page.locator("#code-text").inner_text()
    ran = subprocess.run([*program, code], cwd=small[0].parent, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own code

    assert "No model ran" in ran.stdout, ran.stderr


def test_a_key_is_asked_for_where_one_is_needed_and_kept_in_the_tab_alone(
    open_page: OpenPage, quick: httpx2.Client, small: list[Path]
) -> None:
    page = open_page(of=quick)
    dialog = page.get_by_role("dialog", name="Your key")
    expect(dialog).to_contain_text("no key was sent")
    dialog.get_by_label("Key of this service").fill(ADMIN)
    dialog.get_by_role("button", name="Use this key").click()
    drop(page, small[0])
    ready(page)

    kept = page.evaluate("[{...sessionStorage}, {...localStorage}, document.cookie]")
    assert kept == [{"vision-proxy.key": ADMIN}, {}, ""]
    assert page.context.cookies() == []

    page.get_by_role("button", name="Key entered").click()
    dialog.get_by_role("button", name="Forget the key").click()
    assert page.evaluate("sessionStorage.length") == 0


def test_the_sandbox_is_announced_and_nothing_else_is(
    open_page: OpenPage, start_service: StartService, page: Page
) -> None:
    expect(page.get_by_role("note")).to_contain_text("No model runs here and nothing is billed.")

    other = open_page(of=start_service(sandbox=False))
    expect(other.get_by_label("Model").get_by_role("option").nth(1)).to_be_attached()
    expect(other.get_by_role("note")).to_be_hidden()


ANSWER = {
    "id": "va_1",
    "model": "claude-sonnet-5-5",
    "stop_reason": "end_turn",
    "sandbox": True,
    "images": [
        {
            "index": 1,
            "name": "first.jpg",
            "original": {"media_type": "image/jpeg", "width_px": 320, "height_px": 200, "size_bytes": 1},
            "sent": {"media_type": "image/jpeg", "width_px": 320, "height_px": 200, "size_bytes": 1},
        }
    ],
    "usage": {"input_tokens": 4752, "output_tokens": 88},
    "cost": {"total_usd": 0.010384, "images_usd": 0.00948},
    "timing_ms": {"total": 140},
}
