"""Parts of a step give the gradients of the whole step, and where memory runs out the parts are halved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.recipes.conftest import LIKES_A, Prepare, finish, preference_rows, prompt_rows
from tests.recipes.test_ppo import SETTINGS
from training.recipes.models.generation import Drawing, sample
from training.recipes.models.shared_model import SharedModel, role_logprobs
from training.recipes.process.log import remarks
from training.recipes.process.memory import MicroBatches
from training.recipes.process.seeds import generator
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes

STEPS: dict[str, Row] = {
    "ppo": SETTINGS | {"episodes": 32, "ppo_epochs": 1, "eval_completions": 1, "learning_rate": 1e-3},
    "sft": {"epochs": 1, "batch_size": 8, "max_new_tokens": 4, "eval_completions": 1, "lora_rank": 4},
    "dpo": {"epochs": 1, "batch_size": 8, "max_new_tokens": 4, "eval_completions": 1, "lora_rank": 4},
    "reward": LIKES_A | {"epochs": 1, "rankings_per_step": 8, "reference_samples": 4},
    "rloo": {"episodes": 16, "batch_size": 16, "minibatch_size": 8, "max_new_tokens": 4, "eval_completions": 1},
    "grpo": {"episodes": 16, "batch_size": 16, "minibatch_size": 8, "max_new_tokens": 4, "eval_completions": 1},
}


@pytest.fixture
def run_of(prepare: Prepare, checkpoint: Path, reward_model: Path):
    def make(name: str, method: str, **more: object) -> RunDir:
        inputs = {"policy": str(checkpoint), "base_model": str(checkpoint)}
        rows = preference_rows(16, held_out=4)
        if method == "sft":
            rows = [{**row, "completion": row["chosen"]} for row in rows[::3]]
        if method in ("ppo", "rloo", "grpo"):
            inputs, rows = inputs | {"reward_model": str(reward_model)}, prompt_rows(8, held_out=2)
        torch.manual_seed(0)
        return prepare(name, method, STEPS[method] | more, inputs, rows)

    return make


def weights(run: RunDir) -> dict[str, torch.Tensor]:
    return load_file(run.checkpoint_path / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("method", "part"), [("ppo", 4), ("sft", 3), ("dpo", 3), ("reward", 3), ("rloo", 4), ("grpo", 4)]
)
def test_steps_in_parts_are_steps_of_the_whole(run_of, method: str, part: int):
    whole, parts = run_of("whole", method), run_of("parts", method, micro_batch=part, checkpointing=True)
    finish(whole)
    finish(parts)
    norm = f"{method}/grad_norm"
    first, other = ([row[norm] for row in run.metrics()] for run in (whole, parts))
    assert other == pytest.approx(first, rel=1e-4)
    loss = {"ppo": "ppo/loss/policy"}.get(method, f"{method}/loss")
    assert [row[loss] for row in parts.metrics()] == pytest.approx([row[loss] for row in whole.metrics()], abs=1e-5)
    assert max((tensor - weights(parts)[name]).abs().max() for name, tensor in weights(whole).items()) < 2e-4


class RunsOut:
    """Counts what is read with gradients, and has no memory for more than `most` rows."""

    def __init__(self, most: int, error: type[Exception]) -> None:
        self.most, self.error, self.refused = most, error, 0

    def check(self, rows: int) -> None:
        if torch.is_grad_enabled() and rows > self.most:
            self.refused += 1
            raise self.error("out of memory")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_ppo_goes_on_with_smaller_parts_where_memory_runs_out(run_of, monkeypatch, error: type[Exception]):
    expected = run_of("whole", "ppo")
    finish(expected)
    memory, read = RunsOut(1, error), SharedModel.read
    monkeypatch.setattr(
        SharedModel,
        "read",
        lambda self, answers, role: (memory.check(len(answers.prompt)), read(self, answers, role))[1],
    )
    run = run_of("small", "ppo")
    result = finish(run)
    assert memory.refused == 2  # 4 groups, then 2; after that it stays with 1
    assert result["remarks"][-1] == "Memory ran out with 2 groups of answers at once: it goes on with 1"
    assert max((tensor - weights(run)[name]).abs().max() for name, tensor in weights(expected).items()) < 2e-4


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_trl_goes_on_with_smaller_parts_where_memory_runs_out(run_of, monkeypatch, method: str):
    from transformers import LlamaModel

    expected = run_of("whole", method)
    finish(expected)
    memory, forward = RunsOut(4 if method == "dpo" else 2, torch.OutOfMemoryError), LlamaModel.forward

    def checked(self, input_ids, *inputs, **options):
        memory.check(len(input_ids) if self.training else 0)
        return forward(self, input_ids, *inputs, **options)

    monkeypatch.setattr(LlamaModel, "forward", checked)
    run = run_of("small", method)
    result = finish(run)
    assert memory.refused == 2  # 8 rows, then 4
    assert "goes on with 2" in result["remarks"][-1]
    assert max((tensor - weights(run)[name]).abs().max() for name, tensor in weights(expected).items()) < 2e-4


def test_gradients_of_parts_add_up_to_those_of_the_whole():
    """To 1e-6, and only once where a part did not fit."""
    inputs, model = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), torch.nn.Linear(5, 1)
    failed = []

    def part(rows):
        if len(rows) > 2:
            model.bias.grad = torch.tensor([99.0])  # half done
            failed.append(len(rows))
            raise torch.OutOfMemoryError
        loss = model(inputs[list(rows)]).square().sum() / 7
        loss.backward()
        return loss.detach()

    model(inputs).square().mean().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    remarks.clear()
    memory = MicroBatches(0, "rows")
    total = memory.run(range(7), part, model.zero_grad)
    assert failed == [7, 3]
    assert memory.size == 1
    assert total.item() == pytest.approx(float(model(inputs).square().mean()), abs=1e-6)
    for parameter, wanted in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, atol=1e-6, rtol=0)
    remarks.clear()


def test_a_single_row_that_does_not_fit_is_an_error_and_other_errors_are_not_tried_again():
    def fail(error):
        def part(rows):
            tried.append(len(rows))
            raise error

        return part

    tried: list[int] = []
    with pytest.raises(MemoryError):
        MicroBatches(0, "rows").run(range(4), fail(MemoryError()), lambda: None)
    assert tried == [4, 2, 1]
    with pytest.raises(ValueError, match="no"):
        MicroBatches(0, "rows").run(range(4), fail(ValueError("no")), lambda: None)
    assert tried == [4, 2, 1, 4]
    remarks.clear()


def test_rloo_goes_on_with_smaller_parts_where_memory_runs_out(run_of, monkeypatch):
    from transformers import LlamaModel

    expected = run_of("whole", "rloo")
    finish(expected)
    memory, forward = RunsOut(3, torch.OutOfMemoryError), LlamaModel.forward

    def checked(self, input_ids, *inputs, **options):
        memory.check(len(input_ids))
        return forward(self, input_ids, *inputs, **options)

    monkeypatch.setattr(LlamaModel, "forward", checked)
    run = run_of("small", "rloo")
    result = finish(run)
    assert memory.refused == 2  # 8 rows, then 4
    assert result["remarks"][-1] == "Memory ran out with 4 episodes at once: it goes on with 2"
    assert max((tensor - weights(run)[name]).abs().max() for name, tensor in weights(expected).items()) < 2e-4


PROMPTS = [[5, 9, 30], [7, 8, 9, 40, 11, 12], [6], [5, 6, 7, 8], [30, 31]]


@pytest.mark.parametrize("keep_trunk", [False, True])
def test_answers_that_are_drawn_in_parts_are_those_that_are_drawn_at_once(shared: SharedModel, keep_trunk: bool):
    def drawn(at_once: int):
        return sample(shared, None, PROMPTS, Drawing(3, 12, 0.9, at_once), generator(7), keep_trunk=keep_trunk)

    whole, parts = drawn(0), drawn(6)
    assert whole.texts(shared) == parts.texts(shared)
    width = parts.drawn.shape[2]
    assert torch.equal(whole.drawn[:, :, :width], parts.drawn)
    assert torch.equal(whole.answers.response_mask.sum(-1), parts.answers.response_mask.sum(-1))
    torch.testing.assert_close(whole.logprobs[:, :, :width], parts.logprobs, atol=1e-5, rtol=0)
    mask = parts.answers.response_mask
    read = [role_logprobs(shared, each.answers, each.answers.response_mask, None, 0.9) for each in (whole, parts)]
    torch.testing.assert_close(read[0][:, :, :width][mask], read[1][mask], atol=1e-5, rtol=0)
    if keep_trunk:
        torch.testing.assert_close(whole.answers.depths, parts.answers.depths, atol=1e-5, rtol=0)


def test_sampling_goes_on_in_parts_where_memory_runs_out(shared: SharedModel, monkeypatch):
    remarks.clear()
    advance, tried = SharedModel.advance, []

    def scarce(self, ids, *others):
        if len(ids) > 3:
            tried.append(len(ids))
            raise torch.OutOfMemoryError
        return advance(self, ids, *others)

    whole = sample(shared, None, PROMPTS, Drawing(1, 12, 0.9), generator(7))
    monkeypatch.setattr(SharedModel, "advance", scarce)
    for _ in range(2):
        assert sample(shared, None, PROMPTS, Drawing(1, 12, 0.9), generator(7)).texts(shared) == whole.texts(shared)
    assert tried == [5]  # the second time it begins with what fits
    assert remarks == ["Memory ran out with 5 prompts of 1 answers each at once: it goes on with 2"]
    remarks.clear()


@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_a_setting_draws_fewer_answers_at_once(run_of, method: str, monkeypatch):
    from transformers import LlamaForCausalLM

    most = []
    advance, generate = SharedModel.advance, LlamaForCausalLM.generate

    def counted(self, ids, *others):
        most.append(len(ids))
        return advance(self, ids, *others)

    def counted_theirs(self, *inputs, **options):
        most.append(len(options["input_ids"]))
        return generate(self, *inputs, **options)

    run = run_of("few", method, sampling_batch=4, eval_every=0)
    monkeypatch.setattr(SharedModel, "advance", counted if method == "ppo" else advance)
    monkeypatch.setattr(LlamaForCausalLM, "generate", counted_theirs)
    assert finish(run)["updates"] == 1
    assert max(most) <= 4
