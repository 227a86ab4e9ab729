"""Which URLs may be asked, before any name is resolved."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from app.errors import ErrorCode, ImageError
from app.fetch import FetchPolicy
from app.fetch.urls import ImageUrl, check_redirect, check_url

MAX_CHARS = 200


def checked(text: str) -> ImageUrl:
    return check_url(text, FetchPolicy(), MAX_CHARS)


def message_of(text: str) -> str:
    with pytest.raises(ImageError) as caught:
        checked(text)
    assert caught.value.code == ErrorCode.URL_BLOCKED
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "host", "asked"),
    [
        ("https://photos.test/a.jpg", "photos.test", "https://photos.test/a.jpg"),
        ("HTTPS://Photos.TEST/A.jpg", "photos.test", "https://photos.test/A.jpg"),
        ("https://photos.test:443/a.jpg?x=1&y=%20#part", "photos.test", "https://photos.test/a.jpg?x=1&y=%20"),
        ("https://photos.test", "photos.test", "https://photos.test"),
        ("https://bücher.test/ü.jpg", "xn--bcher-kva.test", "https://xn--bcher-kva.test/%C3%BC.jpg"),
        ("https://my_bucket.s3.test/a", "my_bucket.s3.test", "https://my_bucket.s3.test/a"),
        ("https://8.8.8.8/a", "8.8.8.8", "https://8.8.8.8/a"),
        ("https://[2606:4700::1]/a", "2606:4700::1", "https://[2606:4700::1]/a"),
        ("https://1.2.3.4.photos.test/a", "1.2.3.4.photos.test", "https://1.2.3.4.photos.test/a"),
    ],
)
def test_a_plain_https_url_may_be_asked(text: str, host: str, asked: str) -> None:
    url = checked(text)

    assert (url.host, url.port, url.place, str(url.url)) == (host, 443, host, asked)


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7F000001", "017700000001", "0", "4294967296"),
        *("127.1", "127.0.1", "0x7f.1", "0x7f.0.0.1", "0177.0.0.1", "0177.1", "127.0.0.01", "127.0.0.0x1"),
        *("127.0.0.1.", "127.0.0.1.5", "256.0.0.1", "photos.1", "photos.0x", "photos.0x7f"),
    ],
)
def test_an_odd_spelling_of_an_ipv4_address_is_refused(host: str) -> None:
    message_of(f"https://{host}/a.jpg")


@pytest.mark.parametrize("host", ["127。0。0。1", "127．0．0．1", "127｡0｡0｡1"])  # noqa: RUF001 - the point
def test_an_ipv4_address_with_foreign_dots_is_that_address(host: str) -> None:
    assert checked(f"https://{host}/a.jpg").address == IPv4Address("127.0.0.1")


def test_an_ipv6_address_is_judged_as_one() -> None:
    assert checked("https://[::ffff:127.0.0.1]/").address == IPv6Address("::ffff:127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        *("１２７.0.0.1", "①②⑦.⓪.⓪.①", "photos.tést\u0000", "%31%32%37.0.0.1", "photos%2etest", "photos.test%00"),  # noqa: RUF001
        *("photos..test", ".photos.test", "photos.test.", "photos test", "photos\\.test", "[::1", "[photos.test]"),
        *("a" * 64 + ".test", ".".join(["a" * 60] * 5), "xn--\udcff", "photos.test\r\nhost: x", "$HOME", "*", ""),
    ],
)
def test_a_host_that_is_no_plain_name_is_refused(host: str) -> None:
    with pytest.raises(ImageError):
        check_url(f"https://{host}/a.jpg", FetchPolicy(), 1_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://photos.test/a", "photos.test: only https is fetched, not http"),
        ("ftp://photos.test/a", "photos.test: only https is fetched, not ftp"),
        ("//photos.test/a", "photos.test: only https is fetched, not a URL without a scheme"),
        ("file:///etc/passwd", "the URL: it has no host; a whole URL is needed, from https:// on"),
        ("data:image/png;base64,AAAA", "the URL: it has no host; a whole URL is needed, from https:// on"),
        ("a.jpg", "the URL: it has no host; a whole URL is needed, from https:// on"),
        ("", "the URL: it has no host; a whole URL is needed, from https:// on"),
        ("https:///a", "the URL: it has no host; a whole URL is needed, from https:// on"),
        ("https://me:pw@photos.test/a", "photos.test: the URL holds credentials, which are not sent"),
        ("https://me@photos.test/a", "photos.test: the URL holds credentials, which are not sent"),
        ("https://good.test\\@photos.test/a", "photos.test: the URL holds credentials, which are not sent"),
        ("https://photos.test:80/a", "photos.test: port 80 is not asked, only 443"),
        ("https://photos.test:0/a", "photos.test: port 0 is not asked, only 443"),
        ("https://photos.test:-443/a", "photos.test: port -443 is not asked, only 443"),
        ("https://photos.test:https/a", "the URL: it cannot be read as a URL"),
        ("https://photos.test/\ud800", "the URL: it cannot be read as a URL"),
        ("https://photos.test/" + "a" * 181, "the URL: 201 characters; the limit is 200"),
    ],
)
def test_a_url_of_another_kind_is_refused_with_the_reason(text: str, message: str) -> None:
    assert message_of(text) == message


def test_a_url_of_exactly_the_longest_length_may_be_asked() -> None:
    assert checked("https://photos.test/" + "a" * 180).host == "photos.test"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("b.jpg", "https://photos.test/album/b.jpg"),
        ("../b.jpg", "https://photos.test/b.jpg"),
        ("/b.jpg?y=2#part", "https://photos.test/b.jpg?y=2"),
        ("?y=2", "https://photos.test/album/a.jpg?y=2"),
        ("//cdn.test/b.jpg", "https://cdn.test/b.jpg"),
        ("https://cdn.test/b.jpg", "https://cdn.test/b.jpg"),
    ],
)
def test_a_redirect_may_be_relative(location: str, target: str) -> None:
    url = check_redirect(checked("https://photos.test/album/a.jpg?x=1"), location, FetchPolicy(), MAX_CHARS, "hop")

    assert (str(url.url), url.place) == (target, "hop")


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://photos.test/a", "hop: it leads from https to http"),
        ("https://me:pw@photos.test/a", "hop: the URL holds credentials, which are not sent"),
        ("https://photos.test:8443/a", "hop: port 8443 is not asked, only 443 or 80"),
        ("https://2130706433/a", "hop: its host is a number; an address is four decimal numbers"),
        ("https://photos.test:x/a", "hop: it cannot be read as a URL"),
        ("file:///etc/passwd", "hop: it has no host; a whole URL is needed, from https:// on"),
        ("a" * 201, "hop: 201 characters; the limit is 200"),
    ],
)
def test_a_redirect_is_checked_like_the_url_and_must_stay_with_https(location: str, message: str) -> None:
    policy = FetchPolicy(schemes=frozenset({"http", "https"}), ports=frozenset({80, 443}))

    with pytest.raises(ImageError) as caught:
        check_redirect(checked("https://photos.test/a"), location, policy, MAX_CHARS, "hop")

    assert (caught.value.code, caught.value.message) == (ErrorCode.URL_BLOCKED, message)
