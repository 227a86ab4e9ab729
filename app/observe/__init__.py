"""What operators see of the service: figures, logs and traces; none of them holds a key, a prompt or a picture."""

from app.observe.observer import Observer, Step

__all__ = ["Observer", "Step"]
