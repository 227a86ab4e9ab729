"""The ledger's statements; nothing else of it knows SQL."""
