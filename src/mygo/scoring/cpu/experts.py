"""The experts of a MoE block on a CPU: expert by expert, each on tokens that stay in the core's cache.

N tokens, K experts a token, E experts, D hidden, I gate and up of an expert.
"""

from typing import Any

import torch
from torch.nn.functional import embedding_bag
from transformers import PreTrainedModel
from transformers.integrations.moe import ExpertsInterface, _default_apply_gate

from mygo.scoring.cpu.kernels import is_silu, silu_times_

NAME = "mygo_cpu"


def cpu_experts(
    experts: Any, hidden_ND: torch.Tensor, expert_NK: torch.Tensor, weight_NK: torch.Tensor
) -> torch.Tensor:
    """Experts function for `transformers.ExpertsInterface`: what `grouped_mm` computes, in float32 on a CPU. Returns
    [N, D].

    For experts without biases whose weights are [E, out, in]. The weighted sum over a token's experts is one
    `embedding_bag`, which neither copies the K outputs into the tokens' order nor depends on the order of threads.
    """
    apply_gate = (
        _silu_gate
        if is_silu(experts.act_fn) and type(experts)._apply_gate is _default_apply_gate
        else experts._apply_gate
    )
    order = expert_NK.flatten().argsort(stable=True)
    counts = torch.bincount(expert_NK.flatten(), minlength=len(experts.gate_up_proj)).tolist()
    out = hidden_ND.new_empty(len(order), hidden_ND.shape[1])
    taken_ND = hidden_ND.new_empty(max(counts), hidden_ND.shape[1])
    inner_NI = hidden_ND.new_empty(max(counts), experts.gate_up_proj.shape[1])
    for e, (tokens, done) in enumerate(
        zip((order // expert_NK.shape[1]).split(counts), out.split(counts), strict=True)
    ):
        if size := len(tokens):
            torch.index_select(hidden_ND, 0, tokens, out=taken_ND[:size])
            torch.mm(taken_ND[:size], experts.gate_up_proj[e].t(), out=inner_NI[:size])
            torch.mm(apply_gate(inner_NI[:size]), experts.down_proj[e].t(), out=done)
    place_NK = torch.empty_like(order)
    place_NK[order] = torch.arange(len(order))
    return embedding_bag(place_NK.view_as(expert_NK), out, per_sample_weights=weight_NK, mode="sum")


def _silu_gate(gate_up_NI: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up in the place of the gate, which the library's default writes twice elsewhere."""
    return silu_times_(*gate_up_NI.chunk(2, dim=-1))


def use_cpu_experts(model: PreTrainedModel) -> None:
    """Switch a model of float32 on a CPU to `cpu_experts` where its experts are of the plain kind."""
    experts = [module for module in model.modules() if hasattr(module, "_apply_gate")]
    plain = all(
        module.has_gate and not module.has_bias and not module.is_transposed and not module.has_post_expert_norm
        for module in experts
    )
    if experts and plain and model.device.type == "cpu" and model.dtype is torch.float32:
        model.set_experts_implementation(NAME)


ExpertsInterface.register(NAME, cpu_experts)
