"""Attacks on a service of one's own, bounded, on loopback only: nothing may crash, leak, hang or answer 500."""
