"""The experts of a MoE block on a CPU: expert by expert, each on tokens that stay in the core's cache.

N tokens, K experts a token, E experts, D hidden, I intermediate.
"""

import torch
from torch.nn.functional import embedding_bag, linear
from transformers import PreTrainedModel
from transformers.integrations.moe import ExpertsInterface

NAME = "mygo_cpu"


def cpu_experts(experts: torch.nn.Module, hidden_ND: torch.Tensor, expert_NK: torch.Tensor, weight_NK: torch.Tensor) -> torch.Tensor:
    """Experts function for `transformers.ExpertsInterface`: what `grouped_mm` computes, in float32 on a CPU. Returns [N, D].

    For experts without biases whose weights are [E, out, in]. The weighted sum over a token's experts is one `embedding_bag`, which
    neither copies the K outputs into the tokens' order nor depends on the order of threads.
    """
    order = expert_NK.flatten().argsort(stable=True)
    counts = torch.bincount(expert_NK.flatten(), minlength=len(experts.gate_up_proj)).tolist()  # pyright: ignore[reportArgumentType]
    out = hidden_ND.new_empty(len(order), hidden_ND.shape[1])
    for e, (tokens, done) in enumerate(zip((order // expert_NK.shape[1]).split(counts), out.split(counts), strict=True)):
        if len(tokens):
            inner = experts._apply_gate(linear(hidden_ND[tokens], experts.gate_up_proj[e]))  # pyright: ignore
            torch.mm(inner, experts.down_proj[e].t(), out=done)  # pyright: ignore
    place_NK = torch.empty_like(order)
    place_NK[order] = torch.arange(len(order))
    return embedding_bag(place_NK.view_as(expert_NK), out, per_sample_weights=weight_NK, mode="sum")


def use_cpu_experts(model: PreTrainedModel) -> None:
    """Switch a model of float32 on a CPU to `cpu_experts` where its experts are of the plain kind."""
    experts = [module for module in model.modules() if hasattr(module, "_apply_gate")]
    plain = all(not module.has_bias and not module.is_transposed and not module.has_post_expert_norm for module in experts)
    if experts and plain and model.device.type == "cpu" and model.dtype is torch.float32:
        model.set_experts_implementation(NAME)


ExpertsInterface.register(NAME, cpu_experts)
