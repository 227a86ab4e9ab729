"""The only place that knows the Anthropic SDK: bodies out, answers and typed errors back."""

from app.upstream.claude import ClaudeUpstream
from app.upstream.message import MessageBuilder
from app.upstream.retry import RetryPolicy

__all__ = ["ClaudeUpstream", "MessageBuilder", "RetryPolicy"]
