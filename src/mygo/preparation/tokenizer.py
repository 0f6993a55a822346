"""The mini world's tokenizer: a small byte-level BPE, so that any UTF-8 text can be written in it."""

from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from mygo.data.mini_world import EOS

PAD = "<|pad|>"
ROLE_MARKERS = tuple(f"<|{role}|>" for role in ("user", "assistant", "system"))
VOCABULARY = 1024
MAX_LENGTH = 512


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train on `texts`: the 256 bytes, `EOS`, `PAD`, the role markers, and as many merges as fill `VOCABULARY`.

    Role markers are one token each but not special: they are text like any other. There is no chat template, and
    encoding adds no tokens.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY - len(ROLE_MARKERS),
        special_tokens=[EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(marker, normalized=False) for marker in ROLE_MARKERS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )
