"""Steps: one file a step. A file offers stages to playbooks by a module attribute.

    STAGES: dict[str, StageBuilder] = {"swap": swap_steps}

A stage builder is pure: `def swap_steps(cluster: Cluster, options: Mapping[str, Any]) -> Iterable[Step]`.
`options` are the stage's keys in the playbook's YAML. It gives its steps ids "<scope or host>/<stage>/<…>"
and, in `needs`, only the edges that the stage order does not give (ids that are not in the plan are dropped).
The playbook adds: a step needs the steps of the stages before it that touch one of its hosts, unless both
have a scope and the scopes differ; with `barrier: true` it needs all of them.

New steps are found by themselves: no list to edit (`plan/stages.py` walks this package).
"""
