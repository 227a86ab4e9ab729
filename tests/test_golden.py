"""Every file of the corpus through /v1/normalize: what becomes of each is in a table, so that a change shows.

The table is `tests/golden/normalize.tsv`. To write it anew after a change that was meant, and to read the difference:

    REWRITE_GOLDEN=1 python -m pytest -n 0 tests/test_golden.py; git diff tests/golden
"""

import os
from collections.abc import Generator
from pathlib import Path

import httpx2
import pytest

from tests.golden import fault_of, line_of
from tests.processes import Running, running_service

TABLE = Path(__file__).parent / "golden" / "normalize.tsv"
HEAD = "name\tstatus\tcode or media type\tsize\toperations\twarnings\n"
FOLDERS = ("documents", "heif", "hostile", "jpeg", "mixed", "orientation", "photos", "png", "screenshots")


@pytest.fixture(scope="module")
def steady() -> Generator[Running]:
    """A service whose limits of time no honest picture meets, on however busy a machine."""
    with running_service(image_workers=2, image_timeout_s=60, image_cpu_s=60, image_queue_timeout_s=120) as service:
        service.client.get("/readyz").raise_for_status()
        yield service


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_becomes_what_the_table_says(steady: Running, corpus: Path, folder: str) -> None:
    answers = {f"{folder}/{path.name}": normalized(steady.client, path) for path in sorted((corpus / folder).iterdir())}
    found = [line_of(name, answer) for name, answer in answers.items()]
    if os.environ.get("REWRITE_GOLDEN"):
        rewrite(folder, found)

    assert [(name, fault) for name, answer in answers.items() if (fault := fault_of(answer))] == []
    assert found == lines_of(folder)
    assert len(steady.workers) == 2


def normalized(client: httpx2.Client, path: Path) -> httpx2.Response:
    """The answer to that file."""
    return client.post("/v1/normalize", files={"image": (path.name, path.read_bytes())})


def lines_of(folder: str) -> list[str]:
    """What the table says of that folder."""
    return [line for line in _lines() if line.startswith(f"{folder}/")]


def rewrite(folder: str, found: list[str]) -> None:
    """Put those lines in the place of the folder's."""
    others = [line for line in _lines() if not line.startswith(f"{folder}/")]
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(HEAD + "".join(f"{line}\n" for line in sorted([*others, *found])), "utf-8")


def _lines() -> list[str]:
    return TABLE.read_text("utf-8").splitlines()[1:] if TABLE.is_file() else []
