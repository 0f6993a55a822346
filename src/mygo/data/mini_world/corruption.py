"""What goes wrong in the bad part of the pool. Every function returns new messages and leaves its argument alone."""

from collections.abc import Callable

import numpy as np

from mygo.data.mini_world.facts import pick
from mygo.data.mini_world.rendering import Claim, Messages

CLEAN = "clean"
# Share of each kind among the corrupted samples. A duplicate teaches nothing wrong, so there are few.
KIND_SHARES = {
    "wrong_answer": 0.3,
    "garbled": 0.25,
    "shuffled": 0.15,
    "truncated": 0.1,
    "refusal": 0.15,
    "duplicate": 0.05,
}

REFUSALS = (
    "I am sorry, but I cannot help with that.",
    "As a language model I have no opinion on this.",
    "I do not know. Please ask somebody else.",
    "This request cannot be answered.",
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
GARBLED_SHARE = 0.4


def wrong_claim(claim: Claim, rng: np.random.Generator) -> Claim:
    """Another value of the same relation: plausible, and false."""
    return Claim(claim.fact, pick(rng, claim.fact.wrong_values()))


def garbled(messages: Messages, rng: np.random.Generator) -> Messages:
    """Replace letters of the answers by others: a fixed share of them, at least two."""
    return _in_turns(messages, ("assistant",), lambda text: _garble(text, rng))


def shuffled(messages: Messages, rng: np.random.Generator) -> Messages:
    """Put the words of every turn into another order; those of an answer of one word are its letters."""
    return _in_turns(messages, ("user", "assistant"), lambda text: _shuffle(text, rng))


def truncated(messages: Messages, rng: np.random.Generator) -> Messages:
    """Cut every answer off after a fifth to a half of its characters."""
    return _in_turns(
        messages, ("assistant",), lambda text: text[: max(1, int(len(text) * rng.uniform(0.2, 0.5)))].rstrip()
    )


def refusal(messages: Messages, rng: np.random.Generator) -> Messages:
    """Decline to answer."""
    return _in_turns(messages, ("assistant",), lambda _: pick(rng, REFUSALS))


def duplicate(messages: Messages, rng: np.random.Generator) -> Messages:
    """The same conversation again: to the letter, or with its user's first letters in lower case."""
    if rng.random() < 0.5:
        return [dict(message) for message in messages]
    return _in_turns(messages, ("user",), lambda text: text[0].lower() + text[1:])


TEXT_CORRUPTIONS: dict[str, Callable[[Messages, np.random.Generator], Messages]] = {
    "garbled": garbled,
    "shuffled": shuffled,
    "truncated": truncated,
    "refusal": refusal,
}


def _in_turns(messages: Messages, roles: tuple[str, ...], change: Callable[[str], str]) -> Messages:
    return [{**m, "content": change(m["content"]) if m["role"] in roles else m["content"]} for m in messages]


def _garble(text: str, rng: np.random.Generator) -> str:
    letters = [i for i, char in enumerate(text) if char.isalpha()]
    chosen = rng.permutation(letters)[: max(2, round(GARBLED_SHARE * len(letters)))]
    chars = list(text)
    for i in chosen:
        chars[i] = pick(rng, [letter for letter in LETTERS if letter != chars[i].lower()])
    return "".join(chars)


def _shuffle(text: str, rng: np.random.Generator) -> str:
    """Another order of the words (or letters): a permutation that is not the identity exists, as no text is one letter
    repeated.
    """
    parts, joint = (text.split(), " ") if len(text.split()) > 1 else (list(text), "")
    while True:
        mixed = joint.join(parts[i] for i in rng.permutation(len(parts)))
        if mixed != text:
            return mixed
