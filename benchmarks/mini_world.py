"""How much of the exam stands in the pool? The mini world is meant to be learnt: its pool tells what is asked.

python -m benchmarks.mini_world --seeds 0 1 2 3 4
"""

import argparse

from mygo.data.mini_world import MiniWorld, build
from mygo.params import load_params


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    params = load_params().prepare.mini_world
    for seed in parser.parse_args().seeds:
        found, questions = answers_in_pool(build(params, seed))
        print(f"seed {seed}: {found} of the {questions} right answers stand word for word in answers of the pool")


if __name__ == "__main__":
    main()
