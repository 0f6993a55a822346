"""Pools that people or published selections have judged, as JSONL that `prepare` reads.

    python -m benchmarks.judged_pools oasst1 oasst1_en_validation.parquet data/raw/oasst1/oasst1.jsonl
    python -m benchmarks.judged_pools tulu1 annotations.parquet data/raw/tulu1/tulu1.jsonl
    python -m benchmarks.judged_pools alpaca alpaca_52k.parquet data/raw/alpaca/alpaca.jsonl

It prints the `prepare` settings that read them. Each row has an id, messages, and the label columns that it prints.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from mygo.data.readers import read_rows
from mygo.errors import UserError, one_sentence, shown

Row = dict[str, Any]
RATED = ("quality", "helpfulness", "creativity")  # means over raters, 0 to 1
POINTS = {  # of completion a; b gets what is left of 1
    "a-is-better": 1.0,
    "a-is-slightly-better": 0.75,
    "tie": 0.5,
    "b-is-slightly-better": 0.25,
    "b-is-better": 0.0,
}


def oasst1(rows: Iterable[Row]) -> Iterator[Row]:
    """Trees of messages (OpenAssistant, Koepf et al. 2023): every way from a root to an answer is a conversation, with
    what the raters said of that answer.

    `rank` is turned round (0 best, -1 the next, ...), so that higher is better, as in the other labels. Answers that
    were deleted, or whose way to the root is cut or leads over a deleted message, are left out.
    """
    messages = {row["message_id"]: row for row in rows}
    for row in messages.values():
        way = _way(row, messages)
        if row["role"] == "assistant" and way:
            turns = [{"role": _role(turn), "content": turn["text"]} for turn in way]
            labels = {name: row[f"label_{name}"] for name in RATED}
            rank = None if row["rank"] is None else -row["rank"]
            yield {"id": row["message_id"], "messages": turns, **labels, "rank": rank}


def _way(row: Row, messages: dict[str, Row]) -> list[Row]:
    """From the root to this message; empty if a message on it is deleted or not there."""
    way = [row]
    while way[-1]["parent_id"] is not None:
        parent = messages.get(way[-1]["parent_id"])
        if parent is None:
            return []
        way.append(parent)
    return [] if any(turn["deleted"] for turn in way) else way[::-1]


def _role(row: Row) -> str:
    return "user" if row["role"] == "prompter" else "assistant"


def tulu1(rows: Iterable[Row]) -> Iterator[Row]:
    """Pairs of completions (Wang et al. 2023, the human evaluation of Tulu 1): one conversation a prompt and text, with

    - `acceptable`: yes or no, as most judgements of it say; none where they are even;
    - `preference`: its mean points over all judgements, 1 (better), 0.75 (slightly better), 0.5 (tie), 0.25, 0;
    - one column for each pair of models, such as `chatgpt_or_tulu_65B`, with the mean points over the judgements of
      that pair alone and for its two completions alone: within a prompt it is one pair, the one that was judged.

    Judgements of several evaluators are averaged, not kept as rows: the same text twice would be graded twice and count
    twice.
    """
    acceptable: dict[tuple[str, str], list[float]] = defaultdict(list)
    points: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    ids: dict[tuple[str, str], str] = {}
    columns: dict[str, None] = {}
    for row in rows:
        if row["preference"] is None:
            continue
        pair = "_or_".join(sorted((row["model_a"], row["model_b"])))
        columns[pair] = None
        of_a = POINTS[row["preference"]]
        for side, mine in (("a", of_a), ("b", 1 - of_a)):
            key = row["prompt"], row[f"completion_{side}"]
            ids.setdefault(key, f"{row['instance_id']}/{row[f'model_{side}']}")
            acceptable[key].append(float(row[f"completion_{side}_is_acceptable"] == "yes"))
            points[key][pair].append(mine)
    for key, identity in ids.items():
        judged = points[key]
        labels = {pair: _mean(judged[pair]) if pair in judged else None for pair in columns}
        every = [value for values in judged.values() for value in values]
        yield {
            "id": identity,
            "messages": [{"role": "user", "content": key[0]}, {"role": "assistant", "content": key[1]}],
            "acceptable": _majority(acceptable[key]),
            "preference": _mean(every),
            **labels,
        }


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 6)


def _majority(votes: list[float]) -> str | None:
    return None if 2 * sum(votes) == len(votes) else "yes" if 2 * sum(votes) > len(votes) else "no"


def alpaca(rows: Iterable[Row]) -> Iterator[Row]:
    """Alpaca's rows with columns that say what published selections kept; `cherry_5pct_pos` is the place in Cherry's
    file, whose meaning its authors do not say.
    """
    for row in rows:
        labels = {name: row[name] for name in row if name.startswith(("in_", "cherry_"))}
        yield {"id": str(row["idx"]), **{name: row[name] for name in ("instruction", "input", "output")}, **labels}


KINDS: dict[str, Callable[[Iterable[Row]], Iterator[Row]]] = {"oasst1": oasst1, "tulu1": tulu1, "alpaca": alpaca}
NO_LABEL = {"id", "messages", "instruction", "input", "output"}


def build(kind: str, source: Path, out: Path) -> tuple[int, list[str]]:
    """Write the pool; returns how many rows it has, and its label columns."""
    try:
        rows = list(KINDS[kind](row.value for row in read_rows(source)))
    except KeyError as error:
        raise UserError(f"{source}: has no column or value {shown(error.args[0])}, so it is not of {kind}") from None
    if not rows:
        raise UserError(f"{source}: holds nothing that was judged")
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as file:
        file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    return len(rows), [name for name in rows[0] if name not in NO_LABEL]


@one_sentence
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("source", type=Path, help="the file that holds the trees, the pairs or the rows")
    parser.add_argument("out", type=Path, help="a .jsonl file; its folder is what prepare.path names")
    arguments = parser.parse_args()
    rows, labels = build(arguments.kind, arguments.source, arguments.out)
    print(f"{rows:,} conversations", file=sys.stderr)
    print(f"data=local prepare.path={arguments.out.parent} 'prepare.label_column={json.dumps(labels)}'")


if __name__ == "__main__":
    main()
