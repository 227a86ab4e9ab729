"""Compressed request bodies: gzip is decoded, under the cap; everything else is refused."""

import gzip
import zlib

import httpx2
import pytest

from tests.sandbox.pictures import message_body, text_block

HELLO = httpx2.Request("POST", "http://x", json=message_body(text_block("hello"))).read()
INVALID = {
    "type": "invalid_request_error",
    "message": "The request body is not valid gzip",
    "details": {"error_code": "request_body_encoding_invalid"},
}


def post(client: httpx2.Client, body: bytes, encoding: str) -> httpx2.Response:
    return client.post("/v1/messages", content=body, headers={"content-encoding": encoding})


@pytest.mark.parametrize("encoding", ["gzip", "GZIP"])
def test_a_gzip_body_is_read(client: httpx2.Client, encoding: str) -> None:
    assert post(client, gzip.compress(HELLO), encoding).json()["usage"]["input_tokens"] == 10


def test_identity_is_no_encoding(client: httpx2.Client) -> None:
    assert post(client, HELLO, "identity").status_code == 200


@pytest.mark.parametrize("encoding", ["zstd", "br", "deflate", "gzip, gzip"])
def test_another_encoding_is_refused(client: httpx2.Client, encoding: str) -> None:
    answer = post(client, HELLO, encoding)

    assert (answer.status_code, answer.json()["error"]) == (
        400,
        {
            "type": "invalid_request_error",
            "message": f"Content-Encoding '{encoding}' is not supported; send gzip, or no encoding at all",
            "details": {"error_code": "request_body_encoding_unsupported"},
        },
    )


@pytest.mark.parametrize(
    "body",
    [
        HELLO,
        zlib.compress(HELLO),
        gzip.compress(HELLO)[:-1],
        gzip.compress(HELLO)[:-8] + bytes(8),
        gzip.compress(HELLO) + b"more",
        gzip.compress(HELLO) * 2,
        b"",
    ],
)
def test_a_body_that_is_no_gzip_is_refused(client: httpx2.Client, body: bytes) -> None:
    answer = post(client, body, "gzip")

    assert (answer.status_code, answer.json()["error"]) == (400, INVALID)


def test_a_body_of_exactly_32_000_000_bytes_after_decoding_is_read(client: httpx2.Client) -> None:
    assert post(client, gzip.compress(HELLO.ljust(32_000_000)), "gzip").status_code == 200


def test_one_byte_more_after_decoding_is_refused_by_the_api_itself(client: httpx2.Client) -> None:
    answer = post(client, gzip.compress(HELLO.ljust(32_000_001)), "gzip")

    assert (answer.status_code, answer.json()) == (
        413,
        {
            "type": "error",
            "error": {
                "type": "request_too_large",
                "message": "Request exceeds the maximum size of 32000000 bytes after decoding",
                "details": {"error_code": "request_body_too_large_after_decoding"},
            },
            "request_id": answer.headers["request-id"],
        },
    )


def test_the_journal_counts_the_bytes_as_they_were_sent(client: httpx2.Client) -> None:
    body = gzip.compress(HELLO)
    post(client, body, "gzip")

    [visit] = client.get("/sandbox/journal").json()
    assert (visit["body_bytes"], visit["headers"]["content-encoding"], visit["fields"]) == (
        len(body),
        "gzip",
        ["max_tokens", "messages", "model"],
    )
