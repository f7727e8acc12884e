"""Why here: a host's runtime is what is called there: `docker`, `podman`, or `sudo -n podman`.

Podman keeps root's containers and images apart from each user's, so that who calls is part of which.
"""

from __future__ import annotations

from orchestrator.script import Raw, argv


def spoken(runtime: str) -> Raw:
    """The words of the command, to be put into shell."""
    return Raw(argv(*runtime.split()))


def program(runtime: str) -> str:
    """Which container engine it is.

    >>> program("sudo -n podman")
    'podman'
    """
    return runtime.rpartition(" ")[2]


def typed(runtime: str) -> str:
    """The command as a person would type it: who sits there may be asked for a password."""
    return runtime.replace("sudo -n ", "sudo ")


def anywhere(runtime: str, image: str) -> str:
    """The image's whole name, for a pull: docker takes what names no registry for its own, podman asks which.

    >>> anywhere("podman", "vllm/vllm-openai:v0.11.0")
    'docker.io/vllm/vllm-openai:v0.11.0'
    """
    first, slash, _ = image.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    if program(runtime) != "podman" or named:
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"
