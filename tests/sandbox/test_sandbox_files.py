"""The Files API, by hand and through the official SDK, and pictures that a request names by file id."""

import gzip
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import uuid4

import anthropic
import httpx2
import pytest
from anthropic.types.file_expired_error import FileExpiredError
from anthropic.types.file_not_downloadable_error import FileNotDownloadableError

from app.domain import Json
from app.sandbox import State
from app.sandbox.file_store import FileStore
from tests.sandbox.pictures import MODEL, Answer, file_block, image_block, message_body, padded_png, picture, text_block

StartSandbox = Callable[[State], httpx2.Client]

PNG = picture(30, 20)
NOW = "2026-12-01T12:00:00Z"
OVERHEAD = 8


def upload(
    client: httpx2.Client, data: bytes = PNG, media_type: str = "image/png", name: str = "a.png", **fields: str
) -> Answer:
    answer = client.post("/v1/files", files={"file": (name, data, media_type)}, data=fields)
    return answer.raise_for_status().json()


def upload_raw(client: httpx2.Client, headers: bytes, data: bytes = b"x") -> httpx2.Response:
    """An upload whose one part has exactly those headers."""
    body = b"--b\r\n" + headers + b"\r\n\r\n" + data + b"\r\n--b--\r\n"
    return client.post("/v1/files", content=body, headers={"content-type": "multipart/form-data; boundary=b"})


def ask(client: httpx2.Client, *blocks: Json, **fields: Json) -> tuple[int, Answer]:
    answer = client.post("/v1/messages", json=message_body(*blocks, **fields))
    return answer.status_code, answer.json().get("error")


def refusal(answer: httpx2.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()["error"]


def not_found(file_id: str) -> tuple[int, Json]:
    return 404, {"type": "not_found_error", "message": f"File `{file_id}` not found."}


def expired(file_id: str) -> tuple[int, Json]:
    return 404, {
        "type": "not_found_error",
        "message": f"File `{file_id}` has expired.",
        "details": {"error_code": "file_expired"},
    }


def invalid(message: str) -> tuple[int, Json]:
    return 400, {"type": "invalid_request_error", "message": message}


def test_an_uploaded_file_is_described(start_sandbox: StartSandbox, clock: Any) -> None:
    client = start_sandbox(State(clock=clock))

    described = upload(client, b"%PDF-1.7", "application/pdf", "ä b.pdf", expires_in_seconds="3600")
    shown = client.get(f"/v1/files/{described['id']}").json()

    assert (
        described
        == shown
        == {
            "type": "file",
            "id": described["id"],
            "filename": "ä b.pdf",
            "mime_type": "application/pdf",
            "size_bytes": 8,
            "created_at": NOW,
            "downloadable": False,
            "expires_at": "2026-12-01T13:00:00Z",
        }
    )
    assert described["id"].startswith("file_sandbox_")


def test_a_file_without_expiry_never_ends(start_sandbox: StartSandbox, clock: Any) -> None:
    client = start_sandbox(State(clock=clock))
    file = upload(client)

    clock.advance(days=1000)

    assert (file["expires_at"], ask(client, file_block(file["id"]))) == (None, (200, None))


def test_the_official_sdk_uploads_shows_lists_and_deletes(sdk: anthropic.Anthropic) -> None:
    file = sdk.files.upload(file=("photo.png", PNG, "image/png"), expires_in_seconds=7_776_000)
    shown = sdk.files.retrieve_metadata(file.id)
    [listed] = sdk.files.list(ids=[file.id, "file_1"])
    deleted = sdk.files.delete(file.id)

    assert file == shown == listed
    assert (file.type, file.filename, file.mime_type, file.size_bytes, file.downloadable) == (
        "file",
        "photo.png",
        "image/png",
        len(PNG),
        False,
    )
    assert file.expires_at is not None
    assert (file.expires_at - file.created_at).total_seconds() == 7_776_000
    assert (deleted.id, deleted.type) == (file.id, "file_deleted")
    with pytest.raises(anthropic.NotFoundError):
        sdk.files.retrieve_metadata(file.id)


def test_the_official_sdk_is_told_that_an_upload_cannot_be_downloaded(sdk: anthropic.Anthropic) -> None:
    file = sdk.files.upload(file=("photo.png", PNG, "image/png"))

    with pytest.raises(FileNotDownloadableError, match="File is not downloadable"):
        sdk.files.download(file.id)


def test_the_official_sdk_goes_through_every_page_newest_first(sandbox_url: str) -> None:
    with anthropic.Anthropic(api_key=uuid4().hex, base_url=sandbox_url, max_retries=0) as sdk:
        uploaded = [sdk.files.upload(file=(f"{number}.txt", b"x", "text/plain")).id for number in range(5)]
        pages = [[file.id for file in page.data] for page in sdk.files.list(limit=2).iter_pages()]
        everything = [file.id for file in sdk.files.list()]

    newest_first = uploaded[::-1]
    assert pages == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    assert everything == newest_first


def test_the_official_sdk_shows_a_file_to_the_model(sdk: anthropic.Anthropic) -> None:
    file = sdk.files.upload(file=("photo.png", PNG, "image/png"))

    message = sdk.messages.create(
        model=MODEL,
        max_tokens=1000,
        messages=[
            {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": file.id}}]},
        ],
    )

    assert message.usage.input_tokens == 2 + OVERHEAD


def test_a_page_begins_where_the_one_before_ended_though_files_come_and_go(start_sandbox: StartSandbox) -> None:
    client = start_sandbox(State())
    first, second, third = (upload(client)["id"] for _ in range(3))
    page = client.get("/v1/files", params={"limit": 2}).json()

    client.delete(f"/v1/files/{second}").raise_for_status()
    upload(client)
    rest = client.get("/v1/files", params={"page": page["next_page"]}).json()

    assert [file["id"] for file in page["data"]] == [third, second]
    assert ([file["id"] for file in rest["data"]], rest["next_page"]) == ([first], None)


def test_a_page_that_holds_the_rest_is_the_last(start_sandbox: StartSandbox) -> None:
    client = start_sandbox(State())
    upload(client)

    assert client.get("/v1/files", params={"limit": 1}).json()["next_page"] is None


def test_100_ids_are_looked_up_once_each(client: httpx2.Client) -> None:
    ids = [upload(client)["id"], *(f"file_{number}" for number in range(99))]

    answer = client.get("/v1/files", params={"ids[]": [*ids, *ids]}).json()

    assert ([file["id"] for file in answer["data"]], answer["next_page"]) == (ids[:1], None)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"ids[]": [f"file_{number}" for number in range(101)]}, "ids: at most 100 ids are allowed, not 101"),
        ({"ids[]": "file_1", "limit": "1"}, "ids cannot be combined with page or limit"),
        ({"ids[]": "file_1", "page": "page_1"}, "ids cannot be combined with page or limit"),
        ({"limit": "0"}, "limit: Input should be a whole number from 1 to 1000"),
        ({"limit": "1001"}, "limit: Input should be a whole number from 1 to 1000"),
        ({"page": "1"}, "page: this is no cursor that a list of files gave out"),
        ({"page": "page_x"}, "page: this is no cursor that a list of files gave out"),
        ({"page": "page_" + "1" * 21}, "page: this is no cursor that a list of files gave out"),
    ],
)
def test_a_list_that_cannot_be_is_refused(client: httpx2.Client, query: dict[str, Any], message: str) -> None:
    assert refusal(client.get("/v1/files", params=query)) == invalid(message)


def test_an_upload_cannot_be_downloaded(client: httpx2.Client) -> None:
    file = upload(client)

    assert refusal(client.get(f"/v1/files/{file['id']}/content")) == (
        400,
        {
            "type": "invalid_request_error",
            "message": "File is not downloadable",
            "details": {"error_code": "file_not_downloadable"},
        },
    )


@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("DELETE", ""), ("GET", "/content")])
def test_an_unknown_file_is_404(client: httpx2.Client, method: str, tail: str) -> None:
    assert refusal(client.request(method, f"/v1/files/file_1{tail}")) == not_found("file_1")


def test_another_key_does_not_see_the_file(client: httpx2.Client) -> None:
    file_id: str = upload(client)["id"]
    other = {"x-api-key": "another"}

    body = message_body(file_block(file_id))
    assert refusal(client.get(f"/v1/files/{file_id}", headers=other)) == not_found(file_id)
    assert refusal(client.delete(f"/v1/files/{file_id}", headers=other)) == not_found(file_id)
    assert refusal(client.post("/v1/messages", json=body, headers=other)) == not_found(file_id)
    assert client.get("/v1/files", headers=other).json() == {"data": [], "next_page": None}


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/files"), ("GET", "/v1/files"), ("GET", "/v1/files/file_1")])
def test_without_a_key_nothing_is_answered(sandbox_url: str, method: str, path: str) -> None:
    assert httpx2.request(method, sandbox_url + path).status_code == 401


@pytest.mark.parametrize("seconds", ["3600", "7776000"])
def test_the_shortest_and_the_longest_life_are_taken(client: httpx2.Client, seconds: str) -> None:
    assert upload(client, expires_in_seconds=seconds)["expires_at"] is not None


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        ("3599", "expires_in_seconds: Input should be greater than or equal to 3600"),
        ("7776001", "expires_in_seconds: Input should be less than or equal to 7776000"),
        ("-1", "expires_in_seconds: Input should be a valid integer"),
        ("3600.5", "expires_in_seconds: Input should be a valid integer"),
        ("", "expires_in_seconds: Input should be a valid integer"),
        ("1" * 5000, "expires_in_seconds: Input should be a valid integer"),
    ],
)
def test_another_life_is_refused(client: httpx2.Client, seconds: str, message: str) -> None:
    answer = client.post("/v1/files", files={"file": ("a", b"x", "text/plain")}, data={"expires_in_seconds": seconds})

    assert refusal(answer) == invalid(message)


def test_an_expired_file_is_still_described_for_30_days(start_sandbox: StartSandbox, clock: Any) -> None:
    client = start_sandbox(State(clock=clock))
    file = upload(client, expires_in_seconds="3600")
    path = f"/v1/files/{file['id']}"

    clock.advance(seconds=3599)
    assert ask(client, file_block(file["id"])) == (200, None)
    clock.advance(seconds=1)
    assert ask(client, file_block(file["id"])) == expired(file["id"])
    assert refusal(client.get(f"{path}/content")) == expired(file["id"])
    clock.advance(days=30, seconds=-1)
    assert (client.get(path).json(), client.get("/v1/files").json()["data"]) == (file, [file])
    clock.advance(seconds=1)
    assert refusal(client.get(path)) == not_found(file["id"])


def test_the_official_sdk_knows_an_expired_file(start_sandbox: StartSandbox, clock: Any) -> None:
    client = start_sandbox(State(clock=clock))
    file = upload(client, expires_in_seconds="3600")
    clock.advance(seconds=3600)

    with (
        anthropic.Anthropic(api_key="test-key", base_url=str(client.base_url), max_retries=0) as sdk,
        pytest.raises(FileExpiredError),
    ):
        sdk.files.download(file["id"])


@pytest.mark.parametrize("name", ["a", "a" * 255, "ü.png", "a'b;c=d.png"])
def test_a_name_of_1_to_255_characters_is_kept(client: httpx2.Client, name: str) -> None:
    assert upload(client, name=name)["filename"] == name


def test_a_name_of_256_characters_is_refused(client: httpx2.Client) -> None:
    answer = client.post("/v1/files", files={"file": ("a" * 256, b"x", "text/plain")})

    assert refusal(answer) == invalid("filename: must be 1 to 255 characters long, not 256")


@pytest.mark.parametrize("character", [*"<>:|?*\t\x01\x1f", '\\"', "\\\\"])
def test_a_name_with_a_forbidden_character_is_refused(client: httpx2.Client, character: str) -> None:
    answer = upload_raw(client, f'content-disposition: form-data; name="file"; filename="a{character}b"'.encode())

    assert refusal(answer) == invalid(f"filename: must not contain {character[-1]!a}")


@pytest.mark.parametrize(
    ("filename", "media_type", "kept"),
    [
        ('; filename="folder/sub/a.png"', "image/png", "a.png"),
        ('; filename=""', "image/png", "unnamed.png"),
        ('; filename="folder/"', "application/pdf", "unnamed.pdf"),
        ("", "image/gif", "unnamed.gif"),
        ("", "application/x-unheard-of", "unnamed"),
    ],
)
def test_only_the_last_part_of_a_name_is_kept_and_a_missing_one_is_made(
    client: httpx2.Client, filename: str, media_type: str, kept: str
) -> None:
    headers = f'content-disposition: form-data; name="file"{filename}\r\ncontent-type: {media_type}'

    assert upload_raw(client, headers.encode()).json()["filename"] == kept


@pytest.mark.parametrize(
    ("headers", "mime_type"),
    [
        (b'content-disposition: form-data; name="file"; filename="a.png"', "image/png"),
        (b'content-disposition: form-data; name="file"; filename="a"', "application/octet-stream"),
        (
            b'content-disposition: form-data; name="file"; filename="a"\r\ncontent-type: TEXT/plain; charset=utf-8',
            "text/plain",
        ),
    ],
)
def test_the_type_is_what_the_part_says_or_its_name_suggests(
    client: httpx2.Client, headers: bytes, mime_type: str
) -> None:
    assert upload_raw(client, headers).json()["mime_type"] == mime_type


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("application/json", b"{}", "The request body must be multipart/form-data with a boundary"),
        ("multipart/form-data", b"", "The request body must be multipart/form-data with a boundary"),
        (
            "multipart/form-data; boundary=b",
            b"no form",
            "The request body is not valid multipart/form-data",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nx',
            "The request body is cut short: its last boundary is missing",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="data"\r\n\r\nx\r\n--b--\r\n',
            "data: Extra inputs are not permitted",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="expires_in_seconds"\r\n\r\n3600\r\n--b--\r\n',
            "file: Field required",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\nx\r\n' * 11 + b"--b--\r\n",
            "The form has more than 10 parts",
        ),
    ],
)
def test_a_body_that_is_no_upload_is_refused(
    client: httpx2.Client, content_type: str, body: bytes, message: str
) -> None:
    answer = client.post("/v1/files", content=body, headers={"content-type": content_type})

    assert refusal(answer) == invalid(message)


def test_a_file_may_be_as_large_as_the_cap_and_no_byte_more(start_sandbox: StartSandbox) -> None:
    client = start_sandbox(State(files=FileStore(max_file_bytes=1000)))

    assert upload(client, bytes(1000), "text/plain")["size_bytes"] == 1000
    answer = client.post("/v1/files", files={"file": ("a", bytes(1001), "text/plain")})
    assert (answer.status_code, answer.json()) == (
        413,
        {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}},
    )


def test_the_cap_is_the_vendors_500_mb() -> None:
    assert State().files.max_file_bytes == 500_000_000


def test_a_gzip_upload_is_read(client: httpx2.Client) -> None:
    request = client.build_request("POST", "/v1/files", files={"file": ("a.png", PNG, "image/png")})
    headers = {"content-type": request.headers["content-type"], "content-encoding": "gzip"}

    answer = client.post("/v1/files", content=gzip.compress(request.read()), headers=headers)

    assert answer.json()["size_bytes"] == len(PNG)


def test_the_oldest_file_is_forgotten_when_there_are_too_many(start_sandbox: StartSandbox) -> None:
    client = start_sandbox(State(files=FileStore(max_files=2)))
    first, second, third = (upload(client, b"x", "text/plain")["id"] for _ in range(3))

    assert [file["id"] for file in client.get("/v1/files").json()["data"]] == [third, second]
    assert refusal(client.get(f"/v1/files/{first}")) == not_found(first)


def test_the_oldest_file_is_forgotten_when_pictures_take_too_much_room(start_sandbox: StartSandbox) -> None:
    client = start_sandbox(State(files=FileStore(max_kept_bytes=2000)))
    first, second, third = (upload(client, padded_png(1000))["id"] for _ in range(3))
    text = upload(client, bytes(5000), "text/plain")["id"]  # takes no room, for its bytes are not kept

    assert [file["id"] for file in client.get("/v1/files").json()["data"]] == [text, third, second]
    assert ask(client, file_block(first)) == not_found(first)


def test_the_room_of_deleted_and_expired_pictures_is_free_again(start_sandbox: StartSandbox, clock: Any) -> None:
    client = start_sandbox(State(clock=clock, files=FileStore(max_kept_bytes=2000)))
    deleted, ended = upload(client, padded_png(1000))["id"], upload(client, padded_png(1000), expires_in_seconds="3600")
    client.delete(f"/v1/files/{deleted}").raise_for_status()
    clock.advance(seconds=3600)

    client.get("/v1/files").raise_for_status()
    kept = [upload(client, padded_png(1000))["id"] for _ in range(2)]

    assert [file["id"] for file in client.get("/v1/files").json()["data"]] == [*kept[::-1], ended["id"]]


def test_a_picture_by_file_id_costs_what_it_costs_as_base64(client: httpx2.Client) -> None:
    photo = picture(2000, 1500, kind="JPEG")
    file = upload(client, photo, "image/jpeg")

    by_id = client.post("/v1/messages", json=message_body(file_block(file["id"]))).json()
    by_value = client.post("/v1/messages", json=message_body(image_block(photo, "image/jpeg"))).json()

    assert by_id["usage"] == by_value["usage"]
    assert by_id["content"] == by_value["content"]
    assert by_id["usage"]["input_tokens"] == 3888 + OVERHEAD


@pytest.mark.parametrize(
    ("data", "media_type", "message"),
    [
        (PNG[:30], "image/png", "Could not process image"),
        (PNG[:-24], "image/png", "Could not process image"),
        (b"hello", "image/png", "Could not process image"),
        (b"", "image/png", "image cannot be empty"),
        (
            PNG,
            "image/webp",
            "The image was specified using the image/webp media type, but the image appears to be a image/png image",
        ),
        (
            padded_png(7_864_321),
            "image/png",
            "image exceeds 10 MB maximum: 10485764 bytes > 10485760 bytes",
        ),
    ],
)
def test_a_file_that_is_no_good_picture_is_uploaded_and_then_refused(
    client: httpx2.Client, data: bytes, media_type: str, message: str
) -> None:
    file = upload(client, data, media_type)

    assert ask(client, file_block(file["id"])) == invalid(message)


def test_a_file_as_large_as_base64_may_be_is_taken(client: httpx2.Client) -> None:
    assert ask(client, file_block(upload(client, padded_png(7_864_320))["id"])) == (200, None)


@pytest.mark.parametrize("media_type", ["application/pdf", "text/plain", "image/tiff", "application/octet-stream"])
def test_a_file_of_another_kind_is_no_picture(client: httpx2.Client, media_type: str) -> None:
    file = upload(client, PNG, media_type)

    assert ask(client, file_block(file["id"])) == invalid(
        f"Invalid file type: file `{file['id']}` is {media_type}, an image block takes image/jpeg, image/png, "
        "image/gif, image/webp"
    )


def test_files_keep_to_the_limits_of_pixels_with_the_paths_of_all(client: httpx2.Client) -> None:
    file = upload(client, picture(8001, 1))

    assert ask(client, image_block(PNG), file_block(file["id"]), image_block(picture(1, 8001))) == (
        400,
        {
            "type": "invalid_request_error",
            "message": "At least one of the image dimensions exceed max allowed size: 8000 pixels",
            "details": {
                "error_code": "image_dimensions_too_large",
                "max_side_length_pixels": 8000,
                "paths": ["messages.0.content.1", "messages.0.content.2"],
            },
        },
    )


def test_files_count_to_the_20_pictures(client: httpx2.Client) -> None:
    file = file_block(upload(client, picture(2001, 1))["id"])

    status, error = ask(client, *[image_block(PNG)] * 20, file)

    assert (status, error["details"]["paths"]) == (400, ["messages.0.content.20"])
    assert ask(client, *[image_block(PNG)] * 19, file) == (200, None)


def test_a_file_that_must_not_be_scaled_is_refused_without_its_place(client: httpx2.Client) -> None:
    file = upload(client, picture(2577, 4))
    block = file_block(file["id"], transformations={"oversized_image": "error"})

    assert ask(client, block) == invalid(
        "image dimensions 2577x4 exceed the maximum image size of a model named on this request and would be downsized "
        'to 2576x4; scale the image to at most 2576x4 or set the image\'s oversized_image setting to "downsize"'
    )


def test_a_count_does_not_look_into_files(client: httpx2.Client) -> None:
    file = upload(client)
    body = {"model": MODEL, "messages": [{"role": "user", "content": [file_block(file["id"])]}]}

    assert client.post("/v1/messages/count_tokens", json=body).json() == {"input_tokens": 4784 + OVERHEAD}


def test_the_journal_keeps_the_picture_of_an_upload_and_of_its_use(client: httpx2.Client) -> None:
    file = upload(client, name="secret.png", expires_in_seconds="3600")
    ask(client, text_block("x"), file_block(file["id"]))

    uploaded, asked = client.get("/sandbox/journal").json()
    record = {
        "media_type": "image/png",
        "width": 30,
        "height": 20,
        "size_bytes": len(PNG),
        "base64_chars": 0,
        "sha256": sha256(PNG).hexdigest(),
    }
    assert (uploaded["method"], uploaded["path"], uploaded["status"], uploaded["fields"]) == (
        "POST",
        "/v1/files",
        200,
        ["expires_in_seconds", "file"],
    )
    assert (uploaded["images"], asked["images"]) == (
        [{"path": "file", **record}],
        [{"path": "messages.0.content.1", **record}],
    )
    assert "secret" not in str(uploaded)


def test_a_fault_of_an_upload_keeps_the_file_out(start_sandbox: StartSandbox) -> None:
    client = start_sandbox(State())
    headers = {"x-vision-proxy-sandbox-fault": "529"}

    answer = client.post("/v1/files", files={"file": ("a.png", PNG, "image/png")}, headers=headers)

    assert (answer.status_code, client.get("/v1/files").json()["data"]) == (529, [])
