"""What must not stand in a log, cut out of its text: keys, credentials, pictures as text, values that errors quote."""

import json
import re

REDACTED = "[redacted]"

_LONGEST_CHARS = 32_768
"""Of one text in the log. A message that quotes a request could hold megabytes."""

_SHORTEST_SECRET_CHARS = 12
"""A shorter one would cut common words out of every line."""

_PATTERNS = (
    (re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w=.+-]+)*,[^\s\"'<>)]*"), "[redacted data URI]"),
    (re.compile(r"\bsk-ant-[\w-]*"), "[redacted key]"),
    (re.compile(r"\bvpt?_[\w-]{16,}"), "[redacted key]"),
    (
        re.compile(
            r"((?:x-api-key|(?:proxy-)?authorization|set-cookie|cookie|(?:anthropic_)?api_key|auth_token)"
            r"(?:\\?['\"])?\s*[:=,]\s*b?(?:\\?['\"])?)(?:(?:bearer|basic)\s+)?[^\s'\",;)}\]\\]+",
            re.IGNORECASE,
        ),
        r"\1[redacted]",
    ),
    (re.compile(r"\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE), r"\1[redacted]"),
    (re.compile(r"(://[^\s/:@]*:)[^\s@]+@"), r"\1[redacted]@"),  # a database's address with its password
    (re.compile(r"(?:\\x[0-9a-f]{2}[^\\'\"]{0,8}){8,}"), "[redacted bytes]"),
    (re.compile(r"(\binput_value=).*(, input_type=)", re.DOTALL), r"\1[redacted]\2"),  # as pydantic quotes
    (re.compile(r"(\[parameters: ).*", re.DOTALL), r"\1[redacted]"),  # as SQLAlchemy quotes
)

_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_=-]{48,}")

_TRACES = (
    *(
        "data:",
        "sk-ant-",
        "vp_",
        "vpt_",
        "api-key",
        "api_key",
        "authorization",
        "cookie",
        "auth_token",
        "bearer",
        "basic",
    ),
    *("://", "\\x", "input_value=", "[parameters:"),
)
"""Each pattern needs one of these, in small letters: a line without any is done with in a few microseconds."""

_known: set[str] = set()


def hide(*secrets: str | None) -> None:
    """Have those very texts cut out of everything that this process logs from now on; short ones are left."""
    long = [secret for secret in secrets if secret is not None and len(secret) >= _SHORTEST_SECRET_CHARS]
    _known.update(long, (json.dumps(secret)[1:-1] for secret in long))


def is_clean(text: str) -> bool:
    """Whether there is nothing to be cut out of the text, JSON or not."""
    small = text.lower()
    return (
        len(text) <= _LONGEST_CHARS
        and not any(trace in small for trace in _TRACES)
        and not any(secret in text for secret in _known)
        and _BASE64.search(text) is None
    )


def redact(text: str) -> str:
    """The text without what must not stand in a log, and not longer than a log bears."""
    if is_clean(text):
        return text
    if len(text) > _LONGEST_CHARS:
        text = f"{text[:_LONGEST_CHARS]}... [{len(text) - _LONGEST_CHARS} more characters cut]"
    for secret in _known:
        text = text.replace(secret, REDACTED)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return _BASE64.sub(_without_base64, text)


def _without_base64(run: re.Match[str]) -> str:
    """The run as it is where it is a path of plain words, which its slashes and its few kinds of character tell."""
    characters = run[0]
    kinds = sum(any(test(each) for each in characters) for test in (str.isupper, str.islower, str.isdigit))
    is_words = kinds < 3 and any(mark in characters for mark in "/_-=")  # noqa: PLR2004 - all kinds there are
    return characters if is_words else f"[redacted base64, {len(characters)} characters]"
