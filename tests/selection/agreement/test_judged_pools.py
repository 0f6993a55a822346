"""Pools built from trees and from pairs, by hand and from the real data sets."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.judged_pools import alpaca, build, oasst1, tulu1
from mygo.data.answers import answer_words, prompt_numbers
from mygo.data.labels import read_label_columns
from mygo.data.pool import write_pool
from mygo.data.readers import read_rows
from mygo.data.records import Sample
from mygo.data.sources import read_pool_source
from mygo.errors import UserError
from mygo.params import load_params
from mygo.selection.agreement.overlap import overlap
from mygo.selection.agreement.pairs import pairwise
from tests.selection.agreement.running import PARAMS


def message(name, parent, role, text, quality=None, rank=None, deleted=False):
    rated = {"label_quality": quality, "label_helpfulness": None, "label_creativity": None}
    places = {"message_id": name, "parent_id": parent, "role": role, "text": text}
    return {**places, "rank": rank, "deleted": deleted, **rated}


def test_every_way_from_the_root_to_an_answer():
    tree = [
        message("q", None, "prompter", "Why?"),
        message("a", "q", "assistant", "So.", quality=0.5, rank=1),
        message("b", "q", "assistant", "Because.", quality=1.0, rank=0),
        message("again", "b", "prompter", "Really?"),
        message("c", "again", "assistant", "Yes."),
        message("gone", "q", "prompter", "Spam", deleted=True),
        message("d", "gone", "assistant", "Below what was deleted"),
        message("e", "nowhere", "assistant", "Its parent is not there"),
    ]
    rows = {row["id"]: row for row in oasst1(tree)}
    assert set(rows) == {"a", "b", "c"}
    assert [turn["content"] for turn in rows["c"]["messages"]] == ["Why?", "Because.", "Really?", "Yes."]
    assert [turn["role"] for turn in rows["c"]["messages"]] == ["user", "assistant", "user", "assistant"]
    assert [(rows[name]["quality"], rows[name]["rank"]) for name in "abc"] == [(0.5, -1), (1.0, 0), (None, None)]


def judgement(models, completions, acceptable, preference):
    sides = zip("ab", models, completions, acceptable, strict=True)
    row = {"instance_id": "task", "prompt": "Write.", "preference": preference}
    for side, model, completion, is_acceptable in sides:
        row |= {f"model_{side}": model, f"completion_{side}": completion}
        row[f"completion_{side}_is_acceptable"] = is_acceptable
    return row


def test_pairs_become_one_row_a_completion():
    pairs = [
        judgement(("x", "y"), ("X", "Y"), ("yes", "no"), "a-is-better"),
        judgement(("y", "x"), ("Y", "X"), ("yes", "yes"), "tie"),  # another evaluator, the other way round
        judgement(("z", "x"), ("Z", "X"), ("no", "no"), "b-is-slightly-better"),
        judgement(("x", "y"), ("X", "Y"), (None, None), None),  # not judged
    ]
    x, y, z = list(tulu1(pairs))
    assert [row["id"] for row in (x, y, z)] == ["task/x", "task/y", "task/z"]
    # acceptable: x 2 of 3, y 1 of 2, z 0 of 1; points of x 1, .5, .75
    assert [row["acceptable"] for row in (x, y, z)] == ["yes", None, "no"]
    assert [row["preference"] for row in (x, y, z)] == [0.75, 0.25, 0.25]
    assert [row["x_or_y"] for row in (x, y, z)] == [0.75, 0.25, None]
    assert [row["x_or_z"] for row in (x, y, z)] == [0.75, None, 0.25]


def test_columns_of_alpaca():
    row = {"idx": 3, "instruction": "Do.", "input": "", "output": "Done.", "in_some": True, "cherry_5pct_pos": None}
    changed = {name: value for name, value in row.items() if name != "idx"}
    assert list(alpaca([row])) == [{"id": "3", **changed}]


def test_a_file_of_another_kind_is_one_sentence(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "a"}) + "\n")
    with pytest.raises(UserError, match="has no column or value message_id, so it is not of oasst1"):
        build("oasst1", path, tmp_path / "out.jsonl")


@pytest.fixture
def pool_of(tmp_path, shared_data):
    def make(kind, file):
        rows, labels = build(kind, shared_data / file, tmp_path / kind / f"{kind}.jsonl")
        changes = {"source": "local", "path": str(tmp_path / kind), "label_column": labels}
        params = load_params(PARAMS).prepare.model_copy(update=changes)
        counts = write_pool(read_pool_source(params), tmp_path / "pool")
        assert counts.rows == rows
        return tmp_path / "pool"

    return make


def numbers(texts):
    return np.array([np.nan if text is None else float(text) for text in texts])


def test_all_of_oasst1(pool_of):
    pool = pool_of("oasst1", "oasst1_val_en/oasst1_en_validation.parquet")
    labels = read_label_columns(pool)
    assert list(labels) == ["quality", "helpfulness", "creativity", "rank"]
    # 1,243 answers but for what was deleted or is cut off
    quality, rank = numbers(labels["quality"]), numbers(labels["rank"])
    assert (len(quality), np.isnan(quality).sum()) == (1213, 4)
    prompt = prompt_numbers(pool)
    several = Counter(Counter(prompt.tolist()).values())
    assert max(several) == 5
    # quality and rank of the same raters order 63 % of the pairs alike: no score can be expected to do much better
    there = ~np.isnan(quality) & ~np.isnan(rank)
    agreed = pairwise(quality[there], rank[there], prompt[there], 0)
    assert (agreed.pairs, agreed.prompts) == (1019, 415)
    assert agreed.right.value == pytest.approx(0.632, abs=1e-3)
    assert 0.58 < agreed.right.low < 0.62


def test_all_of_tulu1(pool_of):
    pool = pool_of("tulu1", "tulu1_human_eval/annotations.parquet")
    labels = read_label_columns(pool)
    assert Counter(labels["acceptable"]).keys() == {"yes", "no", None}
    prompt, words = prompt_numbers(pool), answer_words(pool).astype(float)
    assert len(set(prompt.tolist())) == 332
    judged = numbers(labels["chatgpt_or_tulu_65B"])
    there = ~np.isnan(judged)
    pairs = pairwise(words[there], judged[there], prompt[there], 0)
    assert pairs.pairs == pairs.prompts <= 332  # one judged pair a prompt
    assert pairs.right.value > 0.5  # people prefer the longer of the two


def test_what_published_selections_of_alpaca_have_in_common(shared_data):
    rows = [row.value for row in read_rows(shared_data / "alpaca/alpaca_52k.parquet")]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0] if name.startswith("in_")}
    claude, rows_alone = columns["in_alpagasus_claude_t45"], np.arange(52_002)
    chance = overlap(claude, columns["in_alpagasus_random_9k"], rows_alone, 0)
    assert (chance.size, chance.published, chance.common) == (5305, 9229, 935)
    assert chance.low < 935 < chance.high
    assert chance.lift.low < 1 < chance.lift.high
    cherry = overlap(claude, columns["in_cherry_5pct"], rows_alone, 0)
    assert cherry.common == 170  # 5305 * 3111 / 52002 = 317 by chance: the two avoid each other
    assert cherry.expected == pytest.approx(317.4, abs=0.1)
    assert cherry.lift.high < 0.63
    assert cherry.lift.p < 1e-15


def test_prompts_and_words_of_a_pool(tmp_path):
    def sample(i, *turns):
        messages = [{"role": role, "content": text} for role, text in turns]
        return Sample("a", i, f"a{i}", messages, None)

    samples = [
        sample(0, ("user", "Hi"), ("assistant", "one two\n three"), ("user", "More"), ("assistant", "four")),
        sample(1, ("user", "Hi"), ("assistant", "other words")),
        sample(2, ("user", "Hi"), ("assistant", "again"), ("user", "thanks")),
        sample(3, ("system", "Be brief"), ("user", "Hi"), ("assistant", "")),
        sample(4, ("user", "Hi"), ("assistant", "one two\n three"), ("user", "More"), ("assistant", "five 5")),
        sample(5, ("assistant", "alone")),
        sample(6, ("assistant", "alone too")),  # no prompt is not the same prompt
    ]
    write_pool(samples, tmp_path / "pool")
    assert prompt_numbers(tmp_path / "pool").tolist() == [0, 1, 1, 2, 0, 3, 4]
    assert answer_words(tmp_path / "pool").tolist() == [4, 2, 1, 0, 5, 1, 2]


def test_the_schema_of_real_files_is_what_the_builder_reads(tmp_path):
    """Parquet as the data sets come: ids that are numbers, booleans, nulls."""
    path = tmp_path / "alpaca.parquet"
    pq.write_table(
        pa.table({"idx": [7], "instruction": ["Do."], "input": [""], "output": ["Done."], "in_some": [True]}), path
    )
    assert build("alpaca", path, tmp_path / "new" / "out.jsonl") == (1, ["in_some"])
    assert json.loads((tmp_path / "new" / "out.jsonl").read_text())["id"] == "7"
