"""Lab hosts that are virtual machines: a kernel of their own, and verbs by Soft-RoCE."""
