"""Texts from outside, as both databases take them."""


def storable(text: str, most: int) -> str:
    """At most that many characters, none of which a database refuses: money is not lost over the name of a model."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")[:most]
