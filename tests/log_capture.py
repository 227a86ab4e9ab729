"""Everything that the services of a whole run of tests log, kept in files, and what must not stand in it.

In this process a handler writes each line as the service would; what services of their own process write is handed
over by whoever started them. When the run ends, all of it is searched.
"""

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from app.observe.logs import LEVELS, JsonLines

CANARY = "canary of a prompt"
"""Stands in prompts of the suite, and so must stand in no log."""

_FORBIDDEN = {
    "a prompt": re.compile(rf"{CANARY}|secret[- ]prompt|What is (?:this|it)\?|Which one\?|Describe everything"),
    "a key of the vendor's": re.compile(r"sk-ant-\w"),
    "a key or token of ours": re.compile(r"\bvpt?_[\w-]{20}"),
    "the admin's key": re.compile(r"the-key-of-the-operator"),
    "base64": re.compile(r"(?=[A-Za-z0-9+/]*[A-Z])(?=[A-Za-z0-9+/]*[a-z])(?=[A-Za-z0-9+/]*\d)[A-Za-z0-9+/]{64}"),
    "a data URI": re.compile(r"data:image/"),
}

_SHOWN_ONCE = re.compile(r"^vision-proxy: there was no key; the first, .*$", re.MULTILINE)
"""No line of the log: the first start prints the first key by intent."""

_folders: list[Path] = []


def begin(folder: Path, name: str) -> None:
    """From here on everything that this process logs goes to a file of that name, at the levels of production."""
    _folders.append(folder)
    handler = logging.FileHandler(folder / f"{name}.log", encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(JsonLines())
    handler.setLevel(logging.INFO)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    for logger, level in LEVELS.items():
        logging.getLogger(logger).setLevel(level)


def keep(lines: Iterable[str]) -> None:
    """Have what another process logged searched too."""
    for folder in _folders:
        (folder / f"{uuid4()}.log").write_text("".join(lines), "utf-8", "backslashreplace")


def search(folder: Path) -> list[str]:
    """What stands in the logs and must not: of each kind, one place where it does."""
    found: dict[str, str] = {}
    for file in sorted(folder.glob("*.log")):
        text = _SHOWN_ONCE.sub("", file.read_text("utf-8", "replace"))
        for what, pattern in _FORBIDDEN.items():
            if what not in found and (leak := pattern.search(text)) is not None:
                found[what] = text[max(0, leak.start() - 300) : leak.end() + 40]
    return [f"{what}: ...{place}..." for what, place in found.items()]


def lines_in(folder: Path) -> int:
    """How many lines were searched."""
    return sum(file.read_bytes().count(b"\n") for file in folder.glob("*.log"))
