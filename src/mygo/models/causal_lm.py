"""What all families share: initialisation, and a forward that adds the terms of the loss and hands on what gates and
routers said.

B batch, T tokens, L layers, E experts, D hidden, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.models.olmoe.modeling_olmoe import load_balancing_loss_func
from transformers.utils.generic import ModelOutput, can_return_tuple

from mygo.models.gate import QualityGate
from mygo.models.losses import Part
from mygo.models.routers import TrashRouter, experts_of, routers
from mygo.models.terms import Term, total
from mygo.models.trash import begin_pass


@dataclass
class SelectorOutput(ModelOutput):
    """`router_logits`: for each layer "quality_score" [B, T, 1] where it has a gate and "moe_logits" [B * T, E] where
    it has a router; families without gates list the layers that have one.

    With labels, detached and for logging: the family's terms of the loss by their names, unweighted (`lm_loss` is the
    mean NLL of the predicted tokens, nats), and `good_ratio` [L], the mean over tokens of the share that is not trash.
    Where the counts of a whole batch were handed in, each is what this micro-batch adds to the batch's value. With
    `quality_loss_debug` also `good_ratio_range` [L, 2], the smallest and the largest of this micro-batch's tokens.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    router_logits: tuple[dict[str, Tensor], ...] | None = None
    lm_loss: Tensor | None = None
    quality_loss: Tensor | None = None
    constraint_loss: Tensor | None = None
    load_balancing_loss: Tensor | None = None
    good_ratio: Tensor | None = None
    good_ratio_range: Tensor | None = None


class SelectorPreTrained(PreTrainedModel):
    """Mixin: initialises what a family adds to its base, from the config."""

    base: ClassVar[type[PreTrainedModel]]  # the library's class that this one is made from

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, QualityGate | TrashRouter):
            init.normal_(module.weight, mean=self.config.quality_gate_init_mean, std=self.config.quality_gate_init_std)

    @classmethod
    def _can_set_experts_implementation(cls) -> bool:
        """The library looks for its decorator's text in the file of the class, which is the base's."""
        return cls.base._can_set_experts_implementation()


class SelectorCausalLM(SelectorPreTrained):
    """Mixin before a causal-LM class: its own forward, with the terms of the loss and the output of gates and routers.

    Under gradient accumulation the Trainer divides the language-model loss by the `num_items_in_batch` predicted tokens
    of the *whole* batch, so that micro-batches add up to it. The other terms must add up as well: means of per-token
    terms are divided by the whole batch's `num_samples_in_batch` or `num_tokens_in_batch` (under the attention mask;
    over all processes); load balancing and losses of moments, which are not linear, count by the micro-batch's share of
    the predicted tokens. A trainer that hands in `num_items_in_batch` alone gets that share for all of them.
    """

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_router_logits: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        num_samples_in_batch: Tensor | None = None,
        num_tokens_in_batch: Tensor | None = None,
        **kwargs: Any,
    ) -> SelectorOutput:
        """As any causal LM of transformers. input_ids and labels [B, T]; `output_router_logits` fills
        `router_logits`; the counts are of the whole batch that this is a micro-batch of.
        """
        configured = getattr(self.config, "output_router_logits", False)
        wanted = configured if output_router_logits is None else output_router_logits
        begin_pass(self, attention_mask)
        with decoder_heard(self.get_decoder(), self._flags(wanted, labels is not None)) as heard:
            out = super().forward(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                inputs_embeds=inputs_embeds,
                use_cache=use_cache,
                output_router_logits=False,  # with it a MoE base would compute its own loss of them
                logits_to_keep=logits_to_keep,
                return_dict=True,
                **kwargs,
            )
        losses: dict[str, Tensor] = {}
        if labels is not None:
            part = Part(_share(labels, kwargs.get("num_items_in_batch")), num_samples_in_batch, num_tokens_in_batch)
            losses = _added_up(self.loss_terms(heard[0], out.logits, labels, attention_mask, part, **kwargs))
        return SelectorOutput(
            logits=out.logits,
            past_key_values=out.past_key_values,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
            router_logits=self._by_layer(heard[0]) if wanted else None,
            **losses,
        )

    def loss_terms(
        self,
        said: ModelOutput,
        logits: Tensor,
        labels: Tensor,
        attention_mask: Tensor | None,
        part: Part,
        **kwargs: Any,
    ) -> dict[str, Term]:
        """The terms of the loss by name. `said` is what the decoder returned; a family adds its own terms to these.

        Load balancing is that of the Switch Transformer, equations (4) to (6), as transformers computes it. Raises
        `ValueError` if it is asked of a model without routers.
        """
        lm = self.loss_function(logits, labels, self.config.vocab_size, **kwargs)
        if not self._balances():
            return {"lm_loss": Term(lm)}
        if not said.get("router_logits"):
            raise ValueError(
                f"enable_load_balancing: got true for {type(self).__name__}, which has no routers to balance"
            )
        balance = part.share * torch.as_tensor(self._load_balancing(said["router_logits"], attention_mask)).to(lm)
        return {"lm_loss": Term(lm), "load_balancing_loss": Term(balance, self.config.router_aux_loss_coef)}

    def _balances(self) -> bool:
        return getattr(self.config, "enable_load_balancing", False)

    def _load_balancing(self, routers: tuple[Tensor, ...], attention_mask: Tensor | None) -> Tensor | int:
        found: Any = routers
        return load_balancing_loss_func(found, experts_of(self.config), self.config.num_experts_per_tok, attention_mask)

    def _flags(self, wanted: bool, trains: bool) -> dict[str, bool]:
        """What the decoder is asked for, beside its hidden state."""
        return {"output_router_logits": wanted or (trains and self._balances())}

    def _by_layer(self, said: ModelOutput) -> tuple[dict[str, Tensor], ...]:
        return tuple({"moe_logits": logits} for logits in said.get("router_logits") or ())


@contextmanager
def decoder_heard(decoder: nn.Module, flags: dict[str, bool]) -> Iterator[list[ModelOutput]]:
    """Within the block the decoder is called with `flags` besides, and what it returns is heard: whatever a base makes
    of the hidden state (soft caps, scales) stays its own.
    """
    heard: list[Any] = []
    hooks = [
        decoder.register_forward_pre_hook(lambda _, args, kwargs: (args, kwargs | flags), with_kwargs=True),
        decoder.register_forward_hook(lambda _module, _args, out: heard.append(out)),
    ]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def has_router(model: nn.Module, blocks: list[str]) -> list[bool]:
    """Of each block, by its name, whether it holds a router."""
    found = list(routers(model))
    return [any(name.startswith(f"{block}.") for name in found) for block in blocks]


def _share(labels: Tensor, predicted: Tensor | int | None) -> Tensor:
    """The part of the whole batch's predicted tokens that is here."""
    if predicted is None:
        return torch.ones((), device=labels.device)
    return (labels[:, 1:] != -100).sum().float() / predicted


def _added_up(terms: dict[str, Term]) -> dict[str, Tensor]:
    """The loss and its parts, as fields of the output."""
    parts: dict[str, Tensor] = {name: term.value.detach() for name, term in terms.items()}
    for term in terms.values():
        if term.ratio_L is not None:
            parts["good_ratio"] = term.ratio_L
        if term.range_L2 is not None:
            parts["good_ratio_range"] = term.range_L2
    return {"loss": total(terms), **parts}
