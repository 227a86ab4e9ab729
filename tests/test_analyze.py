"""POST /v1/analyze, through a real port, answered by the sandbox on another."""

import base64
import json
from collections.abc import Callable
from io import BytesIO
from typing import Any, Protocol

import httpx2
import pytest
from PIL import Image

from tests.log_capture import CANARY

Maker = Callable[..., bytes]


class Wire(Protocol):
    """See `conftest.Wire`."""

    @property
    def last_request(self) -> dict[str, Any]: ...


def upload(*pictures: bytes, name: str = "image") -> list[tuple[str, tuple[str, bytes]]]:
    return [(name, (f"picture-{number}.bin", data)) for number, data in enumerate(pictures, start=1)]


def last_request(sandbox: httpx2.Client, answer: dict[str, Any]) -> dict[str, Any]:
    """What the sandbox saw of the request that gave this answer."""
    journal = sandbox.get("/sandbox/journal").json()
    return next(entry for entry in journal if entry["request_id"] == answer["upstream_request_id"])


def test_an_uploaded_picture_is_answered_with_its_report_and_cost(service: httpx2.Client, photo: Maker) -> None:
    data = photo(4032, 3024)

    answer = service.post("/v1/analyze", files={"image": ("beach.jpg", data)}, data={"prompt": CANARY}).json()

    [image] = answer["images"]
    assert answer["id"].startswith("va_")
    assert answer["model"] == "claude-sonnet-5-5"
    assert answer["stop_reason"] == "end_turn"
    assert answer["sandbox"] is True
    assert answer["text"].startswith("[sandbox]")
    assert image["original"] | {"sha256": ""} == {
        "media_type": "image/jpeg",
        "width_px": 4032,
        "height_px": 3024,
        "size_bytes": len(data),
        "sha256": "",
    }
    assert (image["sent"]["width_px"], image["sent"]["height_px"], image["sent"]["via"]) == (2212, 1659, "base64")
    assert image["operations"] == [
        "decoded image/jpeg",
        "downscaled 4032x3024 to 2212x1659",
        "encoded image/jpeg quality 90",
    ]
    assert (image["index"], image["label"], image["name"], image["source"]) == (1, None, "beach.jpg", "upload")
    assert (image["scale_x"], image["scale_y"]) == (1.822785, 1.822785)
    assert image["tokens"] == 4740
    assert image["cost_usd"] == 0.00948
    assert set(answer["timing_ms"]) == {"receive", "normalize", "upstream", "total"}
    assert answer["request_id"].startswith("req_")


def test_the_report_describes_the_very_bytes_that_were_sent(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker
) -> None:
    answer = service.post("/v1/analyze", files=upload(photo(3000, 2000))).json()

    [seen] = last_request(sandbox, answer)["images"]
    [image] = answer["images"]
    assert {key: image["sent"][key] for key in ("media_type", "size_bytes", "sha256")} == {
        key: seen[key] for key in ("media_type", "size_bytes", "sha256")
    }
    assert (image["sent"]["width_px"], image["sent"]["height_px"]) == (seen["width"], seen["height"])


def test_json_and_multipart_give_the_same_images(service: httpx2.Client, photo: Maker) -> None:
    data = photo(1000, 700, "PNG")
    encoded = base64.b64encode(data).decode()

    form = service.post("/v1/analyze", files=upload(data)).json()
    plain = service.post("/v1/analyze", json={"images": [{"data": encoded}]}).json()
    uri = service.post("/v1/analyze", json={"images": [{"data": f"data:image/jpg;base64,{encoded}"}]}).json()

    assert form["images"][0]["sent"] == plain["images"][0]["sent"] == uri["images"][0]["sent"]
    assert plain["images"][0]["source"] == "base64"


@pytest.mark.parametrize("name", ["image", "images", "images[]", "file"])
def test_every_name_of_the_image_field_means_the_same(service: httpx2.Client, photo: Maker, name: str) -> None:
    answer = service.post("/v1/analyze", files=upload(photo(64, 48), name=name)).json()

    assert answer["images"][0]["original"]["width_px"] == 64


def test_the_order_of_the_form_is_the_order_of_the_prompt(service: httpx2.Client, photo: Maker) -> None:
    files = [
        ("image", ("b.png", photo(30, 20, "PNG"))),
        ("file", ("a.jpg", photo(50, 20))),
        ("images[]", ("c.webp", photo(40, 20, "WEBP"))),
    ]

    answer = service.post("/v1/analyze", files=files, data={"prompt": "Compare."}).json()

    assert [image["name"] for image in answer["images"]] == ["b.png", "a.jpg", "c.webp"]
    assert [image["label"] for image in answer["images"]] == ["Image 1", "Image 2", "Image 3"]


def test_one_picture_gets_no_label_unless_asked(service: httpx2.Client, photo: Maker) -> None:
    without = service.post("/v1/analyze", files=upload(photo(64, 48))).json()
    labelled = service.post("/v1/analyze", files=upload(photo(64, 48)), data={"labels": "true"}).json()

    assert [without["images"][0]["label"], labelled["images"][0]["label"]] == [None, "Image 1"]


def test_a_path_in_a_file_name_does_not_reach_the_report(service: httpx2.Client, photo: Maker) -> None:
    files = [("image", ("C:\\Users\\ada\\x.jpg", photo(64, 48))), ("image", ("/home/ada/y.jpg", photo(64, 48)))]

    answer = service.post("/v1/analyze", files=files).json()

    assert [image["name"] for image in answer["images"]] == ["x.jpg", "y.jpg"]


def test_a_follow_up_question_counts_and_prepares_the_pictures_of_earlier_turns(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker
) -> None:
    large = base64.b64encode(photo(3000, 2000)).decode()
    source = {"type": "base64", "media_type": "image/png", "data": large}  # the label lies
    messages = [
        {"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": "A beach."},
    ]

    answer = service.post("/v1/analyze", json={"messages": messages, "prompt": "Which one?"}).json()

    [image] = answer["images"]
    assert (image["source"], image["sent"]["media_type"], image["sent"]["width_px"]) == ("message", "image/jpeg", 2352)
    assert last_request(sandbox, answer)["images"][0]["width"] == 2352


def test_pictures_nested_in_tool_results_are_prepared_and_numbered_first(service: httpx2.Client, photo: Maker) -> None:
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(photo(9000, 300)).decode()}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Look at the page."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "screenshot", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "image", "source": source}]}
            ],
        },
        {"role": "assistant", "content": "Seen."},
    ]
    body: dict[str, Any] = {
        "messages": messages,
        "images": [{"data": base64.b64encode(photo(64, 48)).decode()}],
        "extra": {"tools": [{"name": "screenshot", "input_schema": {"type": "object"}}]},
    }

    answer = service.post("/v1/analyze", json=body).json()

    assert [(image["index"], image["source"], image["label"]) for image in answer["images"]] == [
        (1, "message", None),
        (2, "base64", "Image 2"),
    ]
    assert answer["images"][0]["sent"]["width_px"] == 2576


@pytest.mark.parametrize(
    ("detail", "sent", "tokens"),
    [
        ("auto", (2212, 1659), 4740),
        ("high", (2212, 1659), 4740),
        ("standard", (1270, 952), 1564),
        ("low", (635, 476), 391),
        ("original", (4000, 3000), 4740),
    ],
)
def test_detail_decides_what_a_picture_may_cost(
    service: httpx2.Client, photo: Maker, detail: str, sent: tuple[int, int], tokens: int
) -> None:
    answer = service.post("/v1/analyze", files=upload(photo(4000, 3000)), data={"detail": detail}).json()

    [image] = answer["images"]
    assert (image["sent"]["width_px"], image["sent"]["height_px"]) == sent
    assert image["tokens"] == tokens


def test_max_image_tokens_lowers_any_detail(service: httpx2.Client, photo: Maker) -> None:
    answer = service.post(
        "/v1/analyze", files=upload(photo(4000, 3000)), data={"detail": "high", "max_image_tokens": "100"}
    ).json()

    assert answer["images"][0]["tokens"] <= 100


def test_every_messages_field_reaches_the_vendor(recorded: httpx2.Client, wire: Wire, photo: Maker) -> None:
    fields = {
        "model": "claude-opus-5",
        "system": "Be brief.",
        "max_tokens": "77",
        "stop_sequences": '["END"]',
        "thinking": '{"type": "adaptive"}',
        "effort": "low",
        "extra": '{"metadata": {"user_id": "u1"}, "service_tier": "standard_only", "output_config": {"x": 1.50}}',
    }

    recorded.post("/v1/analyze", files=upload(photo(64, 48)), data=fields).raise_for_status()

    assert wire.last_request | {"messages": None} == {
        "model": "claude-opus-5",
        "max_tokens": 77,
        "system": "Be brief.",
        "stop_sequences": ["END"],
        "thinking": {"type": "adaptive"},
        "metadata": {"user_id": "u1"},
        "service_tier": "standard_only",
        "output_config": {"x": 1.50, "effort": "low"},
        "messages": None,
    }


def test_blocks_other_than_text_come_back_in_content(service: httpx2.Client, photo: Maker) -> None:
    answer = service.post("/v1/analyze", files=upload(photo(64, 48)), data={"thinking": '{"type": "adaptive"}'}).json()

    assert [block["type"] for block in answer["content"]] == ["thinking"]
    assert answer["text"].startswith("[sandbox]")


def test_a_picture_that_satisfies_everything_travels_byte_for_byte(
    service: httpx2.Client, screen: Maker, photo: Maker
) -> None:
    pictures = [screen(800, 600, "PNG"), photo(800, 600), photo(800, 600, "WEBP"), screen(300, 200, "GIF")]

    images = service.post("/v1/analyze", files=upload(*pictures)).json()["images"]

    assert [image["sent"]["sha256"] for image in images] == [image["original"]["sha256"] for image in images]
    assert [image["operations"] for image in images] == [[], [], [], []]


def test_metadata_is_stripped_and_said_so(service: httpx2.Client, photo: Maker) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    data = photo(640, 480, exif=exif.tobytes(), comment=b"secret comment")

    response = service.post("/v1/normalize", files=upload(data))

    report = json.loads(response.headers["x-vision-proxy-image"])
    assert b"secret" in data
    assert b"secret" not in response.content
    assert report["operations"] == [f"stripped {len(data) - len(response.content)} bytes of metadata"]


def test_an_unknown_model_is_sent_on_by_the_stricter_limits_with_a_null_price(
    service: httpx2.Client, photo: Maker
) -> None:
    answer = service.post("/v1/estimate", files=upload(photo(3000, 2000)), data={"model": "claude-next-9"}).json()

    assert answer["images"][0]["sent"]["width_px"] == 1344
    assert answer["cost"]["upper_bound_usd"] is None
    assert [warning["code"] for warning in answer["warnings"]] == ["unknown_model"]


def test_the_prompt_default_asks_for_a_description(recorded: httpx2.Client, wire: Wire, photo: Maker) -> None:
    recorded.post("/v1/analyze", files=upload(photo(64, 48), photo(64, 48))).raise_for_status()

    [message] = wire.last_request["messages"]
    texts = [block.get("text", block["type"]) for block in message["content"]]
    assert texts == ["Image 1:", "image", "Image 2:", "image", "Describe the images."]


def test_an_animation_is_sent_as_its_first_frame_with_a_warning(service: httpx2.Client) -> None:
    frames = [Image.new("RGB", (300, 200), colour) for colour in ("red", "green", "blue")]
    buffer = BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])

    [image] = service.post("/v1/analyze", files=upload(buffer.getvalue())).json()["images"]

    assert [warning["code"] for warning in image["warnings"]] == ["first_frame_only"]
    assert "3 frames" in image["warnings"][0]["message"]


def test_every_answer_is_marked_as_the_sandbox_s(service: httpx2.Client, photo: Maker) -> None:
    responses = [
        service.post("/v1/analyze", files=upload(photo(64, 48))),
        service.post("/v1/normalize", files=upload(photo(64, 48))),
        service.post("/v1/estimate", files=upload(photo(64, 48))),
        service.get("/livez"),
        service.get("/nowhere"),
    ]

    assert [response.headers["x-vision-proxy-sandbox"] for response in responses] == ["true"] * 5
