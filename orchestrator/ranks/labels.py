"""Labels of a rank: what its host says of it, and all that is known of it when the files are gone."""

from __future__ import annotations

from orchestrator.contracts import Rank
from orchestrator.ranks.spec import canonical, digest


def labels(rank: Rank) -> dict[str, str]:
    return {
        "orch.cluster": rank.cluster,
        "orch.deployment": rank.deployment,
        "orch.rank": str(rank.index),
        "orch.role": rank.role,
        "orch.host": rank.host,
        "orch.hash": digest(rank),
        "orch.spec": canonical(rank),
    }
