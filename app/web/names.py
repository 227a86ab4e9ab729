"""File names as they may be repeated: in reports, in messages, in the entries of an archive."""

MAX_NAME_CHARS = 255

_FORBIDDEN_IN_ARCHIVES = str.maketrans(dict.fromkeys('<>:"|?*', "_"))


def bare_name(filename: str) -> str | None:
    """The name without folders and control characters, at most 255 characters; None where nothing is left."""
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in name if char.isprintable())[:MAX_NAME_CHARS] or None


def archive_stem(name: str) -> str:
    """A bare name without its ending, as every file system takes it."""
    return name.rsplit(".", 1)[0].translate(_FORBIDDEN_IN_ARCHIVES).strip(". ")[:100] or "image"
