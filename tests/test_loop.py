"""Health: answers come through while pictures are being prepared, and say when the database is gone."""

from collections.abc import Callable
from threading import Event, Thread

import httpx2

from tests.conftest import StartService
from tests.postgres import Postgres

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
        assert service.get("/metrics").status_code == 200
        answered += 1
    worker.join()

    assert answered >= 20


def test_readyz_says_so_when_the_database_is_gone_and_livez_does_not_care(
    start_service: StartService, postgres: Postgres
) -> None:
    url = postgres.fresh_database()
    service = start_service(database_url=url)
    before = service.get("/readyz")
    postgres.run(
        "dropdb", "--force", f"--host={postgres.home}", "--username=postgres", url.partition("@/")[2].partition("?")[0]
    )
    after = service.get("/readyz")

    assert before.json() == {"status": "ready"}
    assert (after.status_code, after.json()["status"], service.get("/livez").status_code) == (503, "not ready", 200)
    assert after.json()["reason"] in {"the database does not answer", "the database takes no writes"}
