"""Scoring with any causal language model, with gates or without: rows, memory, and copies that do not stall the
device.
"""

import gc
import sys
from collections.abc import Callable, Sequence

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor
from transformers import PreTrainedModel

from mygo.errors import UserError
from mygo.scoring.attention import NAME, why_not_packed
from mygo.scoring.cpu.experts import use_cpu_experts
from mygo.scoring.cpu.kernels import CpuKernels
from mygo.scoring.row_size import RowSize
from mygo.scoring.row_statistics import RowStatistics, score_row
from mygo.scoring.rows import rows_by_length
from mygo.scoring.self_test import compare_with_one_by_one

ScoredRow = tuple[list[int], RowStatistics]  # which samples a row held, and their statistics on the CPU


class Engine:
    """Packed scoring where the model allows it, else padded; `row_size` says how many tokens a row holds."""

    def __init__(self, model: PreTrainedModel, max_length: int, row_size: RowSize) -> None:
        self.model = model.eval()
        self.row_size = row_size
        self.gated = "gate_scores" in (model.get_decoder()._can_record_outputs or {})
        self.attention = str(model.config._attn_implementation)  # the library's own
        use_cpu_experts(model)
        self.kernels = CpuKernels(model)
        reason = why_not_packed(model, max_length)
        self.packed = reason is None
        if reason is None:
            model.set_attn_implementation(NAME)
        else:
            self._say_padded(reason)

    def self_test(self, samples: Sequence[Tensor], answers: Sequence[Tensor]) -> float:
        """Score a few samples in one row and each alone by the model's own forward; returns the largest difference of a
        mean NLL (nats).

        Raises `UserError` if it is too large. A model that turns out not to take packed rows is scored in padded ones
        from here on.
        """
        try:
            return compare_with_one_by_one(
                self.model,
                samples,
                answers,
                gated=self.gated,
                packed=self.packed,
                attention=self.attention,
                kernels=self.kernels,
            )
        except (NotImplementedError, TypeError) as error:
            if not self.packed:
                raise
            self.packed = False
            self.model.set_attn_implementation(self.attention)
            self._say_padded(str(error))
        return self.self_test(samples, answers)

    def score(
        self,
        samples: Sequence[Tensor],
        answers: Sequence[Tensor],
        *,
        gated: bool | None = None,
        done: Callable[[int], object] = lambda samples: None,
    ) -> list[ScoredRow]:
        """All samples of one token or more, in rows; `done` hears how many samples each row held.

        A row that does not fit into memory is cut in two and scored again, and so is everything after it.
        """
        rows: list[ScoredRow] = []
        lengths = [len(sample) for sample in samples]
        waiting = self.rows(lengths, range(len(lengths)))
        while waiting:
            members = waiting.pop(0)
            scored = self._try_row(
                [samples[i] for i in members], [answers[i] for i in members], self.gated if gated is None else gated
            )
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

    def _try_row(self, samples: list[Tensor], answers: list[Tensor], gated: bool) -> RowStatistics | None:
        """None if memory ran out."""
        try:
            with self.kernels.in_use():
                return score_row(self.model, samples, answers, gated=gated, packed=self.packed).start_copy()
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
        return None  # outside the handler, whose traceback holds the row's tensors

    def _shrink(self, lengths: list[int]) -> None:
        if len(lengths) == 1:
            raise UserError(
                f"collect.max_length: a sample of {lengths[0]:,} tokens alone does not fit into memory; lower "
                "collect.max_length"
            )
        gc.collect()
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()
        self.row_size.halve(sum(lengths) if self.packed else max(lengths) * len(lengths))

    def _say_padded(self, reason: str) -> None:
        print(
            f"collect: {type(self.model).__name__} is scored in padded rows with dense attention, because {reason}",
            file=sys.stderr,
        )
