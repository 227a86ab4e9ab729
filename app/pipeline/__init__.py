"""The main path and everything that is only its own. `app.web` reaches the capabilities through here alone."""

from app.pipeline.answering import AnswerStream, answer, estimate, normalize, stream
from app.pipeline.message_body import JsonObject, decode_any, decode_base64, decode_json, elsewhere
from app.pipeline.models import with_vision
from app.pipeline.ports import Services
from app.pipeline.relaying import RelayedStream, event_data, relay, relay_stream
from app.pipeline.reports import Answer, Estimate, FileFacts, ImageReport, ModelEstimate, SentImage
from app.pipeline.request import Question, VisionRequest, billing_hints, compose, from_messages
from app.pipeline.stopwatch import Stopwatch

__all__ = [
    "Answer",
    "AnswerStream",
    "Estimate",
    "FileFacts",
    "ImageReport",
    "JsonObject",
    "ModelEstimate",
    "Question",
    "RelayedStream",
    "SentImage",
    "Services",
    "Stopwatch",
    "VisionRequest",
    "answer",
    "billing_hints",
    "compose",
    "decode_any",
    "decode_base64",
    "decode_json",
    "elsewhere",
    "estimate",
    "event_data",
    "from_messages",
    "normalize",
    "relay",
    "relay_stream",
    "stream",
    "with_vision",
]
