"""Uploaded files: who may see them, how long they last, how many are kept. Only pictures keep their bytes."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain import Json
from app.sandbox.clock import rfc3339
from app.sandbox.errors import not_found

MAX_FILE_BYTES = 500_000_000
"""The largest file. The vendor says "500 MB"; this is the stricter reading.

Source: https://platform.claude.com/docs/en/build-with-claude/files, seen 2026-08-22.
"""

METADATA_LIFETIME = timedelta(days=30)
"""How long after its end a file is still listed. Source: as above."""

MAX_FILES = 10_000
MAX_KEPT_BYTES = 1_000_000_000
"""The sandbox's own choice, over all workspaces: the oldest files are forgotten when another one comes."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that was uploaded. `data` is empty unless it is a picture; `serial` grows with every upload."""

    id: str
    serial: int
    filename: str
    mime_type: str
    size_bytes: int
    created_at: datetime
    expires_at: datetime | None
    data: bytes

    def to_json(self) -> dict[str, Json]:
        """The file as the vendor describes it."""
        return {
            "type": "file",
            "id": self.id,
            "filename": self.filename,
            "mime_type": self.mime_type,
            "size_bytes": self.size_bytes,
            "created_at": rfc3339(self.created_at),
            "downloadable": False,
            "expires_at": rfc3339(self.expires_at),
        }

    def has_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and now >= self.expires_at


class FileStore:
    """Every file of every workspace, oldest first; a workspace is whatever string the caller says."""

    def __init__(
        self,
        *,
        max_file_bytes: int = MAX_FILE_BYTES,
        max_files: int = MAX_FILES,
        max_kept_bytes: int = MAX_KEPT_BYTES,
    ) -> None:
        """Start empty."""
        self.max_file_bytes = max_file_bytes
        self._max_files = max_files
        self._max_kept_bytes = max_kept_bytes
        self._files: OrderedDict[tuple[str, str], StoredFile] = OrderedDict()
        self._kept_bytes = 0
        self._serial = 0

    def next_serial(self) -> int:
        """A number above that of every file before."""
        self._serial += 1
        return self._serial

    def add(self, workspace: str, file: StoredFile) -> None:
        """Keep the file, and forget the oldest ones until it fits."""
        self._files[workspace, file.id] = file
        self._kept_bytes += len(file.data)
        while len(self._files) > self._max_files or self._kept_bytes > self._max_kept_bytes:
            self._drop(next(iter(self._files)))

    def find(self, workspace: str, file_id: str, now: datetime) -> StoredFile:
        """The file of that id, be its content expired or not.

        Raises:
            SandboxError: 404, there is none in this workspace, or no longer.
        """
        self._age(now)
        file = self._files.get((workspace, file_id))
        if file is None:
            raise not_found(f"File `{file_id}` not found.")
        return file

    def find_content(self, workspace: str, file_id: str, now: datetime) -> StoredFile:
        """The file of that id, whose content can still be used.

        Raises:
            SandboxError: 404, as `find`, or it has expired.
        """
        file = self.find(workspace, file_id, now)
        if file.has_expired(now):
            raise not_found(f"File `{file_id}` has expired.", error_code="file_expired")
        return file

    def list(self, workspace: str, now: datetime, ids: Collection[str] | None = None) -> list[StoredFile]:
        """The files of the workspace, newest first; with `ids` only those."""
        self._age(now)
        return [
            file
            for (owner, file_id), file in reversed(self._files.items())
            if owner == workspace and (ids is None or file_id in ids)
        ]

    def delete(self, workspace: str, file_id: str, now: datetime) -> None:
        """Forget the file.

        Raises:
            SandboxError: 404, as `find`.
        """
        self.find(workspace, file_id, now)
        self._drop((workspace, file_id))

    def _age(self, now: datetime) -> None:
        """Let go of the bytes of files whose time is over, and some time later of the files."""
        for place, file in list(self._files.items()):
            if file.expires_at is None or now < file.expires_at:
                continue
            if now >= file.expires_at + METADATA_LIFETIME:
                self._drop(place)
            elif file.data:
                self._kept_bytes -= len(file.data)
                self._files[place] = replace(file, data=b"")

    def _drop(self, place: tuple[str, str]) -> None:
        self._kept_bytes -= len(self._files.pop(place).data)
