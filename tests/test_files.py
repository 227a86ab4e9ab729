"""/v1/files through a real port: what the vendor keeps, under which id, and who may use it."""

import base64
import json
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import anthropic
import httpx2
import pytest
from PIL import Image

from app.sandbox import State, sandbox_in_thread

Maker = Callable[..., bytes]
StartService = Callable[..., httpx2.Client]

MODEL = "claude-sonnet-5-5"


def sdk_of(service: httpx2.Client, key: str = "any") -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=str(service.base_url), api_key=key, max_retries=0)


@pytest.fixture
def sdk(service: httpx2.Client) -> anthropic.Anthropic:
    return sdk_of(service)


@pytest.fixture
def alone(start_service: StartService, database_url: str) -> httpx2.Client:
    """A service whose table of files is empty, on each database in turn."""
    return start_service(database_url=database_url)


def store(service: httpx2.Client, data: bytes, name: str = "a.png", **fields: str) -> dict[str, Any]:
    response = service.post("/v1/files", files={"file": (name, data)}, data=fields)
    assert response.status_code == 200, response.text
    return response.json()


def vendor_id_of(sandbox: httpx2.Client, name: str) -> str:
    """What the vendor calls the file of that name, of which there must be one."""
    [found] = [file["id"] for file in sandbox.get("/v1/files?limit=1000").json()["data"] if file["filename"] == name]
    return found


def by_file(file_id: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "file", "file_id": file_id}}


def request(*content: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 400, "messages": [{"role": "user", "content": list(content)}]}


def error_of(response: httpx2.Response) -> tuple[int, str, str, str]:
    error = response.json()["error"]
    return response.status_code, error["type"], error["details"].get("error_code", ""), error["message"]


def not_found(file_id: str) -> tuple[int, str, str, str]:
    return 404, "not_found_error", "file_not_found", f"File `{file_id}` not found."


def test_the_official_sdk_uploads_shows_lists_and_deletes(
    alone: httpx2.Client, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    sdk = sdk_of(alone)
    data = photo(640, 480)

    uploaded = sdk.files.upload(file=(f"{case}.jpg", data, "image/jpeg"), expires_in_seconds=3600)

    shown = sdk.files.retrieve_metadata(uploaded.id)
    listed = list(sdk.files.list())
    deleted = sdk.files.delete(uploaded.id)
    assert (uploaded.filename, uploaded.mime_type, uploaded.size_bytes) == (f"{case}.jpg", "image/jpeg", len(data))
    assert uploaded.expires_at == uploaded.created_at + timedelta(seconds=3600)
    assert listed == [shown] == [uploaded]
    assert (deleted.id, deleted.type) == (uploaded.id, "file_deleted")
    assert list(sdk.files.list()) == []
    assert case not in sandbox.get("/v1/files?limit=1000").text
    with pytest.raises(anthropic.NotFoundError):
        sdk.files.retrieve_metadata(uploaded.id)


def test_a_description_is_the_vendor_s_but_for_the_id(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    through = store(service, photo(64, 48), f"{case}.jpg")

    direct = sandbox.get(f"/v1/files/{vendor_id_of(sandbox, f'{case}.jpg')}").json()
    assert list(through) == list(direct)
    assert {**through, "id": ""} == {**direct, "id": ""}
    assert service.get(f"/v1/files/{through['id']}").json() == through


def test_our_ids_tell_the_time_and_nothing_else(service: httpx2.Client, photo: Maker) -> None:
    before = datetime.now(UTC)

    file_id = store(service, photo(64, 48))["id"]

    told = datetime.fromtimestamp(int(file_id[5:16], 16) / 1000, UTC)
    assert (file_id[:5], len(file_id), file_id[5:].isalnum()) == ("file_", 40, True)
    assert before - timedelta(milliseconds=1) <= told <= datetime.now(UTC)


def test_anthropic_headers_go_on_and_the_vendor_s_come_back(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    headers = {"anthropic-beta": "some-beta-2026-01-01", "x-vision-proxy-sandbox-case": case, "x-api-key": "client-key"}

    response = service.post("/v1/files", files={"file": ("a.jpg", photo(64, 48))}, headers=headers)

    visits = sandbox.get("/sandbox/journal").json()
    [visit] = [visit for visit in visits if visit["headers"].get("x-vision-proxy-sandbox-case") == case]
    assert visit["headers"]["anthropic-beta"] == "some-beta-2026-01-01"
    assert "client-key" not in json.dumps(visit)
    assert response.headers["request-id"] == visit["request_id"]


@pytest.mark.parametrize(
    ("image_format", "name", "kept_as", "media_type"),
    [
        ("TIFF", "scan.tif", "scan.jpg", "image/jpeg"),
        ("AVIF", "photo.heic", "photo.jpg", "image/jpeg"),
        ("JPEG", "photo", "photo.jpg", "image/jpeg"),
        ("JPEG", "photo.JPEG", "photo.JPEG", "image/jpeg"),
        ("JPEG", "wrong.png", "wrong.jpg", "image/jpeg"),
    ],
)
def test_a_picture_is_kept_as_one_the_vendor_takes(
    service: httpx2.Client, photo: Maker, image_format: str, name: str, kept_as: str, media_type: str
) -> None:
    file = store(service, photo(640, 480, image_format), name)

    assert (file["filename"], file["mime_type"]) == (kept_as, media_type)
    assert service.post("/v1/messages", json=request(by_file(file["id"]))).status_code == 200


def test_a_real_heic_is_kept_as_a_picture_the_vendor_takes(service: httpx2.Client, corpus: Path) -> None:
    file = store(service, (corpus / "heif" / "arrow.heic").read_bytes(), "arrow.heic")

    assert (file["filename"], file["mime_type"]) in {("arrow.png", "image/png"), ("arrow.jpg", "image/jpeg")}
    assert service.post("/v1/messages", json=request(by_file(file["id"]))).status_code == 200


def test_a_picture_is_sized_for_every_model_and_any_number_of_pictures(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    sent = service.post(
        "/v1/files", files={"file": ("a.jpg", photo(4032, 3024))}, headers={"x-vision-proxy-sandbox-case": case}
    )

    assert sent.status_code == 200
    visits = sandbox.get("/sandbox/journal").json()
    [visit] = [visit for visit in visits if visit["headers"].get("x-vision-proxy-sandbox-case") == case]
    [picture] = visit["images"]
    assert (picture["width"], picture["height"]) == (1999, 1499)


def test_the_metadata_of_a_picture_stays_behind(recorded: httpx2.Client, wire: Any, photo: Maker) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    data = photo(64, 48, exif=exif)

    store(recorded, data, "a.jpg")

    assert b"taken at home" in data
    assert b"taken at home" not in wire.bodies[-1]


@pytest.mark.parametrize(
    ("name", "media_type", "data"),
    [
        ("report.pdf", "application/pdf", b"%PDF-1.7\r\n\x00\xff--x\r\n"),
        ("cars.txt", "text/plain", b"BMW and other makes"),
        ("drawing.svg", "image/svg+xml", b"<svg/>"),
        ("nothing.bin", "application/x-nothing", b""),
    ],
)
def test_what_is_no_picture_passes_byte_for_byte(
    recorded: httpx2.Client, wire: Any, name: str, media_type: str, data: bytes
) -> None:
    response = recorded.post("/v1/files", files={"file": (name, data, media_type)})

    file = response.json()
    assert (file["filename"], file["mime_type"], file["size_bytes"]) == (name, media_type, len(data))
    assert b"\r\n\r\n" + data + b"\r\n--" in wire.bodies[-1]


def test_a_file_without_a_name_or_type_gets_the_vendor_s_defaults(service: httpx2.Client) -> None:
    body = b'--x\r\ncontent-disposition: form-data; name="file"; filename=""\r\n\r\nhello\r\n--x--\r\n'

    response = service.post("/v1/files", content=body, headers={"content-type": "multipart/form-data; boundary=x"})

    file = response.json()
    assert (file["filename"], file["mime_type"]) == ("unnamed.bin", "application/octet-stream")


@pytest.mark.parametrize(
    ("name", "data", "code", "message"),
    [
        (
            "a.jpg",
            b"\xff\xd8\xff\xe0 and no more",
            "image_undecodable",
            "image 1 (a.jpg): the image/jpeg file is broken",
        ),
        ("b.png", b"%PDF-1.7", "unsupported_format", "image 1 (b.png): a PDF document; send JPEG"),
        ("c.png", b"", "empty_image", "image 1 (c.png): the file is empty"),
    ],
)
def test_a_broken_picture_is_refused(service: httpx2.Client, name: str, data: bytes, code: str, message: str) -> None:
    status, kind, error_code, told = error_of(service.post("/v1/files", files={"file": (name, data)}))

    assert (status, kind, error_code) == (400, "invalid_request_error", code)
    assert told.startswith(message)


def test_a_picture_whose_pixels_are_broken_is_refused(service: httpx2.Client, photo: Maker) -> None:
    data = photo(4000, 3000)[:100_000]

    refusal = error_of(service.post("/v1/files", files={"file": ("cut.jpg", data)}))

    assert refusal[2:] == (
        "image_undecodable",
        "image 1 (cut.jpg): the image/jpeg file is broken: it ends too early",
    )


def test_a_picture_has_a_cap_of_its_own(start_service: StartService, photo: Maker) -> None:
    service = start_service(max_image_bytes=1_000, max_body_bytes=100_000)

    refusals = [
        error_of(service.post("/v1/files", files={"file": ("a", data)}))[::2]
        for data in (photo(64, 48), b"x" * 100_000)
    ]
    other = service.post("/v1/files", files={"file": ("a.txt", b"x" * 90_000)})

    assert refusals == [(413, "image_too_large"), (413, "body_too_large")]
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "the form"),
        ([("picture", ("a.txt", b"x"))], "0 form parts named `file`; send exactly one"),
        ([("file", ("a.txt", b"x")), ("file", ("b.txt", b"x"))], "2 form parts named `file`; send exactly one"),
        ([("file", ("a.txt", b"x")), ("more", ("b.txt", b"x"))], "more: the one file goes into `file`"),
    ],
)
def test_a_form_holds_one_file(service: httpx2.Client, files: list[Any], message: str) -> None:
    response = service.post(
        "/v1/files", files=files or None, headers={} if files else {"content-type": "multipart/form-data; boundary=x"}
    )

    assert error_of(response)[:3] == (400, "invalid_request_error", "invalid_request")
    assert error_of(response)[3].startswith(message)


def test_other_fields_are_the_vendor_s_to_judge(service: httpx2.Client, sandbox: httpx2.Client) -> None:
    form: dict[str, Any] = {"files": {"file": ("a.txt", b"x")}, "data": {"expires_in_seconds": "10"}}

    through, direct = service.post("/v1/files", **form), sandbox.post("/v1/files", **form)

    assert through.status_code == direct.status_code == 400
    assert through.json()["error"] == direct.json()["error"]


def test_a_file_is_counted_and_priced_in_messages(recorded: httpx2.Client, wire: Any, photo: Maker) -> None:
    file_id = store(recorded, photo(4032, 3024), "a.jpg")["id"]

    response = recorded.post("/v1/messages", json=request(by_file(file_id)), headers={"x-vision-proxy-report": "full"})

    tokens = 72 * 54  # 1999x1499
    [image] = response.json()["images"]
    assert response.headers["x-vision-proxy-image-tokens"] == str(tokens)
    assert (image["source"], image["name"], image["tokens"]) == ("file", "a.jpg", tokens)
    assert image["sent"] == {**image["sent"], "width_px": 1999, "height_px": 1499}
    usage = response.json()["usage"]
    assert usage["input_tokens"] > tokens
    assert usage["cost"] == pytest.approx((usage["input_tokens"] * 2 + usage["output_tokens"] * 10) / 1e6)
    [sent] = wire.last_request["messages"][0]["content"]
    assert sent["source"]["file_id"].startswith("file_sandbox_")


def test_a_file_is_found_inside_a_tool_result_and_in_a_document(
    recorded: httpx2.Client, wire: Any, photo: Maker
) -> None:
    picture = store(recorded, photo(280, 280), "a.jpg")["id"]
    text = store(recorded, b"hello", "a.txt")["id"]
    tool_use: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [by_file(picture)]}
    document = {"type": "document", "source": {"type": "file", "file_id": text}}
    body: dict[str, Any] = {
        "model": MODEL,
        "max_tokens": 400,
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": [document, {"type": "text", "text": "Look."}]},
            {"role": "assistant", "content": [tool_use]},
            {"role": "user", "content": [result]},
        ],
    }

    response = recorded.post("/v1/messages", json=body)

    assert (response.status_code, response.headers["x-vision-proxy-image-tokens"]) == (200, "100")
    sent = wire.last_request["messages"]
    ids = [sent[0]["content"][0]["source"]["file_id"], sent[2]["content"][0]["content"][0]["source"]["file_id"]]
    assert [file_id.startswith("file_sandbox_") for file_id in ids] == [True, True]
    assert ids[0] != ids[1]


def test_files_stand_among_uploads_in_the_order_of_the_form(service: httpx2.Client, photo: Maker) -> None:
    file_id = store(service, photo(560, 280), "stored.jpg")["id"]
    parts: list[Any] = [
        ("image", ("first.jpg", photo(64, 48))),
        ("file_id", (None, file_id)),
        ("image", ("last.jpg", photo(64, 48))),
    ]

    answer = service.post("/v1/analyze", files=parts).json()

    told = [(image["name"], image["source"], image["label"], image["tokens"]) for image in answer["images"]]
    assert told == [
        ("first.jpg", "upload", "Image 1", 6),
        ("stored.jpg", "file", "Image 2", 200),
        ("last.jpg", "upload", "Image 3", 6),
    ]


def test_files_stand_among_pictures_of_a_json_body(service: httpx2.Client, photo: Maker) -> None:
    file_id = store(service, photo(560, 280), "stored.jpg")["id"]
    data = base64.b64encode(photo(64, 48)).decode()

    answer = service.post("/v1/analyze", json={"images": [{"file_id": file_id}, {"data": data}]}).json()

    assert [(image["source"], image["tokens"]) for image in answer["images"]] == [("file", 200), ("base64", 6)]


def test_the_vendor_s_own_id_is_refused_everywhere(
    service: httpx2.Client, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    store(service, photo(64, 48), f"{case}.jpg")
    vendor_id = vendor_id_of(sandbox, f"{case}.jpg")
    document = {"type": "document", "source": {"type": "file", "file_id": vendor_id}}

    refusals = [*_every_use(service, vendor_id), service.post("/v1/messages", json=request(document))]

    assert [error_of(refusal) for refusal in refusals] == [not_found(vendor_id)] * len(refusals)
    assert service.get("/v1/files", params={"ids[]": vendor_id}).json() == {"data": [], "next_page": None}
    assert sandbox.get(f"/v1/files/{vendor_id}").status_code == 200


@pytest.mark.parametrize("file_id", ["file_\0", "file_é"])
def test_an_id_that_no_database_could_hold_is_not_found(alone: httpx2.Client, file_id: str) -> None:
    refusal = alone.post("/v1/messages", json=request(by_file(file_id)))

    assert (refusal.status_code, refusal.json()["error"]["details"]["error_code"]) == (404, "file_not_found")


def test_another_caller_cannot_see_use_list_or_delete_a_file(
    start_service: StartService, photo: Maker, database_url: str
) -> None:
    owner = start_service(database_url=database_url)
    other = start_service(database_url=database_url, admin_key="the-key-of-the-operator")
    other.headers["x-api-key"] = "the-key-of-the-operator"
    file_id = store(owner, photo(64, 48))["id"]

    refusals = _every_use(other, file_id)

    assert [error_of(refusal) for refusal in refusals] == [not_found(file_id)] * len(refusals)
    assert other.get("/v1/files").json() == {"data": [], "next_page": None}
    assert other.get("/v1/files", params={"ids[]": file_id}).json() == {"data": [], "next_page": None}
    assert owner.get(f"/v1/files/{file_id}").status_code == 200


def test_without_a_key_there_are_no_files(start_service: StartService) -> None:
    service = start_service(admin_key="the-key-of-the-operator")

    assert [service.get("/v1/files").status_code, service.post("/v1/files").status_code] == [401, 401]


def test_a_restart_keeps_the_ids(start_service: StartService, photo: Maker, database_url: str) -> None:
    file = store(start_service(database_url=database_url), photo(64, 48))

    again = start_service(database_url=database_url)

    assert again.get(f"/v1/files/{file['id']}").json() == file
    assert again.post("/v1/messages", json=request(by_file(file["id"]))).status_code == 200


def test_five_files_are_paged_by_two_newest_first(alone: httpx2.Client, photo: Maker) -> None:
    ids = [store(alone, photo(64, 48), f"{number}.jpg")["id"] for number in range(5)]

    pages = list(sdk_of(alone).files.list(limit=2).iter_pages())

    assert [[file.id for file in page.data] for page in pages] == [
        sorted(ids)[:-3:-1],
        sorted(ids)[2:0:-1],
        sorted(ids)[:1],
    ]


def test_a_list_longer_than_the_vendor_describes_at_once_is_whole(alone: httpx2.Client) -> None:
    ids = [store(alone, b"x", "a.txt")["id"] for _ in range(101)]

    listed = alone.get("/v1/files?limit=1000").json()

    assert [file["id"] for file in listed["data"]] == sorted(ids, reverse=True)
    assert listed["next_page"] is None


def test_a_list_can_be_of_certain_files(alone: httpx2.Client) -> None:
    first, _, third = [store(alone, b"x", f"{number}.txt")["id"] for number in range(3)]

    listed = sdk_of(alone).files.list(ids=[first, "file_nobody", third, first])

    assert [file.id for file in listed] == sorted([first, third], reverse=True)


def test_a_file_that_the_vendor_dropped_is_left_out_and_can_still_be_forgotten(
    alone: httpx2.Client, sandbox: httpx2.Client, case: str
) -> None:
    kept, dropped = store(alone, b"x", "kept.txt")["id"], store(alone, b"x", f"{case}.txt")["id"]
    sandbox.delete(f"/v1/files/{vendor_id_of(sandbox, f'{case}.txt')}")

    listed = alone.get("/v1/files").json()
    first, second = alone.delete(f"/v1/files/{dropped}"), alone.delete(f"/v1/files/{dropped}")

    assert [file["id"] for file in listed["data"]] == [kept]
    assert first.json()["error"] == {"type": "not_found_error", "message": f"File `{dropped}` not found."}
    assert error_of(second) == not_found(dropped)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit: '0' is no whole number from 1 to 1000"),
        ("limit=1001", "limit: '1001' is no whole number from 1 to 1000"),
        ("limit=many", "limit: 'many' is no whole number from 1 to 1000"),
        ("page=page_2", "page: this is no `next_page` of a list of files"),
        ("ids[]=a&limit=2", "ids cannot be combined with page or limit"),
        ("&".join(f"ids[]={number}" for number in range(101)), "ids: 101 ids; the limit is 100"),
    ],
)
def test_a_list_that_cannot_be_is_refused(service: httpx2.Client, query: str, message: str) -> None:
    response = service.get(f"/v1/files?{query}")

    assert error_of(response) == (400, "invalid_request_error", "invalid_request", message)


class Clock:
    """The sandbox's time, which a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_an_expired_file_is_the_vendor_s_404_under_our_id(start_service: StartService, photo: Maker) -> None:
    clock = Clock()
    with sandbox_in_thread(state=State(clock=clock)) as vendor_url:
        service = start_service(vendor_url)
        file_id = store(service, photo(64, 48), "a.jpg", expires_in_seconds="3600")["id"]
        clock.now += timedelta(hours=2)

        content = service.get(f"/v1/files/{file_id}/content")
        metadata = service.get(f"/v1/files/{file_id}")
        clock.now += timedelta(days=31)
        gone = service.get(f"/v1/files/{file_id}")

    assert error_of(content) == (404, "not_found_error", "file_expired", f"File `{file_id}` has expired.")
    assert (metadata.status_code, metadata.json()["expires_at"]) == (200, "2026-11-20T01:00:00Z")
    assert gone.json()["error"] == {"type": "not_found_error", "message": f"File `{file_id}` not found."}


def test_an_upload_cannot_be_downloaded_again(sdk: anthropic.Anthropic) -> None:
    file = sdk.files.upload(file=("a.txt", b"x", "text/plain"))

    with pytest.raises(anthropic.BadRequestError) as raised:
        sdk.files.download(file.id)

    assert raised.value.error_code == "file_not_downloadable"


def test_a_file_cannot_be_normalized_again(service: httpx2.Client, photo: Maker) -> None:
    file_id = store(service, photo(64, 48), "a.jpg")["id"]

    response = service.post("/v1/normalize", files=[("file_id", (None, file_id))])

    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith("some pictures are not here")


def test_a_file_that_cannot_be_used_is_refused_under_our_id(start_service: StartService, photo: Maker) -> None:
    clock = Clock()
    with sandbox_in_thread(state=State(clock=clock)) as vendor_url:
        service = start_service(vendor_url)
        text = store(service, b"hello", "a.txt")["id"]
        expired = store(service, photo(64, 48), "a.jpg", expires_in_seconds="3600")["id"]
        clock.now += timedelta(hours=2)

        refusals = [
            service.post("/v1/messages", json=request(by_file(expired))),
            service.post("/v1/messages", json={**request(by_file(expired)), "stream": True}),
            service.post("/v1/analyze", json={"file_id": expired}),
            service.post("/v1/messages", json=request(by_file(text))),
        ]

    assert [refusal.status_code for refusal in refusals] == [404, 404, 404, 400]
    messages = [refusal.json()["error"]["message"] for refusal in refusals]
    assert messages[:3] == [f"File `{expired}` has expired."] * 3
    assert messages[3] == f"image 1 (a.txt): the file `{text}` is text/plain, which is no picture"


class Vendor(ThreadingHTTPServer):
    """A vendor whose one file can be downloaded: it sends a half, and the other once the test lets it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _VendorHandler)
        self.may_go_on = Event()
        self.lost_its_client = Event()
        self.seen: list[str] = []


class _VendorHandler(BaseHTTPRequestHandler):
    server: Vendor  # pyright: ignore[reportIncompatibleVariableOverride] - typed as the base class

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"id":"file_vendor","size_bytes":1.0,"x_new":null}')

    def do_GET(self) -> None:
        self.server.seen += [self.path, self.headers["accept"]]
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"first half,")
        if not self.server.may_go_on.wait(30):
            return
        try:
            for _ in range(1_000):
                self.wfile.write(b" second half" * 1_000)
        except OSError:
            self.server.lost_its_client.set()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        pass


@pytest.fixture
def vendor() -> Generator[Vendor]:
    with Vendor() as vendor:
        thread = Thread(target=vendor.serve_forever, daemon=True)
        thread.start()
        try:
            yield vendor
        finally:
            vendor.shutdown()
            thread.join(10)


def test_every_other_member_of_a_description_stays_as_it_was_spelt(start_service: StartService, vendor: Vendor) -> None:
    service = start_service(f"http://127.0.0.1:{vendor.server_port}")

    response = service.post("/v1/files", files={"file": ("a.txt", b"x")})

    file_id = response.json()["id"]
    assert response.text == f'{{"id":"{file_id}","size_bytes":1.0,"x_new":null}}'


def test_a_download_is_passed_on_while_it_comes(start_service: StartService, vendor: Vendor) -> None:
    service = start_service(f"http://127.0.0.1:{vendor.server_port}")
    file_id = store(service, b"x", "a.txt")["id"]

    with service.stream("GET", f"/v1/files/{file_id}/content") as response:
        pieces = response.iter_bytes()
        first = next(pieces)
        vendor.may_go_on.set()
        rest = b"".join(pieces)

    assert (first, rest) == (b"first half,", b" second half" * 1_000_000)
    assert vendor.seen == ["/v1/files/file_vendor/content", "application/binary"]
    assert response.headers["content-type"] == "text/html"
    assert response.headers["content-disposition"] == "attachment"


def test_a_download_ends_at_the_vendor_when_the_client_leaves(start_service: StartService, vendor: Vendor) -> None:
    service = start_service(f"http://127.0.0.1:{vendor.server_port}")
    file_id = store(service, b"x", "a.txt")["id"]

    with service.stream("GET", f"/v1/files/{file_id}/content") as response:
        next(response.iter_bytes())
    vendor.may_go_on.set()

    assert vendor.lost_its_client.wait(30)


def _every_use(service: httpx2.Client, file_id: str) -> list[httpx2.Response]:
    """Every request that names a file in its path or its body."""
    return [
        service.get(f"/v1/files/{file_id}"),
        service.get(f"/v1/files/{file_id}/content"),
        service.delete(f"/v1/files/{file_id}"),
        service.post("/v1/messages", json=request(by_file(file_id))),
        service.post("/v1/messages/count_tokens", json=request(by_file(file_id))),
        service.post("/v1/analyze", files={"file_id": (None, file_id)}),
        service.post("/v1/analyze", json={"images": [{"file_id": file_id}]}),
        service.post("/v1/estimate", json={"file_id": file_id}),
    ]
