"""A question whose answer must be data: by structured outputs where model and schema allow it, else by the prompt."""

from dataclasses import dataclass, replace

import msgspec

from app.domain import Notice
from app.errors import AppError, ErrorCode
from app.pipeline.ports import Services
from app.pipeline.request import Question, output_config
from app.schemas import Verdict

_DEFAULT_PROMPT = "Extract the data that the schema asks for. What cannot be seen is not made up."
_NO_FORMAT = "extra.output_config.format: this endpoint sets it from the schema"


@dataclass(frozen=True, slots=True)
class DataQuestion:
    """The question as it is sent, the schema that the answer must keep to, and whether the vendor is told of it."""

    question: Question
    schema: str
    structured: bool


async def ask_for_data(question: Question, schema: str, services: Services, *, structured: bool = True) -> DataQuestion:
    """The question with that schema. `structured` is false where the caller would rather have it in the prompt.

    Raises:
        AppError: `invalid_schema`, or `invalid_request` where the question sets a format of its own.
    """
    if "format" in output_config(question.extra):
        raise AppError(ErrorCode.INVALID_REQUEST, _NO_FORMAT, field="extra.output_config.format")
    verdict = await services.schemas.check(schema)
    if verdict.fault is not None:
        raise AppError(
            ErrorCode.INVALID_SCHEMA,
            f"schema: {verdict.fault}",
            field="schema",
            place=verdict.fault.place,
            hint="JSON Schema, Draft 2020-12 unless $schema names another; references stay within the schema",
        )
    if question.prompt is None:
        question = replace(question, prompt=_DEFAULT_PROMPT)
    reason = _why_not(question.model, verdict, services, wanted=structured)
    if reason is None:
        return DataQuestion(_structured(question, verdict), schema, structured=True)
    return DataQuestion(_prompted(question, schema, reason if structured else None), schema, structured=False)


def _why_not(model_id: str, verdict: Verdict, services: Services, *, wanted: bool) -> str | None:
    """Why the schema goes into the prompt; None where structured outputs hold the model to it."""
    if not wanted:
        return "the request asks for it"
    if not services.catalog.find(model_id).structured_outputs:
        return f"{model_id} is not known to take structured outputs"
    return verdict.because


def _structured(question: Question, verdict: Verdict) -> Question:
    chosen = {"type": "json_schema", "schema": verdict.adapted}
    return replace(question, output_format=chosen, calls=1 if verdict.exact else 2)


def _prompted(question: Question, schema: str, reason: str | None) -> Question:
    compact = msgspec.json.format(schema.encode(), indent=-1).decode()
    prompt = (
        f"{question.prompt}\n\nAnswer with JSON alone, without a word around it, valid by this JSON Schema:\n{compact}"
    )
    notice = Notice("schema_in_prompt", f"the schema went into the prompt: {reason}")
    notices = question.notices if reason is None else (*question.notices, notice)
    return replace(question, prompt=prompt, calls=2, notices=notices)
