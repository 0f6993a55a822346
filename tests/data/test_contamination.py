"""Rows that hold a test question of the benchmark: what counts as holding one, by hand and against a plain search."""

import random

import pyarrow.parquet as pq
import pytest

from mygo.data import contamination as module
from mygo.data.benchmark import read_csv_benchmark
from mygo.data.contamination import Contamination, words_of
from mygo.data.records import LeftOut, PassedOver, Rejected, Sample
from mygo.data.sources import read_pool_source
from tests.data.test_sources import prepare_params

LONG = "Which of the many rivers of this old country runs through the town"  # 13 words


def question(text, answer="Arn", subject="geography"):
    return {"question": text, "subject": subject, "choices": ["Esk", answer, "Bele", "Cour"], "answer": 1}


def row(*texts):
    return Sample("s", 4, "s_4", [{"role": "user", "content": text} for text in texts], None)


def reason(questions, *texts, words=13):
    found = next(Contamination(questions, words).without([row(*texts)]))
    return found.reason if isinstance(found, LeftOut) else None


def test_words_are_lower_case_without_punctuation():
    assert words_of("Don't “stop”—ever, U.S.A. (3.5)!\n¿Qué?  a_b") == ["dont", "stopever", "usa", "35", "qué", "ab"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"Tell me: {LONG.upper()}?! Thanks.", True),
        (LONG.replace("many", "few"), False),
        (LONG.rsplit(" ", 1)[0], False),  # twelve words
        (f"{LONG.split(' ', 1)[1]}? Arn", True),  # twelve of the question and the answer
        (f"{LONG.split(' ', 1)[1]}? Esk", False),  # a wrong one
        (LONG.replace(" of ", " of,\n\n"), True),
    ],
)
def test_a_run_of_words_is_shared_or_not(text, found):
    expected = "contaminated: shares 13 words with question 2 of geography" if found else None
    assert reason([question("Another one, of eight words or even more"), question(LONG)], text) == expected


def test_a_run_goes_across_turns_but_not_across_rows():
    first, second = LONG[:27], LONG[27:]
    assert reason([question(LONG)], first, second)
    found = list(Contamination([question(LONG)], 13).without([row(first), row(second)]))
    assert found == [row(first), row(second)]


def test_a_short_question_is_compared_whole_with_its_answer_or_not_at_all():
    eight, seven = "What is the main crop of Zoda", "What is the crop of Zoda"  # 7 and 6 words, and the answer
    both = [question(eight, "hemp"), question(seven, "hemp")]
    assert reason(both, f"{eight}?", "Hemp") == "contaminated: shares 8 words with question 1 of geography"
    assert reason(both, f"{eight}?") is None
    assert reason(both, f"{seven}?", "Hemp") is None
    looked_for = Contamination(both, 13)
    list(looked_for.without([row(eight, "hemp")]))
    assert looked_for.metrics() == {"questions": 2, "too_short": 1, "found": 1, "rows_left_out": 1}


def test_the_length_of_a_run_is_a_parameter():
    assert reason([question(LONG)], " ".join(LONG.split()[:9]), words=9)
    assert reason([question(LONG)], " ".join(LONG.split()[:9]), words=10) is None


def test_everything_else_goes_through_in_its_place_and_is_counted_by_subject(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH_ROWS", 2)
    questions = [question(LONG), question("Why?", subject="art"), question(LONG[10:] + " and out again", subject="law")]
    others = [PassedOver("a", "b"), Rejected("s", 1, "a", 2, "c")]
    looked_for = Contamination(questions, 13)
    rows = [row("x"), others[0], row(LONG), others[1], row(f"{LONG}."), row("y")]
    left = LeftOut("s", 4, "s_4", "contaminated: shares 13 words with question 1 of geography")
    assert list(looked_for.without(rows)) == [rows[0], others[0], left, others[1], left, rows[5]]
    looked_for.write(tmp_path / "contamination.parquet")
    assert pq.read_table(tmp_path / "contamination.parquet").to_pylist() == [
        {"subject": "art", "questions": 1, "too_short": 1, "found": 0, "rows_left_out": 0},
        {"subject": "geography", "questions": 1, "too_short": 0, "found": 1, "rows_left_out": 2},
        {"subject": "law", "questions": 1, "too_short": 0, "found": 0, "rows_left_out": 0},
    ]


def test_nothing_to_look_for_finds_nothing():
    assert reason([], LONG) is None
    assert reason([question("Why?")], LONG) is None
    assert list(Contamination([question(LONG)], 13).without([])) == []


def test_a_plain_search_finds_the_same_rows_of_real_data(shared_data):
    """Alpaca against all of MMLU: the four rows that hold a question, and 3,000 that a plain search says hold none."""
    questions = read_csv_benchmark(shared_data / "mmlu/data")["test"]
    everything = list(read_pool_source(prepare_params(source="local", path=str(shared_data / "alpaca"))))
    samples = [sample for sample in everything if isinstance(sample, Sample)]
    wanted = {255, 7228, 20614, 27367}
    chosen = [s for s in samples if s.source_index in wanted] + random.Random(0).sample(samples, 3000)
    grams = {gram for q in questions for gram in runs(f"{q['question']} {q['choices'][q['answer']]}", 13)}
    plain = {s.source_index for s in chosen if grams & runs("\n".join(m["content"] for m in s.messages), 13)}
    left_out = {s.source_index for s in Contamination(questions, 13).without(chosen) if isinstance(s, LeftOut)}
    assert left_out == plain == wanted


def runs(text, width):
    words = words_of(text)
    return {tuple(words[i : i + width]) for i in range(len(words) - width + 1)}
