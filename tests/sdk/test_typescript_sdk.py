"""The official TypeScript SDK, unchanged but for its `baseURL`: one run of `typescript/run.mjs`, judged by its JSON."""

import base64
import json
import secrets
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest

Maker = Callable[..., bytes]

HERE = Path(__file__).parent / "typescript"
MODEL = "claude-sonnet-5-5"


@pytest.fixture(scope="module")
def project(request: pytest.FixtureRequest) -> Path:
    """A folder with `run.mjs` and the locked SDK beside it, installed once for each lock file."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed; the TypeScript SDK cannot run")
    cache: pytest.Cache = request.config.cache  # pyright: ignore[reportAssignmentType] - None before it is configured
    names = ("package.json", "package-lock.json", ".npmrc", "run.mjs")
    key = sha256(b"".join((HERE / name).read_bytes() for name in names)).hexdigest()[:16]
    installed = cache.mkdir("typescript-sdk") / key
    if not installed.is_dir():
        _install(npm, names, installed)
    return installed


def _install(npm: str, names: tuple[str, ...], into: Path) -> None:
    """The folder, there from one moment to the next: another process may be making the same one."""
    making = into.with_name(f"{into.name}.{secrets.token_hex(4)}")
    making.mkdir()
    for name in names:
        shutil.copy(HERE / name, making)
    arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run([npm, *arguments], cwd=making, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    assert done.returncode == 0, f"npm ci failed:\n{done.stderr}"
    try:
        making.rename(into)
    except OSError:
        shutil.rmtree(making)
        if not into.is_dir():
            raise


@pytest.fixture(scope="module")
def results(project: Path, service: httpx2.Client, photo: Maker) -> dict[str, Any]:
    """What the SDK gave, call by call."""
    asked = {"baseURL": str(service.base_url), "picture": base64.b64encode(photo(3000, 2000)).decode()}
    node: str = shutil.which("node") or ""
    done = subprocess.run(  # noqa: S603 - our own script
        [node, "run.mjs"],
        cwd=project,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_create_gives_a_message_with_its_cost(results: dict[str, Any]) -> None:
    created = results["create"]

    assert (created["stopReason"], float(created["costHeader"])) == ("end_turn", created["cost"])
    assert "sent as 2352x1568 px" in created["text"]
    assert created["requestId"].startswith("req_sandbox_")


def test_stream_gives_the_same_text_piece_by_piece(results: dict[str, Any]) -> None:
    streamed, created = results["stream"], results["create"]

    assert streamed["heard"] == streamed["text"] == created["text"]
    assert streamed["cost"] == created["cost"]


def test_tokens_are_counted(results: dict[str, Any]) -> None:
    assert results["countTokens"] == 84 * 56 + 11


def test_a_wrong_label_is_set_right(results: dict[str, Any]) -> None:
    assert "Image 1: JPEG, sent as 2352x1568 px" in results["wrongLabel"]["text"]


def test_beta_messages_keep_their_fields(results: dict[str, Any]) -> None:
    assert results["beta"]["stopReason"] == "end_turn"


def test_models_are_listed_over_pages(results: dict[str, Any], sandbox: httpx2.Client) -> None:
    listed = [model["id"] for model in sandbox.get("/v1/models").json()["data"]]

    assert results["models"] == {"listed": listed, "vision": "high"}


def error(kind: str, status: int | None, error_type: str, code: str | None = None) -> dict[str, Any]:
    found = {"kind": kind, "status": status, "type": error_type, "code": code}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("ours", error("BadRequestError", 400, "invalid_request_error", "unsupported_format")),
        ("unknownModel", error("NotFoundError", 404, "not_found_error")),
        ("rateLimit", error("RateLimitError", 429, "rate_limit_error")),
        ("overloaded", error("OverloadedError", 529, "overloaded_error")),
    ],
)
def test_errors_are_raised_as_their_types(results: dict[str, Any], case: str, expected: dict[str, Any]) -> None:
    raised = {name: value for name, value in results["errors"][case].items() if value is not None}

    assert raised == expected


def test_an_error_inside_a_stream_is_raised_from_it(results: dict[str, Any]) -> None:
    assert results["errors"]["insideStream"]["type"] == "overloaded_error"


def test_a_file_is_uploaded_used_listed_and_deleted(results: dict[str, Any]) -> None:
    files = results["files"]

    assert "sent as 1999x1333 px" in files["text"]
    assert {name: files[name] for name in ("name", "wasListed", "deletedIt")} == {
        "name": "photo.jpg",
        "wasListed": True,
        "deletedIt": True,
    }
    assert files["gone"]["kind"] == "NotFoundError"
