"""orch: one large model served across the machines you own, over SSH."""

__version__ = "0.1.0"
