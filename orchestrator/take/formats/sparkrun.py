"""Recipes of sparkrun (its RECIPES.md, version 2)."""

from __future__ import annotations

from orchestrator.take.model import Source, Taken, mapping, text
from orchestrator.take.recipe import engine_of, taken_recipe

SKIP = {
    "metadata": "describes the model for sparkrun's own estimates",
    "model_revision": "say it in `args: {revision: …}`",
    "runtime_version": "the image says it",
    "runtime_config": "settings of sparkrun's own runtimes",
    "executor_config": "orch starts containers its own way: `shm:`, `entrypoint:`, `supervision:` are its keys",
    "pre_exec": "nothing is run in a container before the server: `packages:`, `mounts:`, or an image of your own",
    "post_exec": "`warmup:`, or `hooks:` of the cluster file",
    "post_commands": "`hooks: {after: …}` of the cluster file run on this machine",
    "stop_after_post": "a deployment goes on serving",
    "benchmark": "orch does not run sparkrun's benchmarks",
    "builder": "`build:` makes an image from a Dockerfile of yours",
    "builder_config": "`build:` makes an image from a Dockerfile of yours",
    "build_args": "`build:` makes an image from a Dockerfile of yours",
    "mods": "put the changes into an image of your own, or `mounts: {sync: true}` over the files",
    "distribution_config": "orch copies images from host to host by itself; weights lie on the hosts",
    "sparkrun_version": "a condition of sparkrun's",
}
EXECUTORS = {"vllm-ray": "ray", "eugr-vllm": "ray", "vllm-distributed": "native"}


class Sparkrun:
    """See model.Format."""

    name = "sparkrun"
    what = "a recipe of sparkrun"

    def fits(self, source: Source) -> bool:
        recipe = mapping(source.data)
        written = "container" in recipe or "runtime" in recipe
        own = "runtime" in recipe or text(recipe.get("recipe_version")) == "2"
        return "model" in recipe and written and own and "engine" not in recipe

    def take(self, source: Source) -> Taken:
        taken = Taken(self.name)
        recipe = mapping(source.data)
        runtime = text(recipe.get("runtime")).lower()
        if runtime not in ("", "vllm", "sglang", "llama-cpp", "trtllm", *EXECUTORS):
            taken.leave(
                "runtime", runtime, "orch has no such engine: the command tells which is taken"
            )
        taken_recipe(source, taken, engine_of(recipe), self._executor(source), SKIP)
        return taken

    def _executor(self, source: Source) -> str:
        """Ray where it is named; else vLLM's own mode, as sparkrun takes a bare `vllm`."""
        recipe = mapping(source.data)
        least = recipe.get("min_nodes")
        said = EXECUTORS.get(text(recipe.get("runtime")).lower(), "")
        several = isinstance(least, int) and least > 1
        return said or ("native" if several else "")


FORMAT = Sparkrun()
