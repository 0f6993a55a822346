"""What all gated families share beyond the gate: initialisation, and a forward that adds the losses and hands on what
the gates said.

B batch, T tokens, L layers, E experts, D hidden, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.modeling_utils import slice_logits_to_keep
from transformers.models.olmoe.modeling_olmoe import load_balancing_loss_func
from transformers.utils.generic import ModelOutput, can_return_tuple
from transformers.utils.output_capturing import OutputRecorder

from mygo.models.config import GatedConfig
from mygo.models.gate import GatedFeedForward, QualityGate
from mygo.models.losses import Part, good_ratio_range, quality_loss
from mygo.models.trash import begin_pass


def record_gates(base: type[PreTrainedModel]) -> dict[str, Any]:
    """A family's `_can_record_outputs`: what its base records, and with `output_gate_scores=True` the raw score of each
    layer as `gate_scores`.
    """
    return {**(base._can_record_outputs or {}), "gate_scores": OutputRecorder(QualityGate)}


@dataclass
class GatedCausalLMOutput(ModelOutput):
    """`router_logits`: for each layer "quality_score" [B, T, 1] and in MoE families "moe_logits" [B * T, E].

    With labels, detached and for logging: `lm_loss` (mean NLL of the predicted tokens, nats), `quality_loss`,
    `load_balancing_loss` (None unless enabled), all unweighted, and `good_ratio` [L], the mean over tokens. Where the
    counts of a whole batch were handed in, each is what this micro-batch adds to the batch's value. With
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
    load_balancing_loss: Tensor | None = None
    good_ratio: Tensor | None = None
    good_ratio_range: Tensor | None = None


class GatedPreTrained(PreTrainedModel):
    """Mixin: initialises the gates from the config."""

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, QualityGate):
            init.normal_(module.weight, mean=self.config.quality_gate_init_mean, std=self.config.quality_gate_init_std)


def gate_layers(model: Any, block: type[GatedFeedForward]) -> None:
    """Put a gated block in place of the feed-forward block of every layer."""
    for layer in model.layers:
        layer.mlp = block(model.config)


class GatedCausalLM(GatedPreTrained):
    """Mixin before a causal-LM class: Hugging Face's forward, with the gates' part of the loss and of the output.

    loss = lm_loss + router_aux_loss_coef * load_balancing_loss + quality_loss_weight * quality_loss

    Under gradient accumulation the Trainer divides the language-model loss by the `num_items_in_batch` predicted tokens
    of the *whole* batch, so that micro-batches add up to it. The gates' losses must add up as well: means of per-token
    terms are divided by the whole batch's `num_samples_in_batch` or `num_tokens_in_batch` (under the attention mask;
    over all processes); load balancing and losses of moments, which are not linear, count by the micro-batch's share of
    the predicted tokens. A trainer that hands in `num_items_in_batch` alone gets that share for all of them.
    """

    config: GatedConfig

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
    ) -> GatedCausalLMOutput:
        """As any causal LM of transformers. input_ids and labels [B, T]; `output_router_logits` fills
        `router_logits`; the counts are of the whole batch that this is a micro-batch of.
        """
        wanted = self.config.output_router_logits if output_router_logits is None else output_router_logits
        begin_pass(self, attention_mask)
        out = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_gate_scores=wanted or labels is not None,
            output_router_logits=wanted or (labels is not None and self.config.enable_load_balancing),
            **kwargs,
        )
        logits = self.lm_head(slice_logits_to_keep(out.last_hidden_state, logits_to_keep))
        counts = (num_samples_in_batch, num_tokens_in_batch)
        losses = {} if labels is None else self._losses(out, logits, labels, attention_mask, counts, **kwargs)
        return GatedCausalLMOutput(
            logits=logits,
            past_key_values=out.past_key_values,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
            router_logits=_by_layer(out) if wanted else None,
            **losses,
        )

    def _losses(
        self,
        out: ModelOutput,
        logits: Tensor,
        labels: Tensor,
        attention_mask: Tensor | None,
        counts: tuple[Tensor | None, Tensor | None],
        **kwargs: Any,
    ) -> dict[str, Tensor | None]:
        """The loss and its parts, as fields of the output. `counts`: samples and tokens of the whole batch."""
        lm = self.loss_function(logits, labels, self.config.vocab_size, **kwargs)
        share = torch.ones_like(lm)
        if (total := kwargs.get("num_items_in_batch")) is not None:
            share = (labels[:, 1:] != -100).sum().to(lm) / total
        quality, good_ratio_L = quality_loss(out["gate_scores"], attention_mask, self.config, Part(share, *counts))
        loss = lm + self.config.quality_loss_weight * quality.to(lm)
        balance, debug = None, self.config.quality_loss_debug
        if self.config.enable_load_balancing:
            balance = share * self._load_balancing_loss(out, attention_mask).to(lm)
            loss = loss + self.config.router_aux_loss_coef * balance
        return {
            "loss": loss,
            "lm_loss": lm.detach(),
            "quality_loss": quality.detach(),
            "load_balancing_loss": None if balance is None else balance.detach(),
            "good_ratio": good_ratio_L,
            "good_ratio_range": good_ratio_range(out["gate_scores"], attention_mask) if debug else None,
        }

    def _load_balancing_loss(self, out: ModelOutput, attention_mask: Tensor | None) -> Tensor:
        """Switch Transformer's loss, equations (4) to (6), as transformers computes it. Raises `ValueError` for a
        family without routers.
        """
        if "router_logits" not in out:
            raise ValueError(
                f"enable_load_balancing: got true for {type(self).__name__}, which has no routers to balance"
            )
        loss = load_balancing_loss_func(
            out["router_logits"], self.config.num_experts, self.config.num_experts_per_tok, attention_mask
        )
        return torch.as_tensor(loss)


def _by_layer(out: ModelOutput) -> tuple[dict[str, Tensor], ...]:
    scores = [{"quality_score": score} for score in out["gate_scores"]]
    if "router_logits" not in out:
        return tuple(scores)
    return tuple(
        layer | {"moe_logits": moe_logits} for layer, moe_logits in zip(scores, out["router_logits"], strict=True)
    )
