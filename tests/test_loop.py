"""The event loop stays free: health answers come through while pictures are being prepared."""

from collections.abc import Callable
from threading import Event, Thread

import httpx2

Maker = Callable[..., bytes]


def test_livez_and_readyz_answer_while_large_pictures_are_prepared(service: httpx2.Client, photo: Maker) -> None:
    """No time is asserted: the answers must come before the pictures are done, and many of them."""
    picture = photo(4000, 3000)
    files = [("image", (f"{number}.jpg", picture)) for number in range(6)]
    done = Event()

    def prepare() -> None:
        try:
            httpx2.post(f"{service.base_url}/v1/normalize", files=files, timeout=120).raise_for_status()
        finally:
            done.set()

    worker = Thread(target=prepare)
    worker.start()
    answered = 0
    while not done.is_set():
        assert service.get("/livez").json() == {"status": "ok"}
        assert service.get("/readyz").json() == {"status": "ready"}
        answered += 1
    worker.join()

    assert answered >= 20
