"""What must not stand in a log is cut out of it, wherever it comes from; what people need to read stays."""

import base64
import json
import logging
from collections.abc import Callable

import pytest
from pydantic import BaseModel, ValidationError

from app.observe.logs import JsonLines, Lines, TextLines
from app.observe.redaction import hide, redact

WORDS = "the words of a prompt"
BASE64 = base64.b64encode(bytes(range(256))).decode()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("key sk-ant-api03-abc_DEF-123 refused", "key [redacted key] refused"),
        ("for vp_Abcdefghijklmnop-qrstuvwxyz0 now", "for [redacted key] now"),
        ("for vpt_Abcdefghijklmnop-qrstuvwxyz0 now", "for [redacted key] now"),
        ("x-api-key: s3cret, next", "x-api-key: [redacted], next"),
        ("{'X-Api-Key': 's3cret', 'a': 1}", "{'X-Api-Key': '[redacted]', 'a': 1}"),
        ("(b'authorization', b'Bearer s3cret')", "(b'authorization', b'[redacted]')"),
        ('"authorization": "Basic dTpw"', '"authorization": "[redacted]"'),
        ("sent Bearer abcdefgh.ijk", "sent Bearer [redacted]"),
        ("postgresql://user:pa/ss@host/db", "postgresql://user:[redacted]@host/db"),
        ("url data:image/png;base64,iVBORw0KGgo= end", "url [redacted data URI] end"),
        (f"source {BASE64} end", f"source [redacted base64, {len(BASE64)} characters] end"),
        (f"got {bytes(range(200, 230))!r}", "got b'[redacted bytes]'"),
        ("INSERT [parameters: ('a prompt', 3)]", "INSERT [parameters: [redacted]"),
    ],
)
def test_secrets_are_cut_out(text: str, kept: str) -> None:
    assert redact(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "request req_0ccc60c54c60fd73312ccf4a failed: TimeoutError",
        'File "/usr/lib/python3/dist-packages/some_package/some_module/another_one/file.py", line 3',
        "/home/someone/projects/vision/proxy/app/pipeline/answering/and/more/folders",
        "Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
        "image 3 (scan.tif): 412 megapixels; the limit is 100",
    ],
)
def test_what_people_need_stays(text: str) -> None:
    assert redact(text) == text


def test_a_configured_secret_of_any_shape_is_cut_out_also_where_json_escapes_it() -> None:
    hide('a"secret"of-no-shape')

    assert redact('with a"secret"of-no-shape') == "with [redacted]"
    assert redact(json.dumps({"k": 'a"secret"of-no-shape'})) == '{"k": "[redacted]"}'


def test_no_message_floods_the_log() -> None:
    assert len(redact("a word " * 1_000_000)) < 33_000


class _Model(BaseModel):
    count: int


def _by_pydantic() -> None:
    _Model.model_validate({"count": WORDS})


def _quoting_base64() -> None:
    raise ValueError(f"source: {BASE64}")


def _by_a_cause() -> None:
    try:
        _quoting_base64()
    except ValueError as error:
        raise RuntimeError("outer") from error


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()], ids=["json", "text"])
@pytest.mark.parametrize("fail", [_by_pydantic, _by_a_cause])
def test_tracebacks_are_redacted_causes_included(formatter: logging.Formatter, fail: Callable[[], None]) -> None:
    with pytest.raises((ValidationError, RuntimeError)) as raised:
        fail()
    failure = (type(raised.value), raised.value, raised.value.__traceback__)

    line = formatter.format(logging.LogRecord("app", logging.ERROR, "f.py", 1, "failed", None, failure))

    assert "Traceback" in line
    assert WORDS not in line
    assert BASE64[:60] not in line


def test_a_line_that_cannot_be_written_leaves_no_trace_of_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    handler = Lines()
    handler.setFormatter(JsonLines())

    handler.handle(logging.LogRecord("app.broken", logging.ERROR, "f.py", 1, "%d of %s", ("secret-prompt",), None))

    assert capsys.readouterr().err == "a line of app.broken is lost: TypeError\n"


def test_a_json_line_is_json_whatever_was_cut_out_of_it() -> None:
    record = logging.LogRecord("app", logging.INFO, "f.py", 1, 'x-api-key: "s3cret\\" %s', ("sk-ant-1\n\ud800",), None)

    assert json.loads(JsonLines().format(record))["level"] == "info"
