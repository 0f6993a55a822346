"""Trash experts: what a token gets in place of its feed-forward block, in the share `bad_ratio`.

B batch, T tokens, D hidden, I intermediate, E experts, R rank. docs/trash_experts.md says what each one did in the mini
world.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from mygo.errors import UserError
from mygo.models.config import GatedConfig
from mygo.models.custom_trash import check_shape, custom_expert

KEY = "convert.trash_expert_mode"
DOWN_STD = 0.02


class NoiseExpert(nn.Module):
    """Gaussian noise with the mean and standard deviation that the token's input has over its hidden dimension.

    Fresh at every call in training. In evaluation one fixed draw serves all tokens, so that what a token gets does not
    depend on what it is batched with.
    """

    def forward(self, x: Tensor) -> Tensor:
        std, mean = torch.std_mean(x.detach().float(), dim=-1, keepdim=True)
        noise = torch.randn_like(x, dtype=torch.float32) if self.training else _fixed_noise(x.shape[-1]).to(x.device)
        return (mean + std * noise).to(x.dtype)


class BatchNoiseExpert(nn.Module):
    """Gaussian noise with the mean and standard deviation that each hidden dimension has over the batch's tokens.

    In training of the (micro-)batch at hand, padding left out where the model was given a mask [B, T] (a block that is
    called by itself knows none: all its tokens count), and fresh at every call. In evaluation of the running moments
    that training has recorded, as BatchNorm does, and of `NoiseExpert`'s fixed draw: all tokens get the same vector,
    whatever they are batched with. Of several processes each records its own batches, and the first one's are saved.
    """

    momentum: ClassVar[float] = 0.1  # running = 0.9 running + 0.1 batch, PyTorch's default
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(hidden_size))
        self.register_buffer("running_var", torch.ones(hidden_size))
        self.mask_BT: Tensor | None = None
        self.told = self.recorded = False

    def begin_pass(self, mask: Tensor | None) -> None:
        """The model begins a forward pass. What is computed once more for the gradient (checkpointing) is the same
        pass: it sees the same mask, and is not recorded again.
        """
        self.mask_BT = mask
        self.told, self.recorded = True, False

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D], without a gradient."""
        if not self.training:
            std_D = self.running_var.float().sqrt()
            noise_D = self.running_mean.float() + std_D * _fixed_noise(x.shape[-1]).to(x.device)
            return noise_D.to(x.dtype).expand_as(x)
        mean_D, var_D = self._moments(x.detach().float())
        return (mean_D + var_D.sqrt() * torch.randn_like(x, dtype=torch.float32)).to(x.dtype)

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and unbiased variance [D] over all tokens that are none of padding; they are recorded."""
        mask = self.mask_BT if self.mask_BT is not None and self.mask_BT.shape == x.shape[:-1] else None
        real = torch.ones(x.shape[:-1], device=x.device) if mask is None else mask.to(x)
        n, real = real.sum(), real.unsqueeze(-1)
        mean_D = (real * x).flatten(0, -2).sum(0) / n.clamp(min=1)
        var_D = (real * (x - mean_D) ** 2).flatten(0, -2).sum(0) / (n - 1).clamp(min=1)
        if not self.recorded:
            weight = (self.momentum * (n > 0)).to(self.running_mean)
            self.running_mean.lerp_(mean_D.to(self.running_mean), weight)
            self.running_var.lerp_(var_D.to(self.running_var), weight)
            self.recorded = self.told
        return mean_D, var_D


@cache
def _fixed_noise(size: int) -> Tensor:
    """Of mean 0 and standard deviation 1 exactly."""
    noise = torch.randn(size, generator=torch.Generator().manual_seed(0))
    return (noise - noise.mean()) / noise.std()


class LowRankExpert(nn.Module):
    """up(down(x)) of rank R, trained in warm-up. `up` begins as zero, as LoRA's B does, so that the expert begins as
    `zero`; `down` is drawn from N(0, 0.02).

    It owns its parameters: the library would draw those of a Linear again, both of them.
    """

    trained: ClassVar[bool] = True

    def __init__(self, hidden_size: int, rank: int) -> None:
        super().__init__()
        self.down_RD = nn.Parameter(torch.randn(rank, hidden_size) * DOWN_STD)
        self.up_DR = nn.Parameter(torch.zeros(hidden_size, rank))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        return functional.linear(functional.linear(x, self.down_RD), self.up_DR)


class MeanExpert(nn.Module):
    """An expert of the form that the block's have, trained in warm-up, which begins with the mean of their weights.

    It holds zeros until `begin` is called: a block that is being built has no weights yet.
    """

    trained: ClassVar[bool] = True

    def __init__(self, experts: Any) -> None:
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.zeros_like(experts.gate_up_proj[0]))  # [2I, D]
        self.down_proj = nn.Parameter(torch.zeros_like(experts.down_proj[0]))  # [D, I]
        self.act_fn = experts.act_fn

    @torch.no_grad()
    def begin(self, experts: Any) -> None:
        """Take the mean over the experts, tensor by tensor: [E, 2I, D] and [E, D, I]."""
        self.gate_up_proj.copy_(experts.gate_up_proj.float().mean(0))
        self.down_proj.copy_(experts.down_proj.float().mean(0))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        gate, up = functional.linear(x, self.gate_up_proj).chunk(2, dim=-1)
        return functional.linear(self.act_fn(gate) * up, self.down_proj)


def mean_expert(config: GatedConfig, block: nn.Module) -> MeanExpert:
    """Raises `UserError` for a dense block, and for experts of another form than transformers' fused gate and up."""
    experts = getattr(block, "experts", None)
    if experts is None:
        raise UserError(
            f"{KEY}: got expert_mean, but a dense feed-forward block ({type(block).__name__}) has one expert, itself, "
            "and no others to take the mean of; takes zero, noise, batch_noise, low_rank or custom"
        )
    fused = all(getattr(getattr(experts, name, None), "ndim", 0) == 3 for name in ("gate_up_proj", "down_proj"))
    other = getattr(experts, "is_transposed", False) or getattr(experts, "has_bias", False)
    if not fused or other or not hasattr(experts, "act_fn"):
        raise UserError(
            f"{KEY}: got expert_mean, but experts of the form of {type(experts).__name__} are not known; takes zero, "
            "noise, batch_noise, low_rank or custom"
        )
    return MeanExpert(experts)


# Built from the config and the feed-forward block. None stands for zero: there is nothing to add, nothing is computed.
TRASH_EXPERTS: dict[str, Callable[[GatedConfig, nn.Module], nn.Module | None]] = {
    "zero": lambda config, block: None,
    "noise": lambda config, block: NoiseExpert(),
    "batch_noise": lambda config, block: BatchNoiseExpert(config.hidden_size),
    "low_rank": lambda config, block: LowRankExpert(config.hidden_size, config.trash_expert_rank),
    "expert_mean": mean_expert,
    "custom": lambda config, block: custom_expert(config),
}


def trash_experts(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """The trash experts that are modules, in layer order: name, block, expert."""
    for name, block in model.named_modules():
        if isinstance(expert := getattr(block, "trash_expert", None), nn.Module):
            yield f"{name}.trash_expert".lstrip("."), block, expert


def trained_trash_parameters(model: nn.Module) -> list[str]:
    """Names of the parameters of trash experts that warm-up trains."""
    return [
        f"{name}.{parameter}"
        for name, _, expert in trash_experts(model)
        if getattr(expert, "trained", False)
        for parameter, _ in expert.named_parameters()
    ]


def trash_buffers(model: nn.Module) -> dict[str, Tensor]:
    """What trash experts record while they train, by name."""
    return {
        f"{name}.{buffer}": tensor
        for name, _, expert in trash_experts(model)
        for buffer, tensor in expert.named_buffers()
    }


def begin_pass(model: nn.Module, mask: Tensor | None) -> None:
    """In training, tell trash experts that ask for it which tokens are padding: `mask` [B, T], 1 for tokens; None: no
    padding.
    """
    if not model.training:
        return
    for _, _, expert in trash_experts(model):
        if isinstance(expert, BatchNoiseExpert):
            expert.begin_pass(mask)


def renew_trash_experts(model: nn.Module, config: GatedConfig, dtype: torch.dtype) -> None:
    """Build the trash experts once more, outside `from_pretrained`: there they begin without storage, lose what their
    class initialised, and the experts that one takes the mean of are not read yet.
    """
    for _, block, _ in list(trash_experts(model)):
        expert = TRASH_EXPERTS[config.trash_expert_mode](config, block)
        assert expert is not None
        if isinstance(expert, MeanExpert):
            expert.begin(block.experts)
        if config.trash_expert_mode == "custom":
            check_shape(expert, config)
        block.trash_expert = expert.to(dtype=dtype, device=next(block.parameters()).device)
