"""Which pictures are refused, and with which words."""

import base64

import httpx2
import pytest

from app.domain import Json
from tests.sandbox.pictures import STANDARD_MODEL, Answer, image_block, message_body, padded_png, picture

PNG = picture(4, 4)
WHERE = "messages.0.content.0.image.source.base64"
LISTED = "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
ERROR_IF_OVERSIZED: Json = {"oversized_image": "error"}


def source(**fields: Json) -> dict[str, Json]:
    return {"type": "image", "source": {**fields}}


def in_tool_result(*blocks: Json) -> dict[str, Json]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": [*blocks]}


def refusal(client: httpx2.Client, *blocks: Json, **fields: Json) -> tuple[int, Answer]:
    answer = client.post("/v1/messages", json=message_body(*blocks, **fields))
    return answer.status_code, answer.json().get("error")


REFUSED: list[tuple[dict[str, Json], str]] = [
    (image_block(PNG, "image/tiff"), f"{WHERE}.media_type: {LISTED}"),
    (image_block(PNG, "image/jpg"), f"{WHERE}.media_type: {LISTED}"),
    (image_block(""), f"{WHERE}: image cannot be empty"),
    (image_block("data:image/png;base64," + base64.b64encode(PNG).decode()), f"{WHERE}: invalid base64 data"),
    (image_block(base64.encodebytes(PNG).decode()), f"{WHERE}: invalid base64 data"),
    (image_block(base64.b64encode(PNG).decode().rstrip("=")[:-1]), f"{WHERE}: invalid base64 data"),
    (image_block("a-_a"), f"{WHERE}: invalid base64 data"),
    (image_block("Ünïc"), f"{WHERE}: invalid base64 data"),
    (image_block(b"%PDF-1.7"), "Could not process image"),
    (image_block(PNG[:30]), "Could not process image"),
    (image_block(PNG[:-24]), "Could not process image"),
    (image_block(picture(90, 90, kind="JPEG")[:-200], "image/jpeg"), "Could not process image"),
    (image_block(b"GIF89a\x10\x00\x10\x00", "image/gif"), "Could not process image"),
    (
        image_block(picture(4, 4, kind="JPEG")),
        (
            f"{WHERE}: The image was specified using the image/png media type, "
            "but the image appears to be a image/jpeg image"
        ),
    ),
    (
        image_block(picture(4, 4, kind="WEBP"), "image/gif"),
        (
            f"{WHERE}: The image was specified using the image/gif media type, "
            "but the image appears to be a image/webp image"
        ),
    ),
    (
        source(type="url", url="https://example.com/a.png"),
        "Unable to download the file. Please verify the URL and try again.",
    ),
    (source(type="base64", media_type="image/png"), f"{WHERE}.data: Field required"),
    (
        source(type="path", path="/etc/passwd"),
        (
            "messages.0.content.0.image.source: Input tag 'path' found using 'type' does not match any of the expected "
            "tags: 'base64', 'url', 'file'"
        ),
    ),
    (image_block(PNG, detail="high"), "messages.0.content.0.image.detail: Extra inputs are not permitted"),
    (
        image_block(PNG, transformations={"oversized_image": "crop"}),
        "messages.0.content.0.image.transformations.oversized_image: Input should be 'downsize' or 'error'",
    ),
    (
        image_block(picture(2577, 4), transformations=ERROR_IF_OVERSIZED),
        (
            "messages.0.content.0: image dimensions 2577x4 exceed the maximum image size of a model named on this "
            "request and would be downsized to 2576x4; scale the image to at most 2576x4 or set the image's "
            'oversized_image setting to "downsize"'
        ),
    ),
]


@pytest.mark.parametrize(("block", "message"), REFUSED)
def test_a_picture_that_the_vendor_refuses_is_refused_in_its_words(
    client: httpx2.Client, block: dict[str, Json], message: str
) -> None:
    assert refusal(client, block) == (400, {"type": "invalid_request_error", "message": message})


def test_an_unknown_file_is_404(client: httpx2.Client) -> None:
    assert refusal(client, source(type="file", file_id="file_1")) == (
        404,
        {"type": "not_found_error", "message": "File `file_1` not found."},
    )


def test_the_documented_example_of_an_oversized_picture_is_refused_word_for_word(client: httpx2.Client) -> None:
    block = image_block(picture(1920, 1080), transformations=ERROR_IF_OVERSIZED)

    assert refusal(client, block, model=STANDARD_MODEL) == (
        400,
        {
            "type": "invalid_request_error",
            "message": "messages.0.content.0: image dimensions 1920x1080 exceed the maximum image size of a model "
            "named on this request and would be downsized to 1456x819; scale the image to at most 1456x819 or set the "
            'image\'s oversized_image setting to "downsize"',
        },
    )


@pytest.mark.parametrize("transformations", [{}, {"oversized_image": "downsize"}])
def test_an_oversized_picture_that_may_be_scaled_is_taken(client: httpx2.Client, transformations: Json) -> None:
    assert refusal(client, image_block(picture(2577, 4), transformations=transformations)) == (200, None)


def test_a_picture_that_must_not_be_scaled_and_fits_is_taken(client: httpx2.Client) -> None:
    assert refusal(client, image_block(picture(2576, 4), transformations=ERROR_IF_OVERSIZED)) == (200, None)


@pytest.mark.parametrize(("kind", "media_type"), FORMATS.items())
def test_each_of_the_four_formats_is_taken(client: httpx2.Client, kind: str, media_type: str) -> None:
    assert refusal(client, image_block(picture(3, 2, kind=kind), media_type)) == (200, None)


def test_exactly_10_485_760_characters_of_base64_are_taken(client: httpx2.Client) -> None:
    assert refusal(client, image_block(padded_png(7_864_320))) == (200, None)


def test_the_next_longer_base64_is_refused_with_its_length(client: httpx2.Client) -> None:
    assert refusal(client, image_block(padded_png(7_864_321))) == (
        400,
        {
            "type": "invalid_request_error",
            "message": f"{WHERE}: image exceeds 10 MB maximum: 10485764 bytes > 10485760 bytes",
        },
    )


@pytest.mark.parametrize(("width", "height"), [(8000, 1), (1, 8000)])
def test_a_side_of_8000_px_is_taken(client: httpx2.Client, width: int, height: int) -> None:
    assert refusal(client, image_block(picture(width, height))) == (200, None)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("width", "height"), [(8001, 1), (1, 8001)])
def test_a_side_of_8001_px_is_refused_with_its_path(client: httpx2.Client, kind: str, width: int, height: int) -> None:
    fits, too_long = image_block(PNG), image_block(picture(width, height, kind=kind), FORMATS[kind])

    assert refusal(client, fits, too_long, in_tool_result(fits, too_long)) == (
        400,
        {
            "type": "invalid_request_error",
            "message": "messages.0.content.1.image.source.base64.data: At least one of the image dimensions exceed max "
            "allowed size: 8000 pixels",
            "details": {
                "error_code": "image_dimensions_too_large",
                "max_side_length_pixels": 8000,
                "paths": ["messages.0.content.1", "messages.0.content.2.content.1"],
            },
        },
    )


def test_a_picture_far_beyond_any_limit_is_refused_by_its_sides_and_not_decoded(client: httpx2.Client) -> None:
    gif = bytearray(picture(4, 4, kind="GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"

    status, error = refusal(client, image_block(bytes(gif), "image/gif"))

    assert (status, error["details"]) == (
        400,
        {
            "error_code": "image_dimensions_too_large",
            "max_side_length_pixels": 8000,
            "paths": ["messages.0.content.0"],
        },
    )


@pytest.mark.parametrize(("images", "side_px"), [(20, 2001), (21, 2000)])
def test_up_to_20_pictures_may_be_larger_than_2000_px(client: httpx2.Client, images: int, side_px: int) -> None:
    assert refusal(client, *[image_block(picture(side_px, 1))] * images) == (200, None)


def test_with_21_pictures_a_side_of_2001_px_is_refused(client: httpx2.Client) -> None:
    assert refusal(client, *[image_block(PNG)] * 20, image_block(picture(1, 2001))) == (
        400,
        {
            "type": "invalid_request_error",
            "message": "messages.0.content.20.image.source.base64.data: At least one of the image dimensions exceed "
            "max allowed size for many-image requests: 2000 pixels",
            "details": {
                "error_code": "image_dimensions_too_large",
                "max_side_length_pixels": 2000,
                "paths": ["messages.0.content.20"],
            },
        },
    )


def test_pictures_of_earlier_turns_and_in_tool_results_count_to_the_20(client: httpx2.Client) -> None:
    earlier: Json = {"role": "user", "content": [in_tool_result(*[image_block(PNG)] * 20)]}
    reply: Json = {"role": "assistant", "content": "seen"}
    latest: Json = {"role": "user", "content": [image_block(picture(2001, 1))]}

    status, error = refusal(client, messages=[earlier, reply, latest])

    assert (status, error["details"]) == (
        400,
        {
            "error_code": "image_dimensions_too_large",
            "max_side_length_pixels": 2000,
            "paths": ["messages.2.content.0"],
        },
    )


def test_a_picture_deep_in_tool_results_is_named_by_its_place(client: httpx2.Client) -> None:
    status, error = refusal(client, in_tool_result(in_tool_result(image_block(""))))

    assert (status, error["message"]) == (
        400,
        "messages.0.content.0.tool_result.content.0.tool_result.content.0.image.source.base64: image cannot be empty",
    )


@pytest.mark.parametrize(("model", "limit"), [(STANDARD_MODEL, 100), ("claude-sonnet-5-5", 600)])
def test_a_request_may_hold_as_many_pictures_as_the_model_allows(client: httpx2.Client, model: str, limit: int) -> None:
    assert refusal(client, *[image_block(PNG)] * limit, model=model) == (200, None)
    assert refusal(client, *[image_block(PNG)] * (limit + 1), model=model) == (
        400,
        {"type": "invalid_request_error", "message": f"too many images and documents: {limit + 1} + 0 > {limit}"},
    )


def test_documents_count_with_the_pictures(client: httpx2.Client) -> None:
    document: Json = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}

    status, error = refusal(client, *[image_block(PNG)] * 99, document, document, model=STANDARD_MODEL)

    assert (status, error["message"]) == (400, "too many images and documents: 99 + 2 > 100")
