"""Downloads from a real server on this machine, which each test allows for itself alone."""

import gzip
from collections.abc import Sequence
from ipaddress import IPv4Address

import anyio
import pytest
from anyio.abc import AnyByteStream
from anyio.lowlevel import checkpoint

from app.errors import ErrorCode
from app.fetch import FetchedImage, Fetcher, FetchLimits, FetchPolicy
from tests.fetch.loopback import (
    GIVE_UP_S,
    LOOPBACK,
    PICTURE,
    Names,
    Reply,
    fetcher_for,
    loopback_policy,
    photos_test,
    redirect,
    refusal,
    reply,
    serving,
)

pytestmark = pytest.mark.anyio

SHORT = FetchLimits(timeout_s=0.3)
SMALL = FetchLimits(timeout_s=GIVE_UP_S, max_bytes=1_000)


def picture_of(size_bytes: int) -> bytes:
    return b"x" * size_bytes


async def say_nothing(stream: AnyByteStream) -> None:
    del stream
    await anyio.sleep_forever()


async def drip(stream: AnyByteStream) -> None:
    """A byte now and then, without end: no single read takes long."""
    await stream.send(reply(content_length="1000000"))
    while True:
        await stream.send(b"x")
        await anyio.sleep(0.01)


async def flood(stream: AnyByteStream) -> None:
    """Bytes without end, and no word of how many."""
    await stream.send(reply(content_length=""))
    while True:
        await stream.send(picture_of(100))


def announce(size_bytes: int) -> Reply:
    """A length, and then silence."""

    async def send(stream: AnyByteStream) -> None:
        await stream.send(reply(content_length=str(size_bytes)))
        await anyio.sleep_forever()

    return send


async def test_a_picture_is_fetched() -> None:
    async with (
        serving({"/cat.png": reply(body=PICTURE, content_type="Image/PNG; q=1")}) as server,
        fetcher_for(server) as fetcher,
    ):
        fetched = await fetcher.fetch(server.url("/cat.png"))

    assert fetched == FetchedImage(PICTURE, "photos.test", "image/png")


async def test_a_picture_of_no_said_length_and_type_is_fetched() -> None:
    async with (
        serving({"/cat.png": reply(body=PICTURE, content_length="")}) as server,
        fetcher_for(server) as fetcher,
    ):
        fetched = await fetcher.fetch(server.url("/cat.png"))

    assert fetched == FetchedImage(PICTURE, "photos.test", None)


async def test_a_request_says_who_asks_and_nothing_else() -> None:
    async with (
        serving({"/cat.png": reply(body=PICTURE)}) as server,
        fetcher_for(server) as fetcher,
    ):
        await fetcher.fetch(server.url("/cat.png"))

    assert server.asked[0].headers == {
        "host": f"photos.test:{server.port}",
        "user-agent": "vision-proxy/0.1 (+image fetch)",
        "accept": "image/*",
        "accept-encoding": "identity",
        "connection": "close",
    }


async def test_the_query_is_sent_and_the_fragment_is_not() -> None:
    async with (
        serving({"/cat.png": reply(body=PICTURE)}) as server,
        fetcher_for(server) as fetcher,
    ):
        await fetcher.fetch(server.url("/cat.png?signature=a%2Fb#part"))

    assert server.targets == ["/cat.png?signature=a%2Fb"]


async def test_cookies_are_not_kept() -> None:
    replies = {
        "/a": redirect("/b", set_cookie="session=1; Path=/"),
        "/b": reply(body=PICTURE, set_cookie="session=2; Path=/"),
    }
    async with serving(replies) as server, fetcher_for(server) as fetcher:
        await fetcher.fetch(server.url("/a"))
        await fetcher.fetch(server.url("/b"))

    assert [request.headers.get("cookie") for request in server.asked] == [None, None, None]


@pytest.mark.parametrize(
    "variable", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
)
async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    async with serving({}) as proxy, serving({"/cat.png": reply(body=PICTURE)}) as server:
        monkeypatch.setenv(variable, proxy.url("", host="127.0.0.1"))
        async with fetcher_for(server) as fetcher:
            await fetcher.fetch(server.url("/cat.png"))

    assert (proxy.targets, server.targets) == ([], ["/cat.png"])


async def test_an_address_in_the_url_is_not_resolved() -> None:
    names = Names()
    async with serving({"/cat.png": reply(body=PICTURE)}) as server, fetcher_for(server, names=names) as fetcher:
        await fetcher.fetch(server.url("/cat.png", host="127.0.0.1"))

    assert names.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "photos.test", "[::ffff:127.0.0.1]", "127。0。0。1"])
async def test_this_machine_is_refused_unless_a_test_allows_it(host: str) -> None:
    async with serving({"/cat.png": reply(body=PICTURE)}) as server:
        policy = FetchPolicy(schemes=frozenset({"http"}), ports=frozenset({server.port}))
        async with fetcher_for(server, policy=policy) as fetcher:
            error = await refusal(fetcher, server.url("/cat.png", host=host))

    assert (error.code, error.message.partition(": ")[2]) == (
        ErrorCode.URL_BLOCKED,
        "its address is not on the public internet",
    )
    assert server.asked == []


async def test_the_defaults_allow_neither_http_nor_another_port() -> None:
    assert (FetchPolicy().schemes, FetchPolicy().ports) == ({"https"}, {443})
    assert not FetchPolicy().allows(LOOPBACK)


async def test_names_of_this_machine_are_refused_by_the_machines_own_resolver() -> None:
    fetcher = Fetcher(FetchLimits(timeout_s=GIVE_UP_S))

    error = await refusal(fetcher, "https://localhost/cat.png")
    await fetcher.close()

    assert (error.code, error.message) == (
        ErrorCode.URL_BLOCKED,
        "localhost: its address is not on the public internet",
    )


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1", "10.0.0.1"],
        ["10.0.0.1", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8", "::1"],
        ["127.0.0.1", "fe80::1%2"],
        ["127.0.0.1", "::ffff:127.0.0.1"],
    ],
)
async def test_one_address_that_is_not_public_refuses_them_all(answer: Sequence[str]) -> None:
    async with (
        serving({"/cat.png": reply(body=PICTURE)}) as server,
        fetcher_for(server, names=Names(photos=[answer])) as fetcher,
    ):
        error = await refusal(fetcher, server.url("/cat.png"))

    assert (error.code, server.asked) == (ErrorCode.URL_BLOCKED, [])


async def test_a_name_is_resolved_once_and_the_connection_goes_to_the_address_that_was_checked() -> None:
    names = Names(photos=[["127.0.0.1"], ["127.0.0.2"]])
    async with serving({"/cat.png": reply(body=PICTURE)}) as server, fetcher_for(server, names=names) as fetcher:
        fetched = await fetcher.fetch(server.url("/cat.png"))

    assert (names.asked, fetched.data, server.targets) == (["photos.test"], PICTURE, ["/cat.png"])


async def test_a_name_that_leads_elsewhere_after_a_redirect_is_checked_anew() -> None:
    names = Names(photos=[["127.0.0.1"], ["127.0.0.2"]])
    async with (
        serving({"/a": redirect("/b"), "/b": reply(body=PICTURE)}) as server,
        fetcher_for(server, names=names) as fetcher,
    ):
        error = await refusal(fetcher, server.url("/a"))

    assert (error.code, error.message) == (
        ErrorCode.URL_BLOCKED,
        "redirect 1 of photos.test: its address is not on the public internet",
    )
    assert server.targets == ["/a"]


async def test_the_next_address_is_tried_where_one_takes_no_connection() -> None:
    """No server listens on 127.0.0.2."""
    async with serving({"/cat.png": reply(body=PICTURE)}) as server:
        policy = FetchPolicy(
            schemes=frozenset({"http"}),
            ports=frozenset({server.port}),
            more_addresses=frozenset({LOOPBACK, IPv4Address("127.0.0.2")}),
        )
        names = Names(photos=[["127.0.0.2", "127.0.0.1"]])
        async with fetcher_for(server, names=names, policy=policy) as fetcher:
            fetched = await fetcher.fetch(server.url("/cat.png"))

    assert fetched.data == PICTURE


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://169.254.169.254:{port}/latest/meta-data/",
        "http://127.0.0.1:{other}/b",
        "http://photos.test:{other}/b",
        "http://127.0.0.2:{port}/b",
        "http://[::1]:{port}/b",
        "http://[::ffff:127.0.0.1]:{port}/b",
        "http://2130706433:{port}/b",
        "http://0x7f.1:{port}/b",
        "http://inside.test:{port}/b",
        "http://me:pw@photos.test:{port}/b",
        "//10.0.0.1:{port}/b",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/b",
    ],
)
async def test_a_redirect_to_what_is_not_allowed_is_refused(location: str) -> None:
    names = Names(photos=[["127.0.0.1"]] * 2, inside=[["10.0.0.1"]])
    replies: dict[str, Reply] = {"/b": reply(body=PICTURE)}
    async with serving(replies) as other, serving(replies) as server:
        replies["/a"] = redirect(location.format(port=server.port, other=other.port))
        async with fetcher_for(server, names=names) as fetcher:
            error = await refusal(fetcher, server.url("/a"))

    assert (error.code, server.targets, other.targets) == (ErrorCode.URL_BLOCKED, ["/a"], [])


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_relative_redirect_is_followed(status: str) -> None:
    replies = {"/album/a": reply(status, location="../b?size=1"), "/b": reply(body=PICTURE)}
    async with serving(replies) as server, fetcher_for(server) as fetcher:
        fetched = await fetcher.fetch(server.url("/album/a"))

    assert (fetched.data, server.targets) == (PICTURE, ["/album/a", "/b?size=1"])


async def test_the_host_of_the_last_hop_is_told() -> None:
    names = Names(photos=[["127.0.0.1"]], cdn=[["127.0.0.1"]])
    replies: dict[str, Reply] = {"/b": reply(body=PICTURE)}
    async with serving(replies) as server, fetcher_for(server, names=names) as fetcher:
        replies["/a"] = redirect(server.url("/b", host="cdn.test"))
        fetched = await fetcher.fetch(server.url("/a"))

    assert (fetched.host, names.asked) == ("cdn.test", ["photos.test", "cdn.test"])
    assert [request.headers["host"] for request in server.asked] == [
        f"photos.test:{server.port}",
        f"cdn.test:{server.port}",
    ]


async def test_five_redirects_are_followed() -> None:
    replies = {f"/{hop}": redirect(f"/{hop + 1}") for hop in range(5)} | {"/5": reply(body=PICTURE)}
    async with serving(replies) as server, fetcher_for(server) as fetcher:
        fetched = await fetcher.fetch(server.url("/0"))

    assert fetched.data == PICTURE


async def test_the_sixth_redirect_is_not_followed() -> None:
    replies = {f"/{hop}": redirect(f"/{hop + 1}") for hop in range(6)} | {"/6": reply(body=PICTURE)}
    async with serving(replies) as server, fetcher_for(server) as fetcher:
        error = await refusal(fetcher, server.url("/0"))

    assert (error.code, error.message) == (ErrorCode.URL_UNREACHABLE, "photos.test: more than 5 redirects")
    assert server.targets == ["/0", "/1", "/2", "/3", "/4", "/5"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply("404 Not Found"), "photos.test: the server answered with status 404"),
        (reply("403 Forbidden"), "photos.test: the server answered with status 403"),
        (reply("500 Oops", PICTURE), "photos.test: the server answered with status 500"),
        (reply("206 Partial Content", PICTURE), "photos.test: the server answered with status 206"),
        (reply("304 Not Modified"), "photos.test: the server answered with status 304"),
        (reply("302 Found"), "photos.test: status 302, a redirect that leads nowhere"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "photos.test: the connection broke off, or the answer is not HTTP"),
        (b"", "photos.test: the connection broke off, or the answer is not HTTP"),
        (
            reply(body=PICTURE, content_length="1000"),
            "photos.test: the connection broke off, or the answer is not HTTP",
        ),
        (
            reply(body=PICTURE, content_encoding="br"),
            "photos.test: the server compressed its answer, although asked not to",
        ),
    ],
)
async def test_an_answer_without_a_picture_is_refused_with_the_reason(answer: bytes, message: str) -> None:
    async with serving({"/cat.png": answer}) as server, fetcher_for(server) as fetcher:
        error = await refusal(fetcher, server.url("/cat.png"))

    assert (error.code, error.message) == (ErrorCode.URL_UNREACHABLE, message)


async def test_the_status_of_a_refusal_is_in_its_details() -> None:
    async with serving({"/cat.png": reply("404 Not Found")}) as server, fetcher_for(server) as fetcher:
        error = await refusal(fetcher, server.url("/cat.png"))

    assert error.details == {"status": 404, "hint": "send the picture itself, as a file or as base64"}


async def test_a_redirects_failure_names_the_host_that_the_client_gave() -> None:
    replies = {"/a": redirect("/b"), "/b": reply("404 Not Found")}
    async with serving(replies) as server, fetcher_for(server) as fetcher:
        error = await refusal(fetcher, server.url("/a"))

    assert error.message == "redirect 1 of photos.test: the server answered with status 404"


async def test_a_name_without_an_address_is_unreachable() -> None:
    async with serving({}) as server, fetcher_for(server, names=Names()) as fetcher:
        error = await refusal(fetcher, server.url("/cat.png"))

    assert (error.code, error.message) == (ErrorCode.URL_UNREACHABLE, "photos.test: no address is known for it")


async def test_a_server_that_takes_no_connection_is_unreachable() -> None:
    async with serving({}) as server:
        pass
    async with fetcher_for(server) as fetcher:
        error = await refusal(fetcher, server.url("/cat.png"))

    assert (error.code, error.message) == (ErrorCode.URL_UNREACHABLE, "photos.test: it cannot be connected to")


async def test_a_picture_that_says_it_is_too_large_is_refused_before_it_comes() -> None:
    async with serving({"/cat.png": announce(1_001)}) as server, fetcher_for(server, limits=SMALL) as fetcher:
        error = await refusal(fetcher, server.url("/cat.png"))

    assert (error.code, error.message, error.details["actual"], error.details["limit"]) == (
        ErrorCode.URL_TOO_LARGE,
        "photos.test: the picture is 1001 bytes; the limit is 1000 bytes",
        1_001,
        1_000,
    )


async def test_a_picture_that_does_not_end_is_cut_at_the_limit() -> None:
    async with serving({"/cat.png": flood}) as server, fetcher_for(server, limits=SMALL) as fetcher:
        error = await refusal(fetcher, server.url("/cat.png"))

    assert (error.code, error.message) == (
        ErrorCode.URL_TOO_LARGE,
        "photos.test: the picture is more than 1000 bytes; the limit is 1000 bytes",
    )


@pytest.mark.parametrize("content_length", ["1000", ""])
async def test_a_picture_of_exactly_the_limit_is_fetched(content_length: str) -> None:
    whole = reply(body=picture_of(1_000), content_length=content_length)
    async with serving({"/cat.png": whole}) as server, fetcher_for(server, limits=SMALL) as fetcher:
        fetched = await fetcher.fetch(server.url("/cat.png"))

    assert len(fetched.data) == 1_000


async def test_a_gzip_bomb_is_not_inflated_although_it_says_it_is_a_picture() -> None:
    bomb = gzip.compress(picture_of(1_000_000))
    async with (
        serving({"/cat.png": reply(body=bomb, content_encoding="gzip")}) as server,
        fetcher_for(server) as fetcher,
    ):
        error = await refusal(fetcher, server.url("/cat.png"))

    assert error.message == "photos.test: the server compressed its answer, although asked not to"


@pytest.mark.parametrize("behaviour", [drip, say_nothing, announce(100)])
async def test_a_slow_server_is_cut_by_the_one_deadline(behaviour: Reply) -> None:
    async with serving({"/cat.png": behaviour}) as server, fetcher_for(server, limits=SHORT) as fetcher:
        error = await refusal(fetcher, server.url("/cat.png"))

    assert (error.code, error.message) == (ErrorCode.URL_UNREACHABLE, "photos.test: not fetched within 0.3 s")


async def test_a_slow_name_server_is_cut_by_the_same_deadline() -> None:
    class Silent(Names):
        async def resolve(self, host: str, port: int) -> Sequence[str]:
            del host, port
            await anyio.sleep_forever()
            raise AssertionError

    async with serving({}) as server, fetcher_for(server, names=Silent(), limits=SHORT) as fetcher:
        error = await refusal(fetcher, server.url("/cat.png"))

    assert (error.code, error.message) == (ErrorCode.URL_UNREACHABLE, "photos.test: not fetched within 0.3 s")


async def test_a_redirect_does_not_begin_the_deadline_anew() -> None:
    """Each hop alone is well within it."""
    hops = 1_000

    async def pause_then_redirect(stream: AnyByteStream) -> None:
        await anyio.sleep(0.1)
        await stream.send(redirect("/a"))

    limits = FetchLimits(timeout_s=0.3, max_redirects=hops)
    names = photos_test(hops)
    async with (
        serving({"/a": pause_then_redirect}) as server,
        fetcher_for(server, names=names, limits=limits) as fetcher,
    ):
        error = await refusal(fetcher, server.url("/a"))

    assert error.message == "photos.test: not fetched within 0.3 s"


async def test_a_download_that_was_cut_leaves_room_for_the_next() -> None:
    limits = FetchLimits(timeout_s=0.3, max_connections=1)
    async with (
        serving({"/slow": say_nothing, "/cat.png": reply(body=PICTURE)}) as server,
        fetcher_for(server, limits=limits) as fetcher,
    ):
        await refusal(fetcher, server.url("/slow"))
        fetched = await fetcher.fetch(server.url("/cat.png"))

    assert fetched.data == PICTURE


async def test_a_body_in_tiny_pieces_does_not_hold_the_event_loop() -> None:
    pieces = 5_000
    body = b"1\r\nx\r\n" * pieces + b"0\r\n\r\n"
    chunked = reply(content_length="", transfer_encoding="chunked") + body
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with (
        serving({"/cat.png": chunked}) as server,
        fetcher_for(server) as fetcher,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(count_turns)
        await fetcher.fetch(server.url("/cat.png"))
        tasks.cancel_scope.cancel()

    assert turns >= pieces


async def test_closing_closes_the_resolver() -> None:
    names = photos_test()
    async with serving({}) as server, fetcher_for(server, names=names):
        pass

    assert names.closed


@pytest.mark.parametrize(
    ("answer", "addresses"),
    [
        pytest.param(reply("404 Not Found"), ["127.0.0.1"], id="status"),
        pytest.param(redirect("http://169.254.169.254/?token=hidden"), ["127.0.0.1"], id="blocked redirect"),
        pytest.param(redirect("/cat.png?token=hidden"), ["127.0.0.1"], id="endless redirects"),
        pytest.param(redirect("http://inside.test:{port}/?token=hidden"), ["127.0.0.1"], id="unknown redirect"),
        pytest.param(reply(content_length="9" * 12), ["127.0.0.1"], id="too large"),
        pytest.param(reply(content_encoding="gzip"), ["127.0.0.1"], id="compressed"),
        pytest.param(b"", ["127.0.0.1"], id="broken off"),
        pytest.param(say_nothing, ["127.0.0.1"], id="deadline"),
        pytest.param(b"", ["10.11.12.13"], id="blocked"),
        pytest.param(b"", ["127.0.0.3"], id="refused"),
        pytest.param(b"", [], id="no address"),
    ],
)
async def test_no_refusal_tells_the_query_or_an_address(answer: Reply, addresses: Sequence[str]) -> None:
    async with serving({"/cat.png": answer}) as server:
        allowed = loopback_policy(server)
        more = allowed.more_addresses | {IPv4Address("127.0.0.3")}
        policy = FetchPolicy(allowed.schemes, allowed.ports, more)
        async with fetcher_for(server, names=Names(photos=[addresses] * 9), limits=SHORT, policy=policy) as fetcher:
            error = await refusal(fetcher, server.url("/cat.png?signature=hidden#hidden"))

    told = f"{error.message} {error.details}"
    assert "photos.test" in error.message
    assert not [word for word in ("hidden", "inside", "127.", "169.", "10.") if word in told]
