"""The accelerate config: what it may hold, what needs accelerate's own launcher, and what is left to the stages."""

import base64
import json
import os
import tempfile

import pytest
from accelerate.commands import launch
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.utils import DistributedType

from mygo.errors import UserError
from mygo.launch import config as module
from mygo.launch.config import KEYS, TYPES, read_launch_config
from mygo.launch.engine import run_with_accelerate
from mygo.launch.folder import launch_folder

DEEPSPEED = "distributed_type: DEEPSPEED\ndeepspeed_config: "


def refused(tmp_path, content):
    path = tmp_path / "accelerate.yaml"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        read_launch_config(str(path))
    assert "\n" not in str(error.value)
    return str(error.value).replace(str(tmp_path), "HERE").replace("HERE/accelerate.yaml", "{path}")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("mixed_precision: bf16", "{path}: mixed_precision: got 'bf16'; takes 'no', for the number format is"),
        ("[1, 2", "launch.accelerate_config: {path} is not readable as YAML"),
        ("fp16: true", "{path}: fp16: got True; takes false, for the number format is"),
        ("distributed_type: MULTI_GPUS", "{path}: distributed_type: got MULTI_GPUS; takes NO, MULTI_CPU, MULTI_GPU, "),
        ("num_machine: 1", "{path}: num_machine: unknown key; did you mean num_machines? accelerate takes command"),
        ("1: 1", "{path}: 1: unknown key; accelerate takes command"),
        ("num_machines: two", "{path}: num_machines: got two; takes a number of 1 or more"),
        ("compute_environment: AMAZON_SAGEMAKER", "{path}: compute_environment: got AMAZON_SAGEMAKER; takes LOCAL_MA"),
        ("deepspeed_config: 3", "{path}: deepspeed_config: got 3; takes the keys of a section"),
        ("3", "launch.accelerate_config: {path} is not an accelerate config"),
        ("[" * 1500, "launch.accelerate_config: {path} is not readable as YAML"),
    ],
)
def test_an_accelerate_config_that_cannot_be_used_is_named(tmp_path, content, sentence):
    assert refused(tmp_path, content).startswith(sentence)


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        ("distributed_type: MULTI_GPU\ngpu_ids: all\nmachine_rank: 0\nmixed_precision: no\ntpu_use_sudo: false", True),
        ("distributed_type: FSDP\nfsdp_config: {fsdp_version: 2}", False),
        ("distributed_type: MULTI_GPU\nnum_machines: 2", False),
        ("distributed_type: MULTI_GPU\ndynamo_config: {dynamo_backend: INDUCTOR}", False),
    ],
)
def test_an_engine_needs_the_launcher_of_accelerate(tmp_path, content, plain):
    path = tmp_path / "accelerate.yaml"
    path.write_text(content)
    assert read_launch_config(str(path)).plain is plain


def test_what_it_may_hold_is_what_accelerate_takes():
    assert set(TYPES) == {str(kind.value) for kind in DistributedType}
    assert set(KEYS) == ClusterConfig.__dataclass_fields__.keys() | {"fp16", "dynamo_backend"}  # which it converts


@pytest.mark.parametrize(("kind", "package"), module.PACKAGES.items())
def test_an_engine_that_is_not_installed_is_named(tmp_path, monkeypatch, kind, package):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert refused(tmp_path, f"distributed_type: {kind}") == (
        f"{{path}}: distributed_type: got {kind}, which needs the package {package}; it is not installed"
    )


@pytest.mark.parametrize("name", ["bf16", "fp16", "amp"])
@pytest.mark.parametrize("how", ["inline", "file", "text", "base64"])
def test_deepspeed_does_not_decide_the_number_format(tmp_path, monkeypatch, name, how):
    monkeypatch.setattr(module, "find_spec", lambda name: name)
    for enabled in (True, "auto", False):
        text = json.dumps({name: {"enabled": enabled}})
        (tmp_path / "deepspeed.json").write_text(text)
        named = {"file": str(tmp_path / "deepspeed.json"), "base64": base64.urlsafe_b64encode(text.encode()).decode()}
        given = text if how == "inline" else json.dumps({"deepspeed_config_file": named.get(how, text)})
        if enabled is True:
            said = refused(tmp_path, DEEPSPEED + given)
            assert f": {name}.enabled: got True; takes false or auto, for the number format is a parameter of" in said
        else:
            (tmp_path / "accelerate.yaml").write_text(DEEPSPEED + given)
            assert not read_launch_config(str(tmp_path / "accelerate.yaml")).plain


@pytest.mark.parametrize("named", ["none.json", "[1]", "a\\0b"])
def test_a_config_of_deepspeed_that_cannot_be_read_is_named(tmp_path, named):
    said = refused(tmp_path, f'{DEEPSPEED}{{"deepspeed_config_file": "{named}"}}')
    assert said.startswith("{path}: deepspeed_config.deepspeed_config_file: got ")
    assert said.endswith(", which is not to be read as JSON; takes DeepSpeed's config")


def test_what_accelerate_refuses_all_the_same_is_a_sentence(tmp_path, monkeypatch):
    def refuse(_):
        raise ValueError("You need to use at least 2 processes\nto use `--multi_gpu`.")

    monkeypatch.setattr(launch, "launch_command", refuse)
    monkeypatch.setattr(os, "environ", {**os.environ, "MYGO_TRACEBACK": "1"})
    path = tmp_path / "accelerate.yaml"
    path.write_text("distributed_type: FSDP\n")
    with pytest.raises(UserError, match=r"accelerate\.yaml: accelerate does not take it \(You need .* to use `--mul"):
        run_with_accelerate("warmup", [], 1, read_launch_config(str(path)), {})


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"),
        OSError(28, "No space left on device", "/tmp/mygo-launch-x"),
    ],
)
def test_a_full_disk_is_a_sentence(monkeypatch, error):
    def full(**_):
        raise error

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with pytest.raises(UserError, match=r"^TMPDIR: no temporary folder can be made .* \(No (usable|space).*\); free"):
        launch_folder().__enter__()
