"""Certificates are verified for the host of the URL, although the connection goes to an address."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.errors import ErrorCode
from app.fetch import FetchLimits
from tests.fetch.loopback import PICTURE, Names, fetcher_for, refusal, reply, serving

pytestmark = pytest.mark.anyio

REPLIES = {"/cat.png": reply(body=PICTURE)}
NOT_VERIFIED = (ErrorCode.URL_UNREACHABLE, "its certificate cannot be verified")


@dataclass(frozen=True)
class Certificate:
    """Signed by itself, for photos.test alone."""

    file: Path
    key: Path

    def server(self, asked_names: list[str | None] | None = None) -> ssl.SSLContext:
        """For a server that presents it and writes down which names it is asked for."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        if asked_names is not None:
            context.sni_callback = lambda _, name, __: asked_names.append(name)
        return context

    def trusting(self) -> ssl.SSLContext:
        """For a client that takes it as an authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.file)
        return context


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the program openssl, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", "/CN=photos.test", "-addext", "subjectAltName=DNS:photos.test", "-days", "2"]
    files = ["-out", str(made.file), "-keyout", str(made.key)]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True)  # noqa: S603 - nothing from outside
    return made


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Certificate) -> None:
    async with serving(REPLIES, certificate.server()) as server, fetcher_for(server) as fetcher:
        error = await refusal(fetcher, server.url("/cat.png", scheme="https"))

    assert (error.code, error.message.partition(": ")[2]) == NOT_VERIFIED
    assert server.asked == []


async def test_a_certificate_is_verified_for_the_host_and_not_for_the_address(certificate: Certificate) -> None:
    names: list[str | None] = []
    async with (
        serving(REPLIES, certificate.server(names)) as server,
        fetcher_for(server, tls=certificate.trusting()) as fetcher,
    ):
        fetched = await fetcher.fetch(server.url("/cat.png", scheme="https"))

    assert (fetched.data, names) == (PICTURE, ["photos.test"])
    assert server.asked[0].headers["host"] == f"photos.test:{server.port}"


async def test_a_certificate_of_another_host_is_refused_at_an_address_that_was_trusted_before(
    certificate: Certificate,
) -> None:
    names = Names(photos=[["127.0.0.1"]], other=[["127.0.0.1"]])
    async with (
        serving(REPLIES, certificate.server()) as server,
        fetcher_for(server, names=names, tls=certificate.trusting()) as fetcher,
    ):
        await fetcher.fetch(server.url("/cat.png", scheme="https"))
        error = await refusal(fetcher, server.url("/cat.png", host="other.test", scheme="https"))

    assert (error.code, error.message.partition(": ")[2]) == NOT_VERIFIED
    assert server.targets == ["/cat.png"]


async def test_a_redirect_from_https_to_http_is_refused(certificate: Certificate) -> None:
    replies: dict[str, bytes] = {}
    async with serving(replies, certificate.server()) as server:
        replies["/a"] = reply("302 Found", location=server.url("/cat.png"))
        async with fetcher_for(server, tls=certificate.trusting()) as fetcher:
            error = await refusal(fetcher, server.url("/a", scheme="https"))

    assert (error.code, error.message) == (
        ErrorCode.URL_BLOCKED,
        "redirect 1 of photos.test: it leads from https to http",
    )


async def test_a_server_without_tls_is_unreachable_by_https() -> None:
    limits = FetchLimits(connect_timeout_s=0.3)
    async with serving(REPLIES) as server, fetcher_for(server, limits=limits) as fetcher:
        error = await refusal(fetcher, server.url("/cat.png", scheme="https"))

    assert (error.code, error.message) == (
        ErrorCode.URL_UNREACHABLE,
        "photos.test: it did not accept a connection in time",
    )
