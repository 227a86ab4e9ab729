"""The values of all server processes of one service: each writes a file of its own, whoever is asked adds them up."""

import fcntl
import os
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""By which prometheus-client knows the folder; read when it is imported."""

_MEMORY = Path("/dev/shm")  # noqa: S108 - only its folder of our own is used
"""Memory as files: no disk is written, and it can be written to where the root file system cannot."""

_KEPT_PID = 0
"""In the names of the files that hold what processes counted that have ended."""


@contextmanager
def shared_folder(environment: MutableMapping[str, str]) -> Generator[None]:
    """A private folder for the values, told to the processes that are started meanwhile; gone on exit."""
    own = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="vision-proxy-", dir=own) as folder:
        environment[FOLDER_VARIABLE] = folder
        yield


def folder_of_all(environment: Mapping[str, str]) -> Path | None:
    """The folder that this process shares its values in; None where it keeps them for itself."""
    folder = environment.get(FOLDER_VARIABLE)
    return Path(folder) if folder else None


def exposition_of_all(folder: Path) -> bytes:
    """The sums over all processes, those that have ended included, as Prometheus reads them."""
    with _locked(folder):
        _keep_what_the_dead_counted(folder)
        return generate_latest(MultiProcessCollector(None, str(folder)))


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """While nobody else cleans up or adds up."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keep_what_the_dead_counted(folder: Path) -> None:
    """Have their counts join those of earlier ones, in one file of each kind, and forget what they were doing.

    Without it every process that was replaced would leave its files to be read at every scrape.
    """
    for file in folder.glob("*.db"):
        kind, _, pid = file.stem.rpartition("_")
        if int(pid) == _KEPT_PID or _runs(int(pid)):
            continue
        if not kind.startswith("gauge"):
            _add(file, folder / f"{kind}_{_KEPT_PID}.db")
        file.unlink()


def _add(file: Path, to: Path) -> None:
    values: Any = MmapedDict  # it has no types
    sums = values(str(to))
    try:
        for key, value, _, _ in values.read_all_values_from_file(str(file)):
            sums.write_value(key, sums.read_value(key)[0] + value, 0.0)
    finally:
        sums.close()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
