"""Recipes of spark-vllm-docker (its recipes/README.md): `run-recipe.sh` fills them in."""

from __future__ import annotations

from orchestrator.take.model import Source, Taken, mapping, text
from orchestrator.take.recipe import engine_of, taken_recipe

SKIP = {
    "build_args": "its image is built by build-and-copy.sh: build it there, or give orch `build:` or another image",
    "mods": "put the changes into an image of your own, or `mounts: {sync: true}` over the files",
}
OWN = ("build_args", "mods", "cluster_only", "solo_only")


class SparkVllmDocker:
    """See model.Format."""

    name = "spark-vllm-docker"
    what = "a recipe of spark-vllm-docker"

    def fits(self, source: Source) -> bool:
        recipe = mapping(source.data)
        first = text(recipe.get("recipe_version")) in ("1", "") and (
            "recipe_version" in recipe or any(key in recipe for key in OWN)
        )
        return "runtime" not in recipe and first and "container" in recipe and "command" in recipe

    def take(self, source: Source) -> Taken:
        taken = Taken(self.name)
        taken_recipe(source, taken, engine_of(mapping(source.data)), "", SKIP)
        return taken


FORMAT = SparkVllmDocker()
