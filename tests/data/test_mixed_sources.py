"""Files and hub data sets in one pool: OpenHermes-2.5's columns beside LESS's, and what is predicted of their texts."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from mygo.data.pool import open_pool, write_pool
from mygo.data.records import Sample, from_records
from mygo.data.sources import read_pool_source
from mygo.params import FinetuneParams, HubDataset, WarmupParams, load_params
from mygo.preparation.tokenizer import train_tokenizer
from mygo.training.dataset import encoder_for
from tests.data.test_sources import PARAMS, prepare_params

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED, TOLD = {"role": "user", "content": "amber brook"}, {"role": "assistant", "content": "cedar dune"}


def turns(*pairs):
    return [{"from": who, "value": text, "weight": None} for who, text in pairs]


def openhermes_row(**given):
    """A row with all columns of teknium/OpenHermes-2.5, most of them null as there."""
    empty = ("topic", "model_name", "model", "views", "language", "id", "title", "idx", "hash", "avatarUrl")
    own = {"custom_instruction": None, "skip_prompt_formatting": False, "category": "orca", "source": "airoboros2.2"}
    return dict.fromkeys(empty) | own | {"system_prompt": None} | given


EXCHANGE = turns(("human", "amber brook"), ("gpt", "cedar dune"))
OPENHERMES = [
    openhermes_row(conversations=EXCHANGE),
    openhermes_row(conversations=EXCHANGE, system_prompt="Be brief."),
    openhermes_row(conversations=[*turns(("system", "Be brief.")), *EXCHANGE]),
    openhermes_row(conversations=[*turns(("system", "")), *EXCHANGE], system_prompt=""),
]


@pytest.fixture
def mixed(tmp_path):
    """Parameters of a pool of OpenHermes's rows, read as the preset reads the hub, and of one file in LESS's layout."""
    (tmp_path / "hermes").mkdir()
    pq.write_table(pa.Table.from_pylist(OPENHERMES), tmp_path / "hermes/train.parquet")
    less = tmp_path / "train/processed/dolly/dolly_data.jsonl"
    less.parent.mkdir(parents=True)
    row = {"dataset": "dolly", "id": "dolly_0", "messages": [ASKED, TOLD, ASKED, TOLD]}
    less.write_text(json.dumps(row) + "\n")
    preset = OmegaConf.to_container(OmegaConf.load(PARAMS.parent / "conf/data/openhermes.yaml"))["hub"]
    hub = [HubDataset(**(entry | {"name": str(tmp_path / "hermes")})) for entry in preset]
    return prepare_params(source="mixed", path=str(tmp_path / "train"), hub=hub)


def test_rows_of_openhermes_and_of_less_are_conversations(mixed):
    samples = [row for row in read_pool_source(mixed) if isinstance(row, Sample)]
    assert [(sample.source_dataset, sample.id) for sample in samples] == [
        ("dolly", "dolly_0"),
        *(("openhermes_2_5", f"openhermes_2_5_{i}") for i in range(4)),
    ]
    assert [sample.messages for sample in samples] == [
        [ASKED, TOLD, ASKED, TOLD],
        [ASKED, TOLD],
        [SYSTEM, ASKED, TOLD],
        [SYSTEM, ASKED, TOLD],
        [ASKED, TOLD],
    ]


@pytest.mark.parametrize(("section", "kind"), [("warmup", WarmupParams), ("finetune", FinetuneParams)])
def test_what_is_predicted_of_a_mixed_pool_is_what_the_parameters_say(mixed, tmp_path, section, kind):
    write_pool(read_pool_source(mixed), tmp_path / "pool")
    conversations = from_records(open_pool(tmp_path / "pool").to_table()["messages"])
    tokenizer = train_tokenizer(["<|user|>\namber brook\n<|assistant|>\ncedar dune\n<|system|>\nBe brief.\n"])
    given = getattr(load_params(PARAMS), section).model_dump()

    def predicted(**settings):
        encoder = encoder_for(kind.model_validate(given | settings), tokenizer)
        samples = encoder.encode(conversations)
        assert all(sample.rejected is None for sample in samples)
        return [tokenizer.decode(sample.input_ids[sample.predicted]) for sample in samples]

    end = tokenizer.eos_token
    answers = [f"cedar dune{end}" * turns for turns in (2, 1, 1, 1, 1)]
    assert predicted(predict="assistant", mask_role_markers=False) == answers
    contents = predicted(predict="full", mask_role_markers=True)
    assert contents == [
        f"amber brookcedar dune{end}" * 2,
        f"amber brookcedar dune{end}",
        *[f"Be brief.amber brookcedar dune{end}"] * 2,
        f"amber brookcedar dune{end}",
    ]
    everything = predicted(predict="full", mask_role_markers=False)
    assert all("|assistant|>" in text and "brook" in text for text in everything)
