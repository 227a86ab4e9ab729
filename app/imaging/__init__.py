"""Bytes in, bytes out: what a picture is, what it should become, and the pixels of that. Knows nothing of HTTP."""
