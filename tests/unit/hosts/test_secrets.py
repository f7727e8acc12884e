"""Secrets: read where the files say, put in only as bytes leave, and out of every text."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import FilesWrong
from orchestrator.hosts.secrets import Secrets, become_name, fill_request, fill_script
from orchestrator.redact import MASK, Redactor
from orchestrator.script import Command, Request, Script, Sh, quote, secret_mark
from orchestrator.spec.models import SecretRef

VALUE = "hf_\"Sécr'et$x"


def test_values_from_environment_file_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "from env")
    (tmp_path / "token").write_text("from file\n")
    refs = {
        "env": SecretRef(env="TOKEN"),
        "file": SecretRef(file="token"),
        "command": SecretRef(command="printf 'from command\\n'"),
    }
    redactor = Redactor()
    secrets = Secrets(refs, redactor, tmp_path)
    assert [secrets(name) for name in refs] == ["from env", "from file", "from command"]
    assert redactor.scrub("it is from file!") == f"it is {MASK}!"
    monkeypatch.delenv("TOKEN")
    assert secrets("env") == "from env"  # read once


def test_all_that_are_not_set_are_told_at_once_and_without_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    refs = {
        "a": SecretRef(env="NOT_SET"),
        "b": SecretRef(file="absent"),
        "c": SecretRef(command="sh -c 'echo leaked; exit 3'"),
        "d": SecretRef(command="/no/such/program"),
    }
    with pytest.raises(FilesWrong) as caught:
        Secrets(refs, Redactor(), tmp_path).check()
    text = str(caught.value)
    assert all(f"secret {name}:" in text for name in refs) and "leaked" not in text
    with pytest.raises(FilesWrong, match="do not say"):
        Secrets({}, Redactor(), tmp_path)(become_name("h"))


def test_marks_are_filled_in_stdin_only() -> None:
    mark = secret_mark("vl/HF_TOKEN")
    script = Script(
        {"one": Command(Sh("cat"), stdin=b"\xff\x00" + f"T={mark}".encode() + b"\x02x\xff")},
        then={"two": Command(Sh("cat"), stdin=mark.encode())},
    )
    filled = fill_script(script, {"vl/HF_TOKEN": VALUE}.__getitem__)
    assert filled.commands["one"].stdin == b"\xff\x00T=" + VALUE.encode() + b"\x02x\xff"
    assert filled.then["two"].stdin == VALUE.encode()
    assert VALUE not in repr(filled)
    plain = Script({"one": Command(Sh("cat"), stdin=b"x")})
    assert fill_script(plain, str.upper) is plain
    request = Request(1, "/x", body=b"x", headers=(("Authorization", f"Bearer {mark}"),))
    assert fill_request(request, lambda name: "t0ken").headers[0][1] == "Bearer t0ken"


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        json.dumps({"a": VALUE}),
        quote(VALUE),
        base64.b64encode(VALUE.encode()).decode(),
        f"x{VALUE}y {VALUE}",
    ],
)
def test_every_form_of_a_value_is_masked(form: str) -> None:
    redactor = Redactor()
    redactor.add(VALUE + "\n")
    scrubbed = redactor.scrub(form)
    assert MASK in scrubbed and "cr'et" not in scrubbed and "cr\\'et" not in scrubbed


@given(st.lists(st.text(min_size=4, max_size=20), min_size=1, max_size=5), st.text(max_size=50))
def test_no_known_value_survives(values: list[str], around: str) -> None:
    redactor = Redactor()
    for value in values:
        redactor.add(value)
    text = around + "".join(values) + around
    scrubbed = redactor.scrub(text)
    for value in values:
        assert value in MASK or value not in scrubbed.replace(MASK, "\n\n")


def test_a_short_value_does_not_mask_everything() -> None:
    redactor = Redactor()
    redactor.add("a")
    redactor.add("")
    assert redactor.scrub("banana") == "banana"
