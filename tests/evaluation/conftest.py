"""A tiny Qwen3 with a byte-level tokenizer, a LoRA adapter that changes what it says, and a benchmark of three invented
subjects.
"""

from pathlib import Path

import lm_eval.tasks
import pytest
import torch
from hydra import compose, initialize_config_dir
from lm_eval.tasks import TaskManager
from omegaconf import OmegaConf
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from mygo.data.benchmark import write_benchmark
from mygo.params import Params, check_params

CONF = Path(__file__).resolve().parents[2] / "conf"
GROUPS = {"stem": ["alloys", "orbits"], "humanities": ["ballads"], "social_sciences": [], "other": []}
TEST_SIZES = {"alloys": 6, "ballads": 9, "orbits": 12}


def make_question(subject, number):
    """The right choice is (number + 1) % 4; texts have different lengths."""
    choices = [f"{subject}-{number}", f"blue {number}", "a" * (number % 5 + 1), f"{number * 7}"]
    return {
        "question": f" Which {subject} is number {number}? ",
        "subject": subject,
        "choices": choices,
        "answer": (number + 1) % 4,
    }


def write_base(folder, hidden=32, layers=2):
    vocab = {symbol: index for index, symbol in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), "<eos>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>").save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(vocab), hidden_size=hidden, intermediate_size=64, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=512, initializer_range=0.2,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)


def write_adapter(base, folder):
    torch.manual_seed(1)
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False
    )  # B is random too, not 0
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with `base/`, `adapter/` and `benchmark/`."""
    root = tmp_path_factory.mktemp("world")
    write_base(root / "base")
    write_adapter(root / "base", root / "adapter")
    questions = {
        "dev": [make_question(subject, 50 + number) for subject in TEST_SIZES for number in range(3)],
        "test": [make_question(subject, number) for subject, size in TEST_SIZES.items() for number in range(size)],
    }
    write_benchmark(questions, {"name": "mini_world", "prompt": "continuation", "groups": GROUPS}, root / "benchmark")
    return root


@pytest.fixture(scope="session")
def make_params(world):
    """Default parameters for the tiny base, with Hydra overrides."""

    def make(*overrides: str) -> Params:
        with initialize_config_dir(str(CONF), version_base=None):
            config = compose(
                "config", overrides=[f"finetune.base_model={world / 'base'}", "eval.batch_size=8", *overrides]
            )
        return check_params(OmegaConf.to_container(config, resolve=True))

    return make


@pytest.fixture(scope="session")
def make_base():
    return write_base


@pytest.fixture(scope="session")
def manager():
    """lm-eval's index of some of its tasks (of all 14,000 it takes ten seconds)."""
    tasks = Path(lm_eval.tasks.__file__).parent
    return TaskManager(
        include_defaults=False, include_path=[tasks / "mmlu" / "default", tasks / "arc", tasks / "humaneval"]
    )


@pytest.fixture(scope="session")
def rendered():
    def render(tasks, shots, limit):
        """task -> [(context, continuation, right choice?) of every request, in order]"""
        found = {}
        for task in tasks:
            task.set_config("num_fewshot", shots)
            task.set_fewshot_seed(0)
            task.build_all_requests(limit=limit)
            found[task.task_name] = [
                (*request.args, task.doc_to_target(request.doc) == request.idx) for request in task.instances
            ]
        return found

    return render
