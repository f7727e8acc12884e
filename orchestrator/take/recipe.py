"""What recipes of sparkrun and of spark-vllm-docker share: a command with `{placeholders}`, defaults, environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.knowledge.servers import basename, table
from orchestrator.take.box import Box, Made, make, wanted
from orchestrator.take.model import Document, Source, Taken, Wanted, listed, mapping, text
from orchestrator.take.names import name_for

HELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
ROUNDS = 8  # a default may name another one
HUB = {"from": "~/.cache/huggingface", "to": "/root/.cache/huggingface"}
MEANT = {  # a default's name → the flag of each engine, where it is not the name itself
    "tensor_parallel": {"vllm": "tensor-parallel-size", "sglang": "tp-size", "trtllm": "tp-size"},
    "pipeline_parallel": {"vllm": "pipeline-parallel-size", "sglang": "pp-size"},
    "data_parallel": {"vllm": "data-parallel-size", "sglang": "dp-size"},
    "gpu_memory_utilization": {"sglang": "mem-fraction-static"},
    "max_model_len": {"sglang": "context-length", "llamacpp": "ctx-size", "trtllm": "max-seq-len"},
    "served_model_name": {"llamacpp": "alias"},
}
STARTS = {
    "vllm": ["vllm", "serve", "{model}"],
    "sglang": ["sglang", "serve", "--model-path", "{model}"],
    "llamacpp": ["llama-server", "-hf", "{model}"],
    "trtllm": ["trtllm-serve", "{model}"],
}


def filled(template: str, values: Mapping[str, Any]) -> str:
    """The command with its placeholders; those that nothing names stay."""
    for _ in range(ROUNDS):
        before = template
        template = HELD.sub(
            lambda match: text(values[match[1]]) if values.get(match[1]) is not None else match[0],
            template,
        )
        if template == before or len(template) > 65_536:
            break
    return template


def open_placeholders(template: str, values: Mapping[str, Any]) -> list[str]:
    """Names that the command uses and nothing gives."""
    return sorted({name for name in HELD.findall(template) if values.get(name) is None})


def generated(engine: str, values: Mapping[str, Any]) -> str:
    """The command of a recipe that has none, from its defaults."""
    words = list(STARTS.get(engine, STARTS["vllm"]))
    for key, value in values.items():
        if key == "model" or value is None or value is False or isinstance(value, (dict, list)):
            continue
        flag = MEANT.get(key, {}).get(engine) or key.replace("_", "-")
        words.append(f"--{flag}" + ("" if value is True else " {" + key + "}"))
    return " ".join(words)


def taken_recipe(
    source: Source, taken: Taken, engine: str, executor: str, skip: Mapping[str, str]
) -> None:
    """The recipe as a profile and a deployment; `skip`: its keys that are said elsewhere, and why."""
    recipe = mapping(source.data)
    model = text(recipe.get("model"))
    values = {**mapping(recipe.get("defaults")), **({"model": model} if model else {})}
    template = text(recipe.get("command")) or generated(engine, values)
    for name in open_placeholders(template, values):
        taken.leave("command", f"{{{name}}}", "a placeholder that `defaults:` does not give")
    for name, value in values.items():
        if name != "model" and f"{{{name}}}" not in template and not _used(template, name):
            taken.leave(f"defaults.{name}", value, "the command does not use it")
    box = Box("recipe", image=text(recipe.get("container")))
    box.words = ["sh", "-c", filled(template, values)]
    _environment(box, recipe, taken)
    box.mounts = [dict(HUB)]
    made = make(box, taken)
    _finish(source, recipe, taken, made, executor)
    for key in recipe:
        if key not in USED and key not in skip:
            taken.leave(key, recipe[key], "there is no key for it")
    for key, why in skip.items():
        if key in recipe and recipe[key] not in (None, False, "", [], {}):
            taken.leave(key, recipe[key], why)


USED = frozenset(
    (
        "model",
        "container",
        "defaults",
        "env",
        "command",
        "name",
        "description",
        "recipe_version",
        "runtime",
        "min_nodes",
        "max_nodes",
        "mode",
        "solo_only",
        "cluster_only",
    )
)


def _used(template: str, name: str) -> bool:
    return any(f"{{{name}}}" in one for one in template.split())


def _environment(box: Box, recipe: Mapping[str, Any], taken: Taken) -> None:
    for name, value in mapping(recipe.get("env")).items():
        told = text(value)
        if told in (f"${name}", f"${{{name}}}"):
            box.asked.append(name)
        elif isinstance(value, (dict, list)):
            taken.leave(f"env.{name}", value, "a variable is one word")
        else:
            box.env[name] = told


def _finish(
    source: Source, recipe: Mapping[str, Any], taken: Taken, made: Made, executor: str
) -> None:
    """Name, description, how many hosts."""
    title = name_for(source.stem)
    one = made.profile
    told = text(recipe.get("description")) or text(
        mapping(recipe.get("metadata")).get("description")
    )
    profile: Document = {"version": 1}
    if told:
        profile["description"] = " ".join(told.split())[:200]
    elif recipe.get("name"):
        profile["description"] = " ".join(text(recipe["name"]).split())[:200]
    model = text(recipe.get("model"))
    if model and "model" not in one:
        one["model"] = model
    elif model and one["model"] != model:
        taken.leave("model", model, f"the command serves {one['model']}, which is taken")
    if executor and "executor" not in one and one.get("engine") == "vllm":
        one["executor"] = executor
    taken.profiles[title] = profile | one
    taken.deployments[title] = _placed(title, recipe, made, taken)


def _placed(title: str, recipe: Mapping[str, Any], made: Made, taken: Taken) -> Wanted:
    found = wanted(title, made)
    least = recipe.get("min_nodes")
    if isinstance(least, int) and 1 <= least <= 4096:
        found.nodes = max(found.nodes, least)
    if recipe.get("cluster_only") is True and found.nodes == 1:
        found.nodes = 2
    most = recipe.get("max_nodes")
    alone = recipe.get("solo_only") is True or recipe.get("mode") == "solo"
    if alone:
        found.nodes = 1
    elif isinstance(most, int) and 1 <= most < found.nodes:
        found.nodes = most
    return found


def engine_of(recipe: Mapping[str, Any]) -> str:
    """By the first word of the command that is a server; by the runtime's name where there is none."""
    for word in text(recipe.get("command")).split()[:8]:
        for engine, one in table()["servers"].items():
            if basename(word) in one["programs"]:
                return str(engine)
    runtime = text(recipe.get("runtime")).lower()
    known = {"sglang": "sglang", "llama-cpp": "llamacpp", "trtllm": "trtllm"}
    return known.get(runtime, "vllm")


__all__ = ["engine_of", "filled", "generated", "listed", "taken_recipe"]
