"""The reference set that a benchmark gives: its dev questions as conversations, never one of its test questions."""

from collections import Counter
from collections.abc import Iterable, Iterator

from mygo.data.benchmark import LETTERS, BenchmarkMeta, Question
from mygo.data.records import Sample


def dev_conversations(questions: Iterable[Question], meta: BenchmarkMeta) -> Iterator[Sample]:
    """A conversation of two turns for each question, in the form that it is asked in.

    `mmlu`: the question with its lettered choices, and the right letter with its choice. `continuation` (mini world):
    the question alone, and the right choice, which is a sentence. A subject is a source data set.
    """
    seen: Counter[str] = Counter()
    for question in questions:
        subject = question["subject"]
        place, answer = seen[subject], question["choices"][question["answer"]]
        seen[subject] += 1
        asked = question["question"].strip()
        if meta["prompt"] == "mmlu":
            choices = (f"{letter}. {choice}" for letter, choice in zip(LETTERS, question["choices"], strict=True))
            asked, answer = "\n".join([asked, *choices]), f"{LETTERS[question['answer']]}. {answer}"
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        yield Sample(subject, place, f"{subject}_{place}", messages, None)
