"""The table of files: our id, whose it is, the vendor's id, and what it takes to size and price it later."""

from collections.abc import Sequence

from sqlalchemy import Row, delete, insert, select

from app.database.sql import Database
from app.database.tables import files
from app.domain import Size, StoredFile

_MOST_PARAMETERS = 1_000
"""Of one statement; SQLite as it is mostly built takes 32,766."""


class FileStore:
    """The table, in the shared database; every question names the owner, so that no answer is about another's file."""

    def __init__(self, database: Database) -> None:
        """The database belongs to whoever opened it."""
        self._database = database

    async def add(self, file: StoredFile) -> None:
        """Remember a file."""
        width_px, height_px = file.size if file.size is not None else (None, None)
        values = {
            "id": file.id,
            "owner": file.owner,
            "vendor_id": file.vendor_id,
            "name": file.name,
            "media_type": file.media_type,
            "width_px": width_px,
            "height_px": height_px,
            "size_bytes": file.size_bytes,
            "sha256": file.sha256,
            "created_at": file.created_at,
        }
        async with self._database.writing() as connection:
            await connection.execute(insert(files).values(values))

    async def find(self, owner: str, ids: Sequence[str]) -> dict[str, StoredFile]:
        """Those of the files that exist and are the owner's, by id."""
        found: dict[str, StoredFile] = {}
        ids = [file_id for file_id in ids if file_id.isascii() and file_id.isprintable()]  # no database takes all text
        async with self._database.reading() as connection:
            for start in range(0, len(ids), _MOST_PARAMETERS):
                some = ids[start : start + _MOST_PARAMETERS]
                query = select(files).where(files.c.owner == owner, files.c.id.in_(some))
                found |= {row.id: _file(row) for row in (await connection.execute(query)).all()}
        return found

    async def page(self, owner: str, limit: int, before: str | None) -> list[StoredFile]:
        """The owner's files, newest first, that came before the file `before`; ids grow with time."""
        query = select(files).where(files.c.owner == owner).order_by(files.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(files.c.id < before)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [_file(row) for row in rows]

    async def remove(self, owner: str, file_id: str) -> None:
        """Forget a file."""
        async with self._database.writing() as connection:
            await connection.execute(delete(files).where(files.c.owner == owner, files.c.id == file_id))


def _file(row: Row[tuple[object, ...]]) -> StoredFile:
    size = None if row.width_px is None or row.height_px is None else Size(row.width_px, row.height_px)
    return StoredFile(
        id=row.id,
        owner=row.owner,
        vendor_id=row.vendor_id,
        name=row.name,
        media_type=row.media_type,
        size=size,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        created_at=row.created_at,
    )
