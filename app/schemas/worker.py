"""The judging process: a question on each line of its input, the answer on a line of its output, until the input ends.

Schemas and answers are made by strangers: a pattern may backtrack for ever, references may fan out without end. Here
that holds up nobody, and whoever asked ends the process when it has waited long enough.
"""

import resource
import sys

import msgspec

from app.schemas.adapting import NotExpressibleError, adapt
from app.schemas.checking import BadSchemaError, sound
from app.schemas.reading import read
from app.schemas.records import Fault, Question, Reading, Verdict

MAX_ADDRESS_SPACE_BYTES = 1 << 30
_RECURSION_LIMIT = 5_000


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE_BYTES, MAX_ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(_RECURSION_LIMIT)
    for line in sys.stdin.buffer:
        question = msgspec.json.decode(line, type=Question)
        sys.stdout.buffer.write(msgspec.json.encode(answer(question)) + b"\n")
        sys.stdout.buffer.flush()


def answer(question: Question) -> Verdict | Reading:
    """The answer, whatever happens: a process that ends tells nobody why."""
    try:
        return verdict(question.schema) if question.text is None else reading(question.schema, question.text)
    except Exception as error:  # noqa: BLE001 - libraries raise whatever a stranger's schema makes them stumble over
        fault = Fault("$", f"it could not be judged ({type(error).__name__})")
        return Verdict(fault=fault) if question.text is None else Reading(faults=(fault,), hopeless=True)


def verdict(schema: str) -> Verdict:
    """What is to be known of a schema before it is used."""
    try:
        found = sound(schema)
    except BadSchemaError as error:
        return Verdict(fault=error.fault)
    try:
        adapted, exact = adapt(found)
    except NotExpressibleError as error:
        return Verdict(because=str(error))
    return Verdict(adapted=adapted, exact=exact)


def reading(schema: str, text: str) -> Reading:
    """What a text holds by that schema."""
    try:
        return read(text, sound(schema).validator)
    except RecursionError:
        return Reading(faults=(Fault("$", "the schema refers to itself without end"),), hopeless=True)


if __name__ == "__main__":
    main()
