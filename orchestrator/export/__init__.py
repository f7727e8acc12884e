"""A cluster for who goes on without orch: docker compose, systemd units, Kubernetes manifests.

Values in, texts out. What another system has no word for (gates, the fabric, a warm-up) is named, never dropped.
"""
