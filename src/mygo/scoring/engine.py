"""Scoring with any causal language model, a selector or not: rows, memory, and copies that do not stall the
device.
"""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor
from transformers import PreTrainedModel

from mygo.errors import UserError
from mygo.models.base_weights import BaseWeights, is_changed
from mygo.models.recording import Records, records
from mygo.scoring.attention import NAME, why_not_packed
from mygo.scoring.cpu.experts import use_cpu_experts
from mygo.scoring.cpu.kernels import CpuKernels
from mygo.scoring.row_size import RowSize
from mygo.scoring.row_statistics import RowStatistics, score_row
from mygo.scoring.rows import rows_by_length
from mygo.scoring.self_test import Text, check_one_by_one, longest_position, texts_to_check

ScoredRow = tuple[list[int], RowStatistics]  # which samples a row held, and their statistics on the CPU


class SampleTooLarge(UserError):
    """A sample that does not fit into memory, even alone."""


class Engine:
    """Packed scoring where the model allows it, else padded; `row_size` says how many tokens a row holds.

    `section` of the parameters is what messages begin with. `base` is what a selector needs for `as_base`.
    `hidden_states` says whether the hidden states of a base are pooled, of whatever computes as one. `says` is what is
    recorded at the moment.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        max_length: int,
        row_size: RowSize,
        section: str,
        base: BaseWeights | None = None,
        *,
        hidden_states: bool = False,
    ) -> None:
        self.model = model.eval()
        self.max_length = max_length
        self.row_size = row_size
        self.section = section
        self.base = base
        self.of_the_base = Records(base_hidden=hidden_states)
        plain = base is None and not is_changed(model)
        self.says = replace(records(model), base_hidden=hidden_states and plain)
        self.attention = str(model.config._attn_implementation)  # the library's own
        self.experts = model.config._experts_implementation
        use_cpu_experts(model)
        self.kernels = CpuKernels(model)
        reason = why_not_packed(model, max_length)
        self.packed = reason is None
        if reason is None:
            model.set_attn_implementation(NAME)
        else:
            self._say_padded(reason)

    @contextmanager
    def as_base(self) -> Iterator[None]:
        """Within the block the model computes, and is scored, as its base, and its NLL and hidden states alone
        are recorded: see `BaseWeights`. A plain model is its own base.
        """
        says, self.says = self.says, self.of_the_base
        assert self.base is not None or not is_changed(self.model)
        try:
            with self.base.in_use() if self.base is not None else nullcontext():
                yield
        finally:
            self.says = says

    @contextmanager
    def library(self) -> Iterator[None]:
        """Within the block the model computes with the library's own attention and experts alone."""
        ours = str(self.model.config._attn_implementation), self.model.config._experts_implementation
        self._use(self.attention, self.experts)
        try:
            yield
        finally:
            self._use(*ours)

    def _use(self, attention: str, experts: str | None) -> None:
        self.model.set_attn_implementation(attention)
        if experts is not None:
            self.model.set_experts_implementation(experts)

    def self_test(self, samples: Sequence[Tensor], answers: Sequence[Tensor]) -> float:
        """Score a few texts made of `samples` in rows, and each alone by the model's own forward, and compare all that
        is recorded; returns the largest difference as a share of what is allowed.

        Costs about two rows and as many tokens one by one. Raises `UserError` if a difference is too large. A model
        that turns out not to take packed rows is scored in padded ones from here on. Where the longest text, which no
        sample need be, does not fit into memory, it is halved.
        """
        places = longest_position(self.model) or self.max_length
        longest = min(self.max_length, self.row_size.tokens, places)
        real = min(longest, max(map(len, samples), default=0))
        while (worst := self._tested(texts_to_check(samples, answers, longest), real)) is None:
            self._say(f"out of memory in a text of {longest:,} tokens of the self test; going on with {longest // 2:,}")
            longest //= 2
            self._free_memory()
        return worst

    def _tested(self, texts: list[Text], real: int) -> float | None:
        """None if memory ran out. Raises `UserError` if a shorter text would not help: one of `real` tokens is there,
        and the library's own forward may need more memory than ours, but not for two tokens.
        """
        try:
            return self._compare_as_it_packs(texts)
        except SampleTooLarge:
            if len(texts[0][0]) <= real:
                raise
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            if len(texts[0][0]) <= 2:
                raise UserError(f"{self.section}: memory ran out in a text of two tokens") from None
        return None  # outside the handler, whose traceback holds the row's tensors

    def _compare_as_it_packs(self, texts: list[Text]) -> float:
        try:
            return self._compare(texts)
        except (NotImplementedError, TypeError) as error:
            if not self.packed:
                raise
            self.packed = False
            self.model.set_attn_implementation(self.attention)
            self._say_padded(str(error))
        return self._compare(texts)

    def _compare(self, texts: list[Text]) -> float:
        """Also of the base where it is scored: that goes the same way, so the texts of the pool will do."""
        worst = check_one_by_one(self.model, texts, self.score, self.library, self.says)
        if self.base is None:
            return worst
        with self.as_base():
            return max(worst, check_one_by_one(self.model, texts[1:], self.score, self.library, self.says))

    def score(
        self,
        samples: Sequence[Tensor],
        answers: Sequence[Tensor],
        *,
        done: Callable[[int], object] = lambda samples: None,
    ) -> list[ScoredRow]:
        """All samples of one token or more, in rows; `done` hears how many samples each row held.

        A row that does not fit into memory is cut in two and scored again, and so is everything after it.
        """
        rows: list[ScoredRow] = []
        lengths = [len(sample) for sample in samples]
        waiting = self.rows(lengths, range(len(lengths)))
        with self.kernels.in_use():
            while waiting:
                members = waiting.pop(0)
                scored = self._try_row([samples[i] for i in members], [answers[i] for i in members])
                if scored is None:
                    self._shrink([lengths[i] for i in members])
                    waiting = self.rows(lengths, sorted(i for row in [members, *waiting] for i in row))
                    continue
                rows.append((members, scored))
                done(len(members))
        if self.model.device.type == "cuda":
            torch.cuda.current_stream().synchronize()  # the copies, which were begun behind each row
        return rows

    def rows(self, lengths: Sequence[int], among: Sequence[int]) -> list[list[int]]:
        """The rows that the samples `among` those of these lengths go into now; samples without a token go into
        none.
        """
        kept = [i for i in among if lengths[i]]
        packed = rows_by_length([lengths[i] for i in kept], self.row_size.tokens, padded=not self.packed)
        return [[kept[i] for i in row] for row in packed]

    def _try_row(self, samples: list[Tensor], answers: list[Tensor]) -> RowStatistics | None:
        """None if memory ran out."""
        try:
            return score_row(self.model, samples, answers, says=self.says, packed=self.packed).start_copy()
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
        return None  # outside the handler, whose traceback holds the row's tensors

    def _shrink(self, lengths: list[int]) -> None:
        if len(lengths) == 1:
            key = f"{self.section}.max_length"
            raise SampleTooLarge(
                f"{key}: a sample of {lengths[0]:,} tokens alone does not fit into memory; lower {key}"
            )
        self._free_memory()
        failed = sum(lengths) if self.packed else max(lengths) * len(lengths)
        self.row_size.halve(failed)
        self._say(f"out of memory in a row of {failed:,} tokens; going on with rows of {self.row_size.tokens:,}")

    def _free_memory(self) -> None:
        gc.collect()
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _say_padded(self, reason: str) -> None:
        self._say(f"{type(self.model).__name__} is scored in padded rows with dense attention, because {reason}")

    def _say(self, what: str) -> None:
        print(f"{self.section}: {what}", file=sys.stderr)
