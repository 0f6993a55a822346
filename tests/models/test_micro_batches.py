"""A batch cut into micro-batches has the gradients of the whole one, where the loss is a mean of per-token terms."""

import pytest
import torch

from mygo.models import from_base, routing_parameters

LENGTHS = (12, 3, 7, 1, 9, 5, 2, 11)
PER_TOKEN = ("sigmoid", "linear", "mse", "custom")
CUSTOM = "def by_place(good_ratio, attention_mask):\n    return (good_ratio - 0.25) ** 2\n"


@pytest.fixture
def model(case, tmp_path, monkeypatch):
    (tmp_path / "custom_loss.py").write_text(CUSTOM)
    monkeypatch.syspath_prepend(tmp_path)
    model = from_base(case.family, str(case.base), quality_gate_init_std=1.0).train()
    model.config.quality_loss_weight = 20.0
    model.config.quality_loss_function = "custom_loss:by_place"
    return model


@pytest.fixture(scope="module")
def batch():
    mask = torch.arange(max(LENGTHS))[None] < torch.tensor(LENGTHS)[:, None]
    ids = torch.randint(2, 64, mask.shape, generator=torch.Generator().manual_seed(3))
    return {"input_ids": ids, "attention_mask": mask.long(), "labels": ids.masked_fill(~mask, -100)}


def gradients(model, batch, size, **counts):
    """Gate and router gradients, and the sums of the logged parts, of the batch in micro-batches of `size`."""
    model.zero_grad()
    predicted = (batch["labels"][:, 1:] != -100).sum()
    parts = dict.fromkeys(("loss", "lm_loss", "quality_loss", "good_ratio"), 0)
    for at in range(0, len(LENGTHS), size):
        micro = {name: tensor[at : at + size] for name, tensor in batch.items()}
        out = model(**micro, num_items_in_batch=predicted, **counts)
        out.loss.backward()
        parts = {name: total + out[name].detach() for name, total in parts.items()}
    named = dict(model.named_parameters())
    return torch.cat([named[name].grad.flatten() for name in sorted(routing_parameters(model))]), parts


COUNTS = {"num_samples_in_batch": torch.tensor(len(LENGTHS)), "num_tokens_in_batch": torch.tensor(sum(LENGTHS))}


@pytest.mark.parametrize("averaging", ["sample_wise", "token_wise"])
@pytest.mark.parametrize("kind", PER_TOKEN)
def test_per_token_losses_do_not_depend_on_how_a_batch_is_cut(model, batch, kind, averaging):
    model.config.quality_loss_type, model.config.quality_loss_averaging = kind, averaging
    whole, parts = gradients(model, batch, 8)
    for size in (1, 2, 4, 8):
        cut, cut_parts = gradients(model, batch, size, **COUNTS)
        torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-5 * whole.abs().max().item())
        for name, total in parts.items():
            torch.testing.assert_close(cut_parts[name], total, rtol=1e-4, atol=1e-5)
    by_share, _ = gradients(model, batch, 1)  # without the counts each micro-batch weighs as its predicted tokens do
    assert (by_share - whole).abs().max() > 1e-2 * whole.abs().max() or averaging == "token_wise"


@pytest.mark.parametrize("kind", ["beta_moment_matching", "mean_variance_regularization"])
def test_losses_of_moments_count_by_their_share_of_the_predicted_tokens(model, batch, kind):
    model.config.quality_loss_type = kind
    whole, _ = gradients(model, batch, 8)
    assert torch.equal(gradients(model, batch, 8, **COUNTS)[0], whole)
    cut, parts = gradients(model, batch, 2, **COUNTS)
    assert (cut - whole).abs().max() > 1e-2 * whole.abs().max()
    expected = 0.0
    predicted = [length - 1 for length in LENGTHS]
    for at in range(0, 8, 2):
        alone = model(**{name: tensor[at : at + 2] for name, tensor in batch.items()})
        expected += sum(predicted[at : at + 2]) / sum(predicted) * alone.quality_loss
    torch.testing.assert_close(parts["quality_loss"], expected, rtol=1e-4, atol=1e-6)


def test_load_balancing_counts_by_its_share_of_the_predicted_tokens(case, model, batch):
    if case.family == "quality_gate":
        pytest.skip("it has no routers")
    model.config.enable_load_balancing, model.config.router_aux_loss_coef = True, 0.25
    half = {name: tensor[:4] for name, tensor in batch.items()}
    alone, part = model(**half), model(**half, num_items_in_batch=torch.tensor(42), **COUNTS)
    torch.testing.assert_close(part.load_balancing_loss, 19 / 42 * alone.load_balancing_loss)
    torch.testing.assert_close(part.loss, part.lm_loss + 20.0 * part.quality_loss + 0.25 * part.load_balancing_loss)
