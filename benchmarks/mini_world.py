"""What the README says of the mini world: how much of the exam stands in the pool, and where the quality score looks.

    python -m benchmarks.mini_world --seeds 0 1 2 3 4

The first is of worlds that are built here; the second of `data/statistics`, as the last run left it.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mygo.data.mini_world import MiniWorld, build
from mygo.params import load_params

STATISTICS = Path("data/statistics")


def answers_in_pool(world: MiniWorld) -> tuple[int, int]:
    """How many right answers stand word for word in the pool's answers, and how many questions there are."""
    pool = "\n".join(
        message["content"]
        for sample in world.samples()
        for message in sample.messages
        if message["role"] == "assistant"
    )
    questions = world.questions()["test"]
    return sum(question["choices"][question["answer"]] in pool for question in questions), len(questions)


def where_weights_lie(statistics: Path) -> tuple[float, float, float]:
    """At alpha 1, of all samples: the median of 1 / sum w^2 (as many tokens of equal weight would weigh alike), the
    median of tokens with an NLL, and the mean share of the weight outside the answers.
    """
    carrying, tokens, outside = [], [], []
    for path in sorted(statistics.glob("shard-*.parquet")):
        table = pq.read_table(path, columns=["token_nll", "answer"])
        for nll, answer in zip(table["token_nll"].to_pylist(), table["answer"].to_pylist(), strict=True):
            nll_T = np.frombuffer(nll, np.float32).astype(float)
            if not len(nll_T):
                continue
            weight_T = np.exp(nll_T - nll_T.max())
            weight_T /= weight_T.sum()
            carrying.append(1 / np.square(weight_T).sum())
            tokens.append(len(nll_T))
            outside.append(weight_T[np.frombuffer(answer, np.uint8)[1:] == 0].sum())
    return float(np.median(carrying)), float(np.median(tokens)), float(np.mean(outside))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    seeds, params = parser.parse_args().seeds, load_params().prepare.mini_world
    for seed in seeds:
        found, questions = answers_in_pool(build(params, seed))
        print(f"seed {seed}: {found} of the {questions} right answers stand word for word in answers of the pool")
    if STATISTICS.is_dir():
        carrying, tokens, outside = where_weights_lie(STATISTICS)
        print(
            f"{STATISTICS}: a median of {carrying:.1f} of {tokens:.0f} tokens carry a sample's weight (1 / sum w^2), "
            f"{outside:.0%} of the weight lie outside the answers"
        )


if __name__ == "__main__":
    main()
