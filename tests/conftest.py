"""What every test may use."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `evidence` take a quarter of an hour: they run only where they are asked for by their mark."""
    if "evidence" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("evidence")])
        items[:] = [item for item in items if not item.get_closest_marker("evidence")]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that may lie beside the repository; a test that needs it skips where it is
    absent.
    """
    if not SHARED.is_dir():
        pytest.skip("the real data sets (../shared/data) are not here")
    return SHARED


@pytest.fixture(scope="session")
def write_pool_of() -> Callable[[Path, list[list[dict[str, str]]]], Path]:
    """Writes conversations as a pool of one source and returns its folder."""
    from mygo.data.pool import write_pool
    from mygo.data.records import Sample

    def write(folder: Path, conversations: list[list[dict[str, str]]]) -> Path:
        write_pool([Sample("made", i, f"made_{i}", messages, None) for i, messages in enumerate(conversations)], folder)
        return folder

    return write


@pytest.fixture(scope="session")
def conversations() -> list[list[dict[str, str]]]:
    """Forty conversations of very different lengths."""
    rng = random.Random(0)
    words = ["amber", "brook", "cedar", "dune", "ember", "frost"]
    return [
        [
            {"role": "user", "content": " ".join(rng.choices(words, k=rng.randint(1, 12)))},
            {"role": "assistant", "content": " ".join(rng.choices(words, k=rng.randint(1, 25)))},
        ]
        for _ in range(40)
    ]


@pytest.fixture(scope="session", params=["select_moe", "quality_gate"])
def tiny_selector(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A selector of two layers with random weights, as the warm-up saves it: `<folder>/epoch_1`."""
    import torch

    from mygo.models import FAMILIES
    from mygo.preparation.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp(request.param) / "epoch_1"
    tokenizer = train_tokenizer(["<|user|>\namber brook\n<|assistant|>\ncedar dune ember frost\n"])
    cls = FAMILIES[request.param].causal_lm
    moe = {"num_experts": 4, "num_experts_per_tok": 2} if request.param == "select_moe" else {"head_dim": 8}
    torch.manual_seed(0)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    model = cls(cls.config_class(**shape, num_key_value_heads=4, quality_gate_init_std=1.0, pad_token_id=0, **moe))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
