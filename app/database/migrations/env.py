"""Alembic's way in: runs the steps on the connection, and in the transaction, of whoever asked. Sets up no logging."""

from alembic import context
from sqlalchemy import Connection

from app.database.tables import metadata

_connection: Connection = context.config.attributes["connection"]
context.configure(connection=_connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
