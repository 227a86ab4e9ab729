"""Stream events in, the whole message out, at the level of JSON: nothing the vendor adds is dropped."""

from typing import cast

import msgspec

from app.domain import Json

JsonObject = dict[str, Json]


class MessageBuilder:
    """Puts the events of one stream together again.

    Source: https://platform.claude.com/docs/en/build-with-claude/streaming, seen 2026-08-22.
    """

    def __init__(self) -> None:
        """Begin before `message_start`."""
        self.message: JsonObject = {}
        self.complete = False
        self._partial_json: dict[int, str] = {}

    @property
    def usage(self) -> JsonObject:
        """What has been reported as billed so far: the start's figures, overlaid by those of later events."""
        return _object(self.message.get("usage"))

    @property
    def billed_whole(self) -> bool:
        """Whether the vendor has said all of what it bills: the last of it comes with the reason of the stop."""
        return self.complete or self.message.get("stop_reason") is not None

    def add(self, event: JsonObject) -> str:
        """Take in one event; gives the piece of answer text that it holds, mostly none."""
        match event.get("type"):
            case "message_start":
                self.message = {**_object(event.get("message")), "content": []}
                self.message["usage"] = _object(_object(event.get("message")).get("usage"))
            case "content_block_start":
                block = dict(_object(event.get("content_block")))
                self._blocks().append(block)
                return _text(block.get("text")) if block.get("type") == "text" else ""
            case "content_block_delta":
                return self._extend(event.get("index"), _object(event.get("delta")))
            case "content_block_stop":
                self._close(event.get("index"))
            case "message_delta":
                self.message.update(_object(event.get("delta")))
                reported = _object(event.get("usage"))
                self.usage.update({key: value for key, value in reported.items() if value is not None})
            case "message_stop":
                self.complete = True
            case _:
                pass
        return ""

    def _extend(self, index: Json, delta: JsonObject) -> str:
        block = self._block(index)
        match delta.get("type"):
            case "text_delta":
                text = _text(delta.get("text"))
                block["text"] = _text(block.get("text")) + text
                return text
            case "thinking_delta":
                block["thinking"] = _text(block.get("thinking")) + _text(delta.get("thinking"))
            case "signature_delta":
                block["signature"] = delta.get("signature")
            case "citations_delta":
                block["citations"] = [*_array(block.get("citations")), delta.get("citation")]
            case "input_json_delta":
                key = cast("int", index)
                self._partial_json[key] = self._partial_json.get(key, "") + _text(delta.get("partial_json"))
            case _:
                pass
        return ""

    def _close(self, index: Json) -> None:
        text = self._partial_json.pop(index, "") if isinstance(index, int) else ""
        if text:
            try:
                self._block(index)["input"] = msgspec.json.decode(text)
            except msgspec.DecodeError:  # cut short by max_tokens; what came of it is kept as text
                self._block(index)["input"] = text

    def _blocks(self) -> list[Json]:
        blocks = self.message.setdefault("content", [])
        return _array(blocks)

    def _block(self, index: Json) -> JsonObject:
        blocks = self._blocks()
        if isinstance(index, int) and 0 <= index < len(blocks):
            return _object(blocks[index])
        return {}


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _array(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
