"""What can be wrong with the database as a whole, said to the operator."""


class DatabaseUnusableError(Exception):
    """The service cannot start on this database; the message says why and what would help, and holds no secret."""
