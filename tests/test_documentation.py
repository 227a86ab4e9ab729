"""What the documents say is what the service does: every example is run, every code, setting and link is held to it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from app.errors import ErrorCode
from app.web.errors import STATUSES
from tests.pdfs import pdf

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

Maker = Callable[..., bytes]


def blocks(language: str) -> list[Any]:
    """Every fenced block of that language in the documents."""
    return [
        pytest.param(text, id=f"{document.relative_to(ROOT)}-{number}")
        for document in DOCUMENTS
        for number, text in enumerate(re.findall(rf"```{language}\n(.*?)```", document.read_text("utf-8"), re.DOTALL))
    ]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, photo: Maker, screen: Maker) -> Path:
    """A folder with the files that the examples name."""
    tmp_path = tmp_path_factory.mktemp("examples")
    (tmp_path / "photo.jpg").write_bytes(photo(4032, 3024))
    (tmp_path / "scan.tif").write_bytes(screen(1700, 2200, "TIFF"))
    (tmp_path / "screen.png").write_bytes(screen(800, 600))
    (tmp_path / "page.png").write_bytes(screen(1290, 6000))
    (tmp_path / "report.pdf").write_bytes(pdf(["page"] * 8))
    (tmp_path / "receipt.heic").write_bytes(photo(600, 800, "AVIF"))  # the bytes decide, not the name
    return tmp_path


TOTAL = '{"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}'
EXAMPLES = {
    "/v1/analyze": {},
    "/v1/extract": {"schema": TOTAL},
    "/v1/locate": {"target": "the dog"},
    "/v1/estimate": {"compare": "true"},
}
"""The fields by which the examples of the OpenAPI document were asked for."""

ADMIN_KEY = "the-key-of-the-operator"


@pytest.fixture
def addressed(request: pytest.FixtureRequest, script: str) -> httpx2.Client:
    """The service that an example is run against: one with an admin key where it sends that."""
    if "ADMIN_KEY" not in script:
        return request.getfixturevalue("service")
    start: Callable[..., httpx2.Client] = request.getfixturevalue("start_service")
    return start(admin_key=ADMIN_KEY)


def here(text: str, service: httpx2.Client) -> str:
    """The example with the address of the running service."""
    return text.replace("http://localhost:8000", str(service.base_url).rstrip("/"))


@pytest.mark.parametrize("script", blocks("sh"))
def test_a_shell_example_runs_and_succeeds(script: str, addressed: httpx2.Client, folder: Path) -> None:
    command = here(script, addressed).replace("curl ", "curl --silent --show-error --fail-with-body ")

    ran = subprocess.run(  # noqa: S603 - our own documents
        ["/bin/bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=os.environ | {"ADMIN_KEY": ADMIN_KEY, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert ran.returncode == 0, ran.stderr.decode() + ran.stdout.decode("utf-8", "replace")[:500]


@pytest.mark.parametrize("script", blocks("python"))
def test_a_python_example_runs_and_prints(script: str, addressed: httpx2.Client, folder: Path) -> None:
    ran = subprocess.run(  # noqa: S603 - as above
        [sys.executable, "-c", here(script, addressed)],
        cwd=folder,
        env=os.environ | {"ADMIN_KEY": ADMIN_KEY},
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert ran.returncode == 0, ran.stderr.decode()
    assert ran.stdout.strip()


def test_the_answer_in_the_readme_has_the_fields_of_a_real_one(service: httpx2.Client, folder: Path) -> None:
    [shown] = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    with (folder / "photo.jpg").open("rb") as file:
        real = service.post("/v1/analyze", files={"image": file}, data={"prompt": "What is this?"}).json()

    document = json.loads(shown)
    assert _shape(document | {"usage": 0}) == _shape(real | {"usage": 0})
    assert document["images"][0]["tokens"] == real["images"][0]["tokens"]
    assert document["images"][0]["operations"] == real["images"][0]["operations"]


@pytest.mark.parametrize(("path", "fields"), EXAMPLES.items())
def test_the_examples_of_the_openapi_document_have_the_fields_of_real_answers(
    service: httpx2.Client, folder: Path, path: str, fields: dict[str, str]
) -> None:
    shown = json.loads((ROOT / f"app/web/examples/{path.rpartition('/')[2]}.json").read_text("utf-8"))
    picture = (folder / "photo.jpg").read_bytes()
    files = [("image", (image["name"], picture)) for image in shown["images"]]
    real = service.post(path, files=files, data=fields).json()

    assert _shape(shown) == _shape(real)


def codes_of(document: dict[str, Any], path: str) -> set[str]:
    answers = document["paths"][path]["post"]["responses"]
    return {
        code
        for status, answer in answers.items()
        if status != "200"
        for code in answer["content"]["application/json"]["examples"]
    }


def test_every_error_code_is_documented_with_its_status_and_type() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|", (ROOT / "docs/errors.md").read_text("utf-8"), re.MULTILINE)

    told = {
        code: ("the vendor's", "the vendor's") if code == "upstream_error" else (status, kind)
        for code, status, kind in rows
    }
    expected = {code.value: (str(status.http), status.error_type) for code, status in STATUSES.items()}
    assert told == expected | {"upstream_error": ("the vendor's", "the vendor's")}
    assert set(told) == {code.value for code in ErrorCode}


def test_every_error_of_a_route_is_in_the_openapi_document(service: httpx2.Client) -> None:
    document = service.get("/openapi.json").json()

    unseen = {"unknown_route", "client_closed", "admin_only", "key_not_found", "batch_not_found"}
    of_data = {"invalid_schema", "schema_refused", "schema_mismatch", "answer_refused", "answer_cut"}
    every = {code.value for code in ErrorCode} - unseen
    assert codes_of(document, "/v1/analyze") == every - of_data
    assert codes_of(document, "/v1/extract") == codes_of(document, "/v1/locate") == every


def test_the_docs_page_asks_no_other_host_for_anything(service: httpx2.Client) -> None:
    page = service.get("/docs").text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert assets
    assert all(asset.startswith("/") for asset in assets)
    assert all(service.get(asset).status_code == 200 for asset in assets)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text("utf-8"))

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    commands = re.findall(r"```console\nmake (\w+)\n```", (ROOT / "README.md").read_text("utf-8"))
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)

    assert commands == ["run", "test"]
    assert set(commands) <= set(targets)


def test_no_lock_file_names_a_host_or_an_index() -> None:
    for lock in ROOT.glob("*.lock"):
        assert not re.search(r"https?://|--index-url|--find-links", lock.read_text("utf-8"))


def _shape(value: Any) -> Any:
    """The names and kinds of a JSON value, the first element standing for a whole array."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: _shape(members[name]) for name in sorted(members)}
    if isinstance(value, list):
        elements = cast("list[Any]", value)
        return [_shape(elements[0])] if elements else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
