"""The page of tokens and the trainer agree on every id and on what is learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.recipes.test_instruction_tuning import instruction
from training.instructions.recast import prompt_text, recast, seed_rows
from training.instructions.seeds import seed_tasks
from training.instructions.tasks import TASKS
from training.methods import InstructionTuningConfig
from training.recipes.instruction_tuning import read_rows
from training.recipes.models.shared_model import SharedModel
from training.recipes.sft import IGNORED, sft_trainer
from training.recipes.trainer.roles import load_roles
from training.rundir import Row, RunDir
from training.tokenizers.chat import NoTokens, PolicyTokenizer

pytestmark = pytest.mark.recipes


def shown(tokenizer: PolicyTokenizer, row: Row) -> tuple[list[int], list[int]]:
    tokens = tokenizer.example([{"role": "user", "content": prompt_text(row)}], row["output"])
    return [token.id for token in tokens], [token.id if token.learned else IGNORED for token in tokens]


def test_ids_and_mask_are_those_of_every_row_that_the_recipe_reads(shared: SharedModel, checkpoint: Path):
    rows = list(recast(TASKS, held_out=(), per_task=10, test_per_task=1, seed=0)) + list(seed_rows(seed_tasks(), ()))
    rows = [row for row in rows if row["split"] == "train"]
    rows.append(instruction("train", "Say <|end|> and nothing.", "", "<|end|> is <|start|>text"))
    examples, _, refused = read_rows(rows, shared, InstructionTuningConfig(max_length=100_000))
    assert sum(refused.values()) < len(rows) / 10
    used = [row for row in rows if not read_rows([row], shared, InstructionTuningConfig())[2]]
    assert rows[-1] in used
    tokenizer = PolicyTokenizer(str(checkpoint))
    assert [shown(tokenizer, row) for row in used] == [(each["input_ids"], each["labels"]) for each in examples]


def test_the_batch_that_the_trainer_computes_its_loss_on_is_what_the_page_shows(checkpoint: Path, tmp_path: Path):
    rows = [instruction("train", "Say it.", "the sea", "a good day"), instruction("train", "And then?", "", "tea")]
    config = InstructionTuningConfig(batch_size=2, top_blocks=2, train="full", epochs=1, packing=False)
    roles = load_roles(run := RunDir(tmp_path / "run"), config, {"policy": str(checkpoint)})
    trainer = sft_trainer(run, config, roles, read_rows(rows, roles.shared, config)[0])
    (step,) = list(trainer.get_train_dataloader())
    batch = trainer.collate(step["rows"])  # both rows are one part of the step
    tokenizer = PolicyTokenizer(str(checkpoint))
    expected = {tuple(ids): labels for ids, labels in (shown(tokenizer, row) for row in rows)}
    for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
        real = mask.bool()
        assert labels[real].tolist() == expected.pop(tuple(ids[real].tolist()))
        assert (labels[~real] == IGNORED).all()
    assert not expected
    # And that loss is the mean over the marked tokens, as another way of counting has it.
    trainer.model.eval()
    with torch.no_grad():
        loss = float(trainer.compute_loss(trainer.model, {**batch}))
        logits = roles.actor.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    found = [
        -float(logits[row, place - 1].log_softmax(-1)[label])
        for row, labels in enumerate(batch["labels"].tolist())
        for place, label in enumerate(labels)
        if label != IGNORED
    ]
    assert loss == pytest.approx(sum(found) / len(found), abs=1e-4)


def test_a_template_in_the_settings_and_an_adapter_s_base_are_found(checkpoint: Path, tmp_path: Path):
    row = instruction("train", "Say it.", "the sea", "tea")
    wanted = shown(PolicyTokenizer(str(checkpoint)), row)
    older = tmp_path / "older"
    older.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint / name, older)
    with pytest.raises(NoTokens, match="no tokenizer with a chat template"):
        PolicyTokenizer(str(older))
    settings = json.loads((older / "tokenizer_config.json").read_text())
    template = (checkpoint / "chat_template.jinja").read_text()
    for given in (template, [{"name": "default", "template": template}]):
        (older / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": given}))
        assert shown(PolicyTokenizer(str(older)), row) == wanted
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(older)}))
    assert shown(PolicyTokenizer(str(adapter)), row) == wanted


def test_a_template_that_refuses_or_reaches_out_of_its_sandbox_says_so(checkpoint: Path, tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    for template, why in (
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages.__class__.__mro__ }}", "refuses a question"),
    ):
        (folder / "chat_template.jinja").write_text(template)
        with pytest.raises(NoTokens, match=why):
            PolicyTokenizer(str(folder)).example([{"role": "user", "content": "hello"}], "tea")
