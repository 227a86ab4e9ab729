"""The main path and everything that is only its own. `app.web` reaches the capabilities through here alone."""

from app.access.keyring import Credentials, NewKey
from app.access.keys import Key
from app.ledger import MOST_KEPT_BYTES, Claim, RateLimit, UsageGroup, UsageReport, WireAnswer
from app.observe import Observer
from app.pipeline.allowing import named_models, refuse_other_models
from app.pipeline.answering import AnswerStream, answer, estimate, normalize, stream
from app.pipeline.asking import DataQuestion, ask_for_data
from app.pipeline.base64_text import decode_base64
from app.pipeline.crowded_json import JsonObject, refuse_many
from app.pipeline.drop_in import RequestPolicy, from_messages
from app.pipeline.extracting import DataRequest, Extraction, ExtractionStream, Rendering, extract, stream_extract
from app.pipeline.json_text import check_text, decode_any, decode_json
from app.pipeline.lifting import image_too_large
from app.pipeline.locating import SCHEMA as LOCATE_SCHEMA
from app.pipeline.locating import Location, ask_where, located, refuse_unseen
from app.pipeline.message_body import MessageBody
from app.pipeline.models import with_vision
from app.pipeline.ports import Services
from app.pipeline.relaying import Relayed, RelayedStream, relay, relay_count, relay_stream
from app.pipeline.reports import Answer, Estimate, FileFacts, ImageReport, ModelEstimate, SentImage
from app.pipeline.request import Picture, Question, UnusableImage, VisionRequest, billing_hints, compose
from app.pipeline.room import Room
from app.pipeline.stopwatch import Stopwatch
from app.pipeline.unfolding import Unfolding, unfold
from app.upstream.calls import Call, Reply
from app.upstream.event_stream import event_data, event_name

__all__ = [
    "LOCATE_SCHEMA",
    "MOST_KEPT_BYTES",
    "Answer",
    "AnswerStream",
    "Call",
    "Claim",
    "Credentials",
    "DataQuestion",
    "DataRequest",
    "Estimate",
    "Extraction",
    "ExtractionStream",
    "FileFacts",
    "ImageReport",
    "JsonObject",
    "Key",
    "Location",
    "MessageBody",
    "ModelEstimate",
    "NewKey",
    "Observer",
    "Picture",
    "Question",
    "RateLimit",
    "Relayed",
    "RelayedStream",
    "Rendering",
    "Reply",
    "RequestPolicy",
    "Room",
    "SentImage",
    "Services",
    "Stopwatch",
    "Unfolding",
    "UnusableImage",
    "UsageGroup",
    "UsageReport",
    "VisionRequest",
    "WireAnswer",
    "answer",
    "ask_for_data",
    "ask_where",
    "billing_hints",
    "check_text",
    "compose",
    "decode_any",
    "decode_base64",
    "decode_json",
    "estimate",
    "event_data",
    "event_name",
    "extract",
    "from_messages",
    "image_too_large",
    "located",
    "named_models",
    "normalize",
    "refuse_many",
    "refuse_other_models",
    "refuse_unseen",
    "relay",
    "relay_count",
    "relay_stream",
    "stream",
    "stream_extract",
    "unfold",
    "with_vision",
]
