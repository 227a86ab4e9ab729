"""Key in, `Caller` out: who is asking, and which keys there are. What a key has spent is not known here."""
