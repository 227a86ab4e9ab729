"""The table of files: our id, whose it is, the vendor's id, and what it takes to size and price it later."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, delete, event, insert, select
from sqlalchemy.engine import Row, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateIndex, CreateTable

from app.domain import Size, StoredFile

_MOST_PARAMETERS = 1_000
"""Of one statement; SQLite as it is mostly built takes 32,766."""

_metadata = MetaData()

_files = Table(
    "files",
    _metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String(200), nullable=False, index=True),
    Column("vendor_id", String(200), nullable=False),
    Column("name", String(255), nullable=False),
    Column("media_type", String(200), nullable=False),
    Column("width_px", Integer),
    Column("height_px", Integer),
    Column("size_bytes", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)


class FileStore:
    """The table, through one engine; every question names the owner, so that no answer is about another's file."""

    def __init__(self, engine: AsyncEngine) -> None:
        """`engine` is closed by `close`."""
        self._engine = engine

    @classmethod
    async def open(cls, database_url: str) -> Self:
        """The table at that address, made where it is missing."""
        url = make_url(database_url)
        engine = create_async_engine(url)
        if url.get_backend_name() == "sqlite":
            if url.database and url.database != ":memory:":
                Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            event.listen(engine.sync_engine, "connect", _use_wal)
        async with engine.begin() as connection:
            await connection.execute(CreateTable(_files, if_not_exists=True))
            for index in _files.indexes:
                await connection.execute(CreateIndex(index, if_not_exists=True))
        return cls(engine)

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
        async with self._engine.begin() as connection:
            await connection.execute(insert(_files).values(values))

    async def find(self, owner: str, ids: Sequence[str]) -> dict[str, StoredFile]:
        """Those of the files that exist and are the owner's, by id."""
        found: dict[str, StoredFile] = {}
        async with self._engine.connect() as connection:
            for start in range(0, len(ids), _MOST_PARAMETERS):
                some = ids[start : start + _MOST_PARAMETERS]
                query = select(_files).where(_files.c.owner == owner, _files.c.id.in_(some))
                found |= {row.id: _file(row) for row in (await connection.execute(query)).all()}
        return found

    async def page(self, owner: str, limit: int, before: str | None) -> list[StoredFile]:
        """The owner's files, newest first, that came before the file `before`; ids grow with time."""
        query = select(_files).where(_files.c.owner == owner).order_by(_files.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(_files.c.id < before)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [_file(row) for row in rows]

    async def remove(self, owner: str, file_id: str) -> None:
        """Forget a file."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(_files).where(_files.c.owner == owner, _files.c.id == file_id))

    async def close(self) -> None:
        """Give back every connection."""
        await self._engine.dispose()


def _file(row: Row[tuple[object, ...]]) -> StoredFile:
    size = None if row.width_px is None or row.height_px is None else Size(row.width_px, row.height_px)
    created_at: datetime = row.created_at
    return StoredFile(
        id=row.id,
        owner=row.owner,
        vendor_id=row.vendor_id,
        name=row.name,
        media_type=row.media_type,
        size=size,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        created_at=created_at.replace(tzinfo=UTC),
    )


def _use_wal(connection: DBAPIConnection, _: object) -> None:
    """Let readers and one writer work at the same time."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()
