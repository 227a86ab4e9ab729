"""The main path and everything that is only its own. `app.web` reaches the capabilities through here alone."""

from app.access.keyring import Credentials, NewKey
from app.access.keys import Key
from app.ledger import MOST_KEPT_BYTES, Claim, RateLimit, UsageGroup, UsageReport, WireAnswer
from app.pipeline.allowing import refuse_other_models
from app.pipeline.answering import AnswerStream, answer, estimate, normalize, stream
from app.pipeline.message_body import (
    JsonObject,
    MessageBody,
    check_text,
    decode_any,
    decode_base64,
    decode_json,
    image_too_large,
)
from app.pipeline.models import with_vision
from app.pipeline.ports import Services
from app.pipeline.relaying import Relayed, RelayedStream, event_data, event_name, relay, relay_count, relay_stream
from app.pipeline.reports import Answer, Estimate, FileFacts, ImageReport, ModelEstimate, SentImage
from app.pipeline.request import (
    Picture,
    Question,
    RequestPolicy,
    UnusableImage,
    VisionRequest,
    billing_hints,
    compose,
    from_messages,
)
from app.pipeline.room import Room
from app.pipeline.stopwatch import Stopwatch
from app.pipeline.unfolding import Unfolding, unfold
from app.upstream.claude import Call, Reply

__all__ = [
    "MOST_KEPT_BYTES",
    "Answer",
    "AnswerStream",
    "Call",
    "Claim",
    "Credentials",
    "Estimate",
    "FileFacts",
    "ImageReport",
    "JsonObject",
    "Key",
    "MessageBody",
    "ModelEstimate",
    "NewKey",
    "Picture",
    "Question",
    "RateLimit",
    "Relayed",
    "RelayedStream",
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
    "billing_hints",
    "check_text",
    "compose",
    "decode_any",
    "decode_base64",
    "decode_json",
    "estimate",
    "event_data",
    "event_name",
    "from_messages",
    "image_too_large",
    "normalize",
    "refuse_other_models",
    "relay",
    "relay_count",
    "relay_stream",
    "stream",
    "unfold",
    "with_vision",
]
