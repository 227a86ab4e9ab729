"""POST /v1/extract: data that is valid by the caller's schema, or an error that says what happened instead."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.conftest import StartService, Wire
from tests.test_spending import rows, the_row
from tests.test_streaming import events_of

Maker = Callable[..., bytes]

INVOICE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "description": "As printed."},
        "total": {"type": "number", "minimum": 0},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "due": {"type": ["string", "null"], "format": "date"},
    },
    "required": ["number", "total"],
    "$defs": {"line": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}},
}
EXACT: dict[str, Any] = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}


@pytest.fixture
def fresh(start_service: StartService) -> httpx2.Client:
    """A service whose ledger is empty."""
    return start_service()


def extract(
    service: httpx2.Client, photo: Maker, schema: object, *, answer: str = "", case: str = "", **fields: str
) -> httpx2.Response:
    """The answer to a picture and a schema; `answer` is how the sandbox is to answer."""
    headers = {"x-vision-proxy-sandbox-answer": answer, "x-vision-proxy-sandbox-case": case} if answer else {}
    text = schema if isinstance(schema, str) else json.dumps(schema)
    files = {"image": ("a.jpg", photo(64, 48))}
    return service.post("/v1/extract", files=files, data={"schema": text, **fields}, headers=headers)


def told(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["details"]["error_code"]


def test_the_answer_is_that_of_analyze_with_the_data(service: httpx2.Client, photo: Maker) -> None:
    answer = extract(service, photo, INVOICE).json()
    plain = service.post("/v1/analyze", files={"image": ("a.jpg", photo(64, 48))}).json()

    assert answer["data"] == {"number": "[sandbox]", "total": 0, "lines": [{"text": "[sandbox]"}], "due": "2026-01-31"}
    assert json.loads(answer["text"]) == answer["data"]
    assert answer.keys() == plain.keys() | {"data"}
    assert answer["warnings"] == []


def test_the_model_is_held_to_the_schema_as_the_vendor_takes_it(
    recorded: httpx2.Client, wire: Wire, photo: Maker
) -> None:
    extract(recorded, photo, INVOICE, effort="low").raise_for_status()

    line = {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    }
    assert wire.last_request["output_config"] == {
        "effort": "low",
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {
                    "number": {"type": "string", "description": "As printed."},
                    "total": {"type": "number", "description": '{"minimum": 0}'},
                    "lines": {"type": "array", "items": line},
                    "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
                },
                "required": ["number", "total"],
                "additionalProperties": False,
            },
        },
    }


def test_a_schema_comes_as_json_as_a_form_field_or_as_a_file(service: httpx2.Client, photo: Maker) -> None:
    picture = photo(64, 48)
    files = {"image": ("a.jpg", picture), "schema": ("invoice.json", json.dumps(INVOICE).encode(), "application/json")}
    body = {"images": [{"data": base64.b64encode(picture).decode()}], "schema": INVOICE}

    answers = [
        extract(service, photo, INVOICE),
        service.post("/v1/extract", files=files),
        service.post("/v1/extract", json=body),
    ]

    assert [answer.json()["data"]["number"] for answer in answers] == ["[sandbox]"] * 3


def test_a_file_that_an_editor_began_with_a_mark_is_a_schema(service: httpx2.Client, photo: Maker) -> None:
    marked = json.dumps(EXACT).encode("utf-8-sig")

    answer = service.post("/v1/extract", files={"image": photo(64, 48), "schema": ("schema.json", marked)})

    assert answer.json()["data"] == {"total": 0}


def test_a_schema_of_anything_is_answered(service: httpx2.Client, photo: Maker) -> None:
    assert extract(service, photo, {}).json()["data"] == {}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"enum": ["x", 1, None]}, "b": {"const": "y"}}},
        {
            "type": "object",
            "properties": {"a": {"type": "string", "pattern": "^.+$", "maxLength": 90, "format": "odd"}},
        },
        {"type": "object", "properties": {"a": {"oneOf": [{"type": "integer"}, {"type": "string"}]}}},
        {"properties": {"a": {"items": {"minimum": 0}, "minItems": 1, "maxItems": 9}}, "additionalProperties": True},
        {
            "$defs": {"a": {"type": "integer"}},
            "type": "object",
            "properties": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}},
        },
        {"$id": "https://example.com/a", "$anchor": "top", "type": "object", "properties": {"a": {"type": "boolean"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"a": {"type": "null"}}},
        {"type": "array", "items": {"type": "string"}},
    ],
)
def test_what_structured_outputs_do_not_take_is_told_in_words(
    service: httpx2.Client, photo: Maker, schema: dict[str, Any]
) -> None:
    answer = extract(service, photo, schema)

    assert answer.status_code == 200, answer.text  # the sandbox refuses what the vendor would
    assert answer.json()["warnings"] == []


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}}}, "it is recursive"),
        (
            {"type": "object", "additionalProperties": {"type": "number"}},
            "an object in it has keys that are not named",
        ),
        ({"type": "object"}, "an object in it may hold anything"),
        ({"type": "array"}, "an array in it may hold anything, or is a tuple"),
        ({"type": "object", "properties": {"a": {}}}, "a part of it may be anything"),
        (
            {"type": "object", "properties": {f"p{n}": {"type": "null"} for n in range(25)}},
            "25 properties may be left out; the limit is 24",
        ),
        (
            {"type": "array", "items": {"enum": [f"choice {n}" for n in range(600)]}},
            "it has more than 500 parts",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_structured_outputs_cannot_say_goes_into_the_prompt(
    service: httpx2.Client, photo: Maker, schema: dict[str, Any], reason: str
) -> None:
    answer = extract(service, photo, schema).json()

    assert answer["warnings"] == [{"code": "schema_in_prompt", "message": f"the schema went into the prompt: {reason}"}]
    assert "data" in answer


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ("{", "$"),
        ("[]", "$"),
        ('{"minimum": NaN}', "$"),
        ({"type": "objet"}, "$.type"),
        ({"properties": {"a": {"minimum": "0"}}}, "$.properties.a.minimum"),
        ({"properties": {"a": {"pattern": "(("}}}, "$.properties.a.pattern"),
        ({"patternProperties": {"[": {}}}, "$.patternProperties"),
        ({"items": {"$ref": "#/$defs/none"}}, "$.items['$ref']"),
        ({"$ref": "https://example.com/schema.json"}, "$['$ref']"),
        ({"$ref": "file:///etc/passwd"}, "$['$ref']"),
        ({"$schema": "https://example.com/my-draft"}, "$['$schema']"),
        ({"$ref": "#"}, "$"),
        ({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#"}]}}}, "$"),
        ('{"not":' * 65 + "{}" + "}" * 65, "$"),
        ('{"not":' * 5_000 + "{}" + "}" * 5_000, "$"),
        ({"description": "x" * 200_000}, "$"),
        ({"$schema": 5}, "$['$schema']"),
        ('{"minimum": 1e400}', "$"),
        (f'{{"minimum": {"9" * 5_000}}}', "$"),
    ],
    ids=range(19),
)
def test_a_schema_that_is_none_is_refused_before_anything_is_spent(
    service: httpx2.Client, photo: Maker, schema: object, place: str
) -> None:
    refused = extract(service, photo, schema)

    assert told(refused) == (400, "invalid_schema")
    assert refused.json()["error"]["details"]["place"] == place
    assert not re.search(r"sys\.|Error|\binf\b", refused.json()["error"]["message"])  # those are Python's words


def test_references_that_fan_out_without_end_are_refused_in_time(start_service: StartService, photo: Maker) -> None:
    fan = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n - 1}"}] * 2} for n in range(1, 50)}
    hurried = start_service(schema_timeout_s=1)

    refused = extract(hurried, photo, {"$ref": "#/$defs/a49", "$defs": {"a0": {}, **fan}})

    assert told(refused) == (400, "invalid_schema")
    assert "more than 1 s" in refused.json()["error"]["message"]
    assert extract(hurried, photo, EXACT).status_code == 200


def test_a_pattern_that_backtracks_for_ever_ends_in_time_and_is_paid_for(
    start_service: StartService, photo: Maker
) -> None:
    hurried = start_service(schema_timeout_s=1)
    answer = "text=" + quote(json.dumps("a" * 60 + "b"))

    refused = extract(hurried, photo, {"type": "string", "pattern": "^(a+)+$"}, answer=answer)

    assert told(refused) == (422, "schema_mismatch")
    assert refused.json()["error"]["details"]["cost_usd"] == the_row(hurried)["cost_usd"] > 0


@pytest.mark.parametrize("answer", ["fenced", "prose"])
@pytest.mark.parametrize("structured", ["true", "false"])
def test_json_in_a_fence_or_in_prose_is_found(
    service: httpx2.Client, photo: Maker, answer: str, structured: str
) -> None:
    found = extract(service, photo, EXACT, answer=answer, structured=structured).json()

    assert found["data"] == {"total": 0}
    assert found["warnings"] == []


def test_an_answer_of_wrong_types_is_asked_for_again_and_both_are_one_bill(
    fresh: httpx2.Client, sandbox: httpx2.Client, photo: Maker, case: str
) -> None:
    answer = extract(fresh, photo, EXACT, answer="wrong-type; times=1", case=case, structured="false").json()

    calls = [
        entry
        for entry in sandbox.get("/sandbox/journal", params={"settled": "true"}).json()
        if entry["headers"].get("x-vision-proxy-sandbox-case") == case
    ]
    [row] = rows(fresh)
    assert answer["data"] == {"total": 0}
    assert [warning["code"] for warning in answer["warnings"]] == ["asked_again"]
    assert len(calls) == 2
    for kind in ("input_tokens", "output_tokens"):
        assert answer["usage"][kind] == sum(call["billed"][kind] for call in calls)
    assert (row["state"], row["cost_usd"], row["usage"]) == ("settled", answer["cost"]["total_usd"], answer["usage"])
    assert row["cost_usd"] <= row["bound_usd"]


def test_a_constraint_that_the_vendor_does_not_hold_to_is_asked_for_again(
    service: httpx2.Client, photo: Maker, case: str
) -> None:
    below = "times=1; text=" + quote('{"number": "7", "total": -1}')

    answer = extract(service, photo, INVOICE, answer=below, case=case).json()

    assert answer["data"]["total"] == 0
    assert "-1 is less than the minimum of 0" in answer["warnings"][0]["message"]


def test_an_answer_that_stays_wrong_is_told_with_its_text_its_faults_and_the_cost_of_both_turns(
    fresh: httpx2.Client, photo: Maker
) -> None:
    refused = extract(fresh, photo, EXACT, answer="wrong-type", structured="false")

    details = refused.json()["error"]["details"]
    [row] = rows(fresh)
    assert told(refused) == (422, "schema_mismatch")
    assert details["text"] == '{"total": "seven"}'
    assert (details["place"], details["faults"]) == ("$.total", ["$.total: 'seven' is not of type 'number'"])
    assert details["stop_reason"] == "end_turn"
    assert (row["state"], row["cost_usd"], row["usage"]) == ("settled", details["cost_usd"], details["usage"])
    assert row["usage"]["output_tokens"] == 2 * 5


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"total": 1e999}', "$: a number in it is too large"),
        ('{"total": NaN}', "$: the answer holds no JSON"),
        ('{"total": 1, "note": "\\ud800"}', "$: a text in it holds half of a surrogate pair"),
        ('{"total": 1, "deep": ' + "[" * 101 + "]" * 101 + "}", "$: it is nested deeper than 100"),
        ("", "$: the answer holds no JSON"),
    ],
    ids=range(5),
)
def test_what_json_cannot_carry_is_no_data(service: httpx2.Client, photo: Maker, text: str, fault: str) -> None:
    refused = extract(service, photo, EXACT, answer=f"text={quote(text)}")

    assert told(refused) == (422, "schema_mismatch")
    assert refused.json()["error"]["details"]["faults"] == [fault]


def test_a_schema_that_the_vendor_holds_to_whole_is_not_asked_for_again(fresh: httpx2.Client, photo: Maker) -> None:
    refused = extract(fresh, photo, EXACT, answer="no-json")

    [row] = rows(fresh)
    assert told(refused) == (422, "schema_mismatch")
    assert refused.json()["error"]["details"]["faults"] == ["$: the answer holds no JSON"]
    assert row["usage"]["output_tokens"] == 10


def test_a_refusal_is_an_error_of_its_own(fresh: httpx2.Client, photo: Maker) -> None:
    refused = extract(fresh, photo, EXACT, answer="refusal", structured="false")

    details = refused.json()["error"]["details"]
    assert told(refused) == (422, "answer_refused")
    assert details["stop_details"]["explanation"] == "[sandbox] asked to refuse"
    assert details["cost_usd"] == the_row(fresh)["cost_usd"]


def test_a_cut_answer_is_an_error_of_its_own(fresh: httpx2.Client, photo: Maker) -> None:
    refused = extract(fresh, photo, INVOICE, max_tokens="3")

    details = refused.json()["error"]["details"]
    assert told(refused) == (422, "answer_cut")
    assert (details["stop_reason"], details["limit"], details["usage"]["output_tokens"]) == ("max_tokens", 3, 3)
    assert details["cost_usd"] == the_row(fresh)["cost_usd"] > 0


def test_a_schema_that_the_vendor_refuses_is_an_error_of_its_own(fresh: httpx2.Client, photo: Maker) -> None:
    files, headers = {"image": ("a.jpg", photo(64, 48))}, {"x-vision-proxy-sandbox-fault": "400-grammar"}

    refused = fresh.post("/v1/extract", files=files, data={"schema": json.dumps(EXACT)}, headers=headers)

    details = refused.json()["error"]["details"]
    assert told(refused) == (400, "schema_refused")
    assert "grammar is too large" in refused.json()["error"]["message"]
    assert details["cost_usd"] == 0
    assert the_row(fresh)["state"] == "released"


def test_any_other_refusal_stays_the_vendor_s(service: httpx2.Client, photo: Maker) -> None:
    files, headers = {"image": ("a.jpg", photo(64, 48))}, {"x-vision-proxy-sandbox-fault": "400-spend"}

    refused = service.post("/v1/extract", files=files, data={"schema": json.dumps(EXACT)}, headers=headers)

    assert told(refused) == (400, "upstream_error")


def test_the_bound_covers_both_turns(service: httpx2.Client, photo: Maker) -> None:
    def bound(**fields: str) -> float:
        refused = extract(service, photo, EXACT, max_cost_usd="0", max_tokens="1000", **fields)
        assert told(refused) == (402, "max_cost_exceeded")
        return refused.json()["error"]["details"]["actual"]

    assert bound(structured="false") > 2 * bound()


def test_a_format_of_the_caller_s_own_is_refused(service: httpx2.Client, photo: Maker) -> None:
    refused = extract(service, photo, EXACT, extra='{"output_config": {"format": {"type": "json_schema"}}}')

    assert told(refused) == (400, "invalid_request")
    assert refused.json()["error"]["details"]["field"] == "extra.output_config.format"


def test_a_missing_schema_is_named_as_the_field_it_is(service: httpx2.Client, photo: Maker) -> None:
    files = {"image": ("a.jpg", photo(64, 48))}

    missing = service.post("/v1/extract", files=files)
    misspelt = service.post("/v1/extract", files=files, data={"schema": "{}", "skema": "{}"})

    assert missing.json()["error"]["message"].startswith("schema: Field required")
    assert " schema, structured, " in misspelt.json()["error"]["message"]


def test_a_stream_ends_with_the_data(service: httpx2.Client, photo: Maker) -> None:
    events = events_of(extract(service, photo, EXACT, stream="true").text)

    assert [name for name, _ in events] == ["images", "text", "done"]
    assert events[-1][1]["data"] == {"total": 0}


def test_the_second_turn_of_a_stream_comes_with_the_end_and_is_paid_for(
    fresh: httpx2.Client, photo: Maker, case: str
) -> None:
    response = extract(fresh, photo, EXACT, answer="no-json; times=1", case=case, structured="false", stream="true")

    [*_, (name, done)] = events_of(response.text)
    row = the_row(fresh)
    assert (name, done["data"], done["text"]) == ("done", {"total": 0}, '{"total": 0.0}')
    assert (row["state"], row["cost_usd"], row["usage"]) == ("settled", done["cost"]["total_usd"], done["usage"])


def test_a_stream_that_ends_without_data_says_what_it_cost(fresh: httpx2.Client, photo: Maker) -> None:
    events = events_of(extract(fresh, photo, EXACT, answer="no-json", stream="true").text)

    name, data = events[-1]
    details = data["error"]["details"]
    assert (name, details["error_code"]) == ("error", "schema_mismatch")
    assert details["cost_usd"] == the_row(fresh)["cost_usd"] > 0


def test_a_repeat_under_the_same_key_gets_the_same_data_unpaid(fresh: httpx2.Client, photo: Maker) -> None:
    sent: dict[str, Any] = {"files": {"image": ("a.jpg", photo(64, 48))}, "data": {"schema": json.dumps(EXACT)}}

    first, again = (fresh.post("/v1/extract", headers={"idempotency-key": "once"}, **sent) for _ in range(2))

    assert first.json() == again.json()
    assert len(rows(fresh)) == 1


def test_a_failure_that_was_paid_for_is_not_paid_for_again(fresh: httpx2.Client, photo: Maker) -> None:
    headers = {"idempotency-key": "once", "x-vision-proxy-sandbox-answer": "no-json"}
    sent: dict[str, Any] = {"files": {"image": ("a.jpg", photo(64, 48))}, "data": {"schema": json.dumps(EXACT)}}

    first, again = (fresh.post("/v1/extract", headers=headers, **sent) for _ in range(2))

    assert told(first) == told(again) == (422, "schema_mismatch")
    assert again.headers["idempotent-replayed"] == "true"
    assert len(rows(fresh)) == 1
