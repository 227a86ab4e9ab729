"""An offline stand-in for the Claude API: its shapes, limits, errors and bill, without a model behind them.

It answers on a real port, so that a front end can be built and the service tested without a key. It checks what the
vendor is known to check, at the vendor's limits and with the vendor's words where they are known, and it says in every
answer that nothing was understood. Each family of endpoints is one file that offers `routes`.

It imitates somebody else's service, so it shares nothing with this one but the vendor's own facts: `app.catalog`,
`app.domain` and the size rule of `app.imaging.tokens`.
"""

from app.sandbox.app import create_sandbox
from app.sandbox.server import sandbox_in_thread, serve_sandbox
from app.sandbox.state import State

__all__ = ["State", "create_sandbox", "sandbox_in_thread", "serve_sandbox"]
