"""Profiles as a list: what each comes to, which file says what, how large the models are and where they fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import root
from orchestrator.cli.errors import run_guarded
from orchestrator.spec.catalogue import differences, known, names
from orchestrator.spec.fit import fit, told, weights
from orchestrator.spec.models import Host, Profile
from orchestrator.spec.resolve import load, load_cluster, load_inventory
from tests.unit.spec.conftest import Site

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
GIB = 1024**3


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    one = Site(tmp_path)
    one.write(
        "profiles/child.yaml",
        "version: 1\nextends: big\nargs:\n  nested: {b: 3}\n  more: x\nenv: {A: null}\n",
    )
    return one


def guarded(*words: str) -> int:
    """The exit code of a verb."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["orch", *words])
        return run_guarded(root)


def hosts(site: Site, text: str) -> dict[str, Host]:
    site.write("inventory.yaml", "version: 1\nhosts:\n" + text)
    return dict(load_inventory(site.root / "inventory.yaml").hosts)


def profile(**more: object) -> Profile:
    return Profile.model_validate({"version": 1, "name": "p", "model": "a/B", **more})


# --- values and where they come from ----------------------------------------------------------------


def test_each_value_with_the_file_and_line_that_says_it(site: Site) -> None:
    found = {
        one.path: (one.value, Path(one.file).name, one.line)
        for one in known("child", site.root).values
    }
    assert found["args.nested.b"] == (3, "child.yaml", 4)
    assert found["args.nested.a"] == (1, "big.yaml", 5)
    assert found["args.more"] == ("x", "child.yaml", 5)
    assert found["env.B"] == ("two", "big.yaml", 6)
    assert "env.A" not in found  # null took it away
    assert "version" not in found
    assert "extends" not in found


def test_values_are_those_that_a_deployment_gets(site: Site) -> None:
    """What is shown is what is run: the same merge, whichever way it is asked for."""
    site.edit("cluster.yaml", "profile: big", "profile: child")
    served = load_cluster(site.root / "cluster.yaml", purpose="look").deployments["vl"].profile
    shown = known("child", site.root).profile
    assert shown is not None
    assert shown.model_copy(update={"executor": "ray"}) == served


def test_every_profile_that_ships_is_right_and_each_value_has_a_place() -> None:
    for name in names(EXAMPLES / "three-sparks"):
        one = known(name, EXAMPLES / "three-sparks")
        assert one.findings == ()
        assert one.profile is not None
        assert all(value.file and value.line for value in one.values), name
        assert one.common or weights(one.profile) is not None, name


def test_what_differs(site: Site) -> None:
    one, other = known("big", site.root), known("child", site.root)
    found = {path: (a and a.value, b and b.value) for path, a, b in differences(one, other)}
    assert found == {"args.nested.b": (2, 3), "args.more": (None, "x"), "env.A": ("one", None)}
    assert list(differences(one, one)) == []


def test_a_profile_that_is_wrong_says_so_and_hides_no_other(site: Site) -> None:
    site.write("profiles/bad.yaml", "version: 1\nextends: nobody\n")
    site.write("profiles/worse.yaml", "version: 1\nmodle: x\n")
    said = CliRunner().invoke(root, ["profiles"]).output
    assert "wrong: orch profiles show bad" in said
    assert "wrong: orch profiles show worse" in said
    assert "child" in said
    assert guarded("profiles", "show", "worse") == 2


# --- how large, and where -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "gib"),
    [
        ("alpertor/Qwen3.5-122B-A10B-FP8", 118),  # the notes: 59.1 GiB on each of two hosts
        ("Qwen/Qwen3-8B", 14.9),  # 16.4 GB in the notes, which count the embedding twice
        ("/srv/models/Qwen3-Coder-Next-80B-W4A16", 42),  # 46 GB
        ("/srv/models/Qwen3.5-397B-A17B-Q2_K-00001-of-00004.gguf", 129),  # 67 + 71 GB
        ("x/nvidia_Llama-3_3-Nemotron-Super-49B-v1_5-Q8_0-00001-of-00002.gguf", 48.5),  # 51 GB
    ],
)
def test_a_size_from_the_name_is_near_what_people_have_seen(model: str, gib: float) -> None:
    found = weights(profile(model=model))
    assert found is not None
    assert not found.said
    assert found.size / GIB == pytest.approx(gib, rel=0.05)


def test_a_size_that_is_said_counts_and_none_is_guessed_from_nothing() -> None:
    said = weights(profile(model="a/Qwen3-8B", weights="10GiB"))
    assert said is not None
    assert (said.size, said.said) == (10 * GIB, True)
    assert weights(profile(model="a/GLM-4.7-Flash-AWQ")) is None
    assert weights(profile(model="a/Model-A10B")) is None  # the active ones are not all


SPARKS = "".join(f"  spark-{n}: {{kind: dgx-spark, address: 10.0.0.{n}}}\n" for n in (1, 2, 3))
CARDS = ", ".join(f"{{index: {n}, memory: 24GiB}}" for n in range(3))
BOX = f"  box: {{kind: gpu-host, address: box, gpus: [{CARDS}]}}\n"


def placed(site: Site, text: str, gib: float, **more: object) -> list[str]:
    one = profile(engine="vllm", args={"gpu-memory-utilization": 0.9}, **more)
    return list(told(fit(one, hosts(site, text).values(), int(gib * GIB))))


def test_the_fewest_gpus_then_the_fewest_hosts(site: Site) -> None:
    assert placed(site, SPARKS + BOX, 18) == ["spark-1, spark-2, spark-3", "box"]
    assert placed(site, SPARKS + BOX, 30) == ["spark-1, spark-2, spark-3", "box (TP 2)"]
    assert placed(site, SPARKS + BOX, 150) == ["2 of spark-1, spark-2, spark-3 (TP 2)"]
    assert placed(site, SPARKS, 250) == ["3 of spark-1, spark-2, spark-3 (PP 3)"]
    assert placed(site, SPARKS, 250, heads=63) == ["3 of spark-1, spark-2, spark-3 (TP 3)"]
    assert placed(site, SPARKS, 400) == []
    assert placed(site, SPARKS, 150, executor="mp") == []  # which is for one host


def test_llamacpp_fills_unlike_cards_and_others_the_least_of_them(site: Site) -> None:
    text = "  rig: {kind: gpu-host, address: rig, gpus: [{index: 0, memory: 12GiB}, {index: 1, memory: 24GiB}]}\n"
    found = fit(profile(engine="llamacpp"), hosts(site, text).values(), 32 * GIB)
    assert list(told(found)) == ["rig (2 GPUs)"]
    assert placed(site, text, 19) == ["rig"]  # on the larger one
    assert placed(site, text, 20) == []  # two equal halves would be 10 and a tenth


def test_what_is_kept_free_is_not_used(site: Site) -> None:
    text = (
        "  rig: {kind: gpu-host, address: rig, gpus: [{index: 0, memory: 24GiB, reserve: 8GiB}]}\n"
    )
    assert placed(site, text, 14) == ["rig"]
    assert placed(site, text, 15) == []


def test_what_is_not_known_is_never_a_fit(site: Site) -> None:
    """Neither a host whose GPUs nobody described, nor a model of unknown size."""
    text = "  bare: {kind: gpu-host, address: bare, gpus: 2}\n"
    found = fit(profile(engine="vllm"), hosts(site, text).values(), GIB)
    assert (found.places, found.small, found.unknown) == ((), (), ("bare",))


# --- the verb -----------------------------------------------------------------------------------------


def test_the_list_with_hosts_and_without(site: Site) -> None:
    site.write("profiles/gone.yaml", "version: 1\nextends: big\narchived: too slow\n")
    said = CliRunner().invoke(root, ["profiles"]).output
    assert "FITS ON" in said
    assert "2 of spark-1, spark-2, spark-3 (TP 2)" in said  # qwen3-vl-235b-awq
    assert "archived: too slow" in said
    assert said.index("gone") > said.index("qwen3-vl-235b-awq")
    assert "for others to build on: " in said
    for name in ("cluster.yaml", "inventory.yaml"):
        (site.root / name).unlink()
    assert "DESCRIPTION" in CliRunner().invoke(root, ["profiles", "list"]).output


def test_show_and_compare(site: Site) -> None:
    shown = CliRunner().invoke(root, ["profiles", "show", "child"]).output
    assert "profiles/child.yaml → profiles/big.yaml" in shown
    assert "big.yaml:5" in shown.split()
    told_ = CliRunner().invoke(root, ["profiles", "compare", "big", "child"]).output
    assert "args.more" in told_
    assert "image" not in told_
    assert "the same" in CliRunner().invoke(root, ["profiles", "compare", "big", "big"]).output


def test_names_that_are_not_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded("profiles", "show", "chidl") == 2
    assert "did you mean 'child'" in capsys.readouterr().err
    assert guarded("profiles", "compare", "big", "chidl") == 2


def test_json(site: Site) -> None:
    listed = json.loads(CliRunner().invoke(root, ["profiles", "--json"]).output)
    one = next(item for item in listed["profiles"] if item["name"] == "qwen3-vl-235b-awq")
    assert one["fits"][0] == {
        "hosts": ["spark-1", "spark-2", "spark-3"], "count": 2, "gpus": 2, "sizes": "TP 2"
    }  # fmt: skip
    assert one["weights"]["said"] is False
    assert one["not_known"] == ["rig"]
    shown = json.loads(CliRunner().invoke(root, ["profiles", "show", "child", "--json"]).output)
    assert {"path": "args.more", "value": "x", "file": "profiles/child.yaml", "line": 5} in shown[
        "values"
    ]
    apart = json.loads(
        CliRunner().invoke(root, ["profiles", "--json", "compare", "big", "child"]).output
    )
    assert [item["path"] for item in apart["values"]] == ["args.nested.b", "env.A", "args.more"]


def test_a_deployment_of_an_archived_profile_is_warned_of(site: Site) -> None:
    site.edit("profiles/big.yaml", "version: 1", "version: 1\narchived: too slow")
    found = load(site.root / "cluster.yaml").warnings
    assert [one.path for one in found if "big is archived: too slow" in one.message] == [
        "deployments.vl.profile"
    ]
