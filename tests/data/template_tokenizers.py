"""Small tokenizers of the kinds that chat models have, each with its model's special tokens and the template under
`templates/`.
"""

import json
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

TEMPLATES = Path(__file__).parent / "templates"
TEXTS = [
    "You are a helpful assistant. Be kind. What is the answer to the question? The answer is yes, no, 42 or none.",
    "user assistant system model tool INST SYS im_start im_end endoftext start_of_turn end_of_turn think",
    "Über den Fluß in die Wälder. Hi there! Yo, how are you? I'm fine; they're done. 1 + 2 = 3 \n\n\n",
]
GPT_4_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level(split: str | None = None, nfc: bool = False) -> Tokenizer:
    """GPT-2's kind, or with `split` that of Llama 3 and Qwen, whose offsets keep the spaces."""
    tokenizer = Tokenizer(BPE())
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
    tokenizer.pre_tokenizer = (
        bytes_ if split is None else pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), bytes_])
    )
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=split is None)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXTS, BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    return tokenizer


def sentencepiece(first: tuple[str, ...], kind: str) -> Tokenizer:
    """SentencePiece's kind, the tokens `first` and the bytes leading its vocabulary. `prepend` writes a space before
    every piece of text between special tokens (Llama 2), `metaspace` before the text (Mistral v0.3), `none` nowhere
    (Gemma).
    """
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(TEXTS, BpeTrainer(vocab_size=300, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    pieces = [*first, *(f"<0x{byte:02X}>" for byte in range(256)), *model["vocab"]]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    spaces = normalizers.Replace(" ", "▁")
    if kind == "prepend":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces])
    elif kind == "metaspace":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        tokenizer.normalizer = spaces
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    first_space = [] if kind == "none" else [decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *first_space]
    )
    return tokenizer


def special(*contents: str, rstrip: bool = False, normalized: bool = False) -> list[AddedToken]:
    return [AddedToken(text, special=True, normalized=normalized, rstrip=rstrip) for text in contents]


BASICS = ("<unk>", "<s>", "</s>")
CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
GEMMA = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
MISTRAL = (*BASICS, "[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]")
THOUGHTS = [AddedToken(text, normalized=False) for text in ("<think>", "</think>", "<tool_call>", "</tool_call>")]
HEADERS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
# name: (tokenizer without added tokens, its added tokens, bos, eos)
MAKERS = {
    "llama_2": lambda: (sentencepiece(BASICS, "prepend"), special(*BASICS, normalized=True), "<s>", "</s>"),
    "llama_3": lambda: (byte_level(GPT_4_SPLIT), special(*HEADERS), "<|begin_of_text|>", "<|eot_id|>"),
    "qwen2_5": lambda: (byte_level(GPT_4_SPLIT, nfc=True), special(*CHATML) + THOUGHTS[2:], None, "<|im_end|>"),
    "qwen3": lambda: (byte_level(GPT_4_SPLIT, nfc=True), special(*CHATML) + THOUGHTS, None, "<|im_end|>"),
    "phi_3": lambda: (
        sentencepiece(BASICS, "prepend"),
        [
            *special(*BASICS),
            *special("<|endoftext|>"),
            *special("<|assistant|>", "<|system|>", "<|end|>", "<|user|>", rstrip=True),
        ],
        "<s>",
        "<|endoftext|>",
    ),
    "olmo": lambda: (byte_level(), special("<|endoftext|>", "<|padding|>"), "<|endoftext|>", "<|endoftext|>"),
    "smollm2": lambda: (byte_level(), special(*CHATML), "<|im_start|>", "<|im_end|>"),
    "gemma": lambda: (sentencepiece(GEMMA, "none"), special(*GEMMA), "<bos>", "<eos>"),
    "mistral_v1": lambda: (sentencepiece(BASICS, "prepend"), special(*BASICS), "<s>", "</s>"),
    "mistral_v3": lambda: (sentencepiece(MISTRAL, "metaspace"), special(*MISTRAL), "<s>", "</s>"),
    "plain": lambda: (byte_level(), special("<|endoftext|>"), None, "<|endoftext|>"),
    "plain_added_bos": lambda: (
        with_added_bos(byte_level()),
        special("<|endoftext|>", "<|bos|>"),
        "<|bos|>",
        "<|endoftext|>",
    ),
    "plain_bos": lambda: (with_bos(sentencepiece(BASICS, "prepend")), special(*BASICS), "<s>", "</s>"),
}


def with_bos(tokenizer: Tokenizer) -> Tokenizer:
    """Llama 2's base model: encoding writes `<s>` before the text."""
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def with_added_bos(tokenizer: Tokenizer) -> Tokenizer:
    """GPT-2's kind: `<|endoftext|>` leads the model's vocabulary, and encoding writes a token from outside of it."""
    state = json.loads(tokenizer.to_str())
    pieces = ["<|endoftext|>", *state["model"]["vocab"]]
    state["model"]["vocab"] = {piece: i for i, piece in enumerate(pieces)}
    state["post_processor"] = json.loads(
        processors.Sequence(
            [
                tokenizer.post_processor,
                processors.TemplateProcessing("<|bos|> $A", special_tokens=[("<|bos|>", len(pieces))]),
            ]
        ).__getstate__()
    )
    return Tokenizer.from_str(json.dumps(state))


@cache
def template_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a name in `MAKERS`, made once a session. Its template is `templates/<name>.jinja`, none for the
    plain format.
    """
    backend, added, bos, eos = MAKERS[name]()
    backend.add_tokens(added)
    named = {"bos_token": bos, "eos_token": eos}
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, **{key: text for key, text in named.items() if text})
    template = TEMPLATES / f"{name}.jinja"
    fast.chat_template = template.read_text(encoding="utf-8") if template.exists() else None
    return fast
