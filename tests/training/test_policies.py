"""Versions of the policy: their family, which one is in use, and what can be downloaded."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotation.errors import NotPossible
from annotation.models import PolicyVersion
from tests.tiny_model import tiny_checkpoint
from training.actions import packages, policies
from training.actions.rounds import start_round
from training.archives import zipped
from training.models import Package, PackageStatus, Promotion, TrainingRound
from training.products.promotions import current_policy
from training.reports.lineage import model_card

pytestmark = pytest.mark.django_db


@pytest.fixture
def circle(project, policy, ranked_task, make_worker) -> PolicyVersion:
    """Version 1, made by a whole circle."""
    start_round(project=project, methods=["reward", "ppo", "sample"], by=None)
    make_worker().run_until_idle()
    return PolicyVersion.objects.get(number=1)


def test_what_a_round_makes_is_in_use_and_an_older_version_can_be_again(
    circle, project, policy, as_user, admin, make_worker, ranked_task
):
    assert current_policy(project) == circle
    client = as_user(admin)
    address = "/projects/letters/policies/0/promote/"
    assert client.post(address, {"why": "v1 has gone mad."}).status_code == 302
    assert current_policy(project) == policy
    history = list(Promotion.objects.order_by("number").values_list("number", "policy__number", "why", "by__username"))
    assert history == [(1, 1, "Made by PPO in round 1.", None), (2, 0, "v1 has gone mad.", "alice")]
    # The next round starts from it, and what it makes is its child.
    ranked_task()
    round = start_round(project=project, methods=["dpo"], by=admin)
    make_worker().run_until_idle()
    assert round.runs.get().directory.config()["inputs"]["policy"] == "/models/base"
    made = PolicyVersion.objects.get(number=2)
    assert made.parent == policy
    assert current_policy(project) == made
    page = client.get("/projects/letters/policies/").content.decode()
    assert page.index(">v0<") < page.index(">v1<") < page.index(">v2<")
    assert "v1 has gone mad." in page


def test_nothing_is_promoted_while_a_round_is_active_or_twice(circle, project, policy, admin):
    with pytest.raises(NotPossible, match="v1 is already active"):
        policies.promote(policy=circle, by=admin, why="")
    start_round(project=project, methods=["sample"], by=admin)
    with pytest.raises(NotPossible, match="A round is active"):
        policies.promote(policy=policy, by=admin, why="")


@pytest.mark.database
def test_two_who_promote_at_once_do_not_overwrite_each_other(circle, project, policy, admin):
    with pytest.raises(IntegrityError), transaction.atomic():
        Promotion.objects.create(project=project, number=1, policy=policy, why="At the same moment.", by=admin)


def test_the_page_has_everything_behind_a_version(circle, as_user, admin):
    page = as_user(admin).get("/projects/letters/policies/1/").content.decode()
    for part in ("Trained with PPO", "round 1", "1.00", "Snapshot 1", "ranker", "minibatch_size"):
        assert part in page, part
    assert "no longer on this machine" in as_user(admin).get("/projects/letters/policies/0/").content.decode()
    found = as_user(admin).get("/api/v1/projects/letters/policies/1/").json()
    assert (found["in_use"], found["made_from"], found["method"], found["round"]) == (True, 0, "ppo", 1)
    assert found["snapshots"] == [1]


def test_a_roll_back_over_the_api(circle, as_user, admin):
    client, address = as_user(admin), "/api/v1/projects/letters/policies/0/promote/"
    assert client.post(address, {"why": "Better."}, content_type="application/json").json()["in_use"] is True
    again = client.post(address, content_type="application/json")
    assert (again.status_code, again.json()["detail"]) == (409, "v0 is already active.")


@pytest.fixture
def adapter(project, policy, tmp_path) -> PolicyVersion:
    """An adapter over a tiny model, in real files."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = tiny_checkpoint(tmp_path / "base")
    policy.checkpoint = str(base)
    policy.save()
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "value_head.safetensors").write_bytes(b"only for training")
    return PolicyVersion.objects.create(project=project, number=1, checkpoint=str(tmp_path / "adapter"), parent=policy)


def unzipped(response) -> dict[str, bytes]:
    archive = zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content)))
    assert archive.testzip() is None
    return {name: archive.read(name) for name in archive.namelist()}


def test_an_adapter_is_downloaded_with_its_card(adapter, project, as_user, admin):
    project.licence = "CC BY 4.0"
    project.save()
    response = as_user(admin).get("/projects/letters/policies/1/download/")
    assert response.headers["Content-Disposition"] == 'attachment; filename="letters-v1.zip"'
    files = unzipped(response)
    weights = (Path(adapter.checkpoint) / "adapter_model.safetensors").read_bytes()
    assert files["letters-v1/adapter_model.safetensors"] == weights
    assert "letters-v1/value_head.safetensors" not in files
    # No path of this machine goes out.
    assert json.loads(files["letters-v1/adapter_config.json"])["base_model_name_or_path"] == project.base_model
    assert b'base_model: "smollm2-135m-instruct"' in files["letters-v1/README.md"]
    assert b'license_name: "CC BY 4.0"' in files["letters-v1/README.md"]


def test_an_adapter_over_a_version_with_weights_of_its_own_names_that(
    adapter, policy, project, as_user, admin, tmp_path
):
    """v1 was trained whole, v2 is an adapter over it: on another machine it fits v1, and not the base model."""
    whole = tiny_checkpoint(tmp_path / "whole", seed=1)
    PolicyVersion.objects.filter(number=1).update(number=2)
    first = PolicyVersion.objects.create(project=project, number=1, checkpoint=str(whole), parent=policy)
    PolicyVersion.objects.filter(number=2).update(parent=first)
    files = unzipped(as_user(admin).get("/projects/letters/policies/2/download/"))
    assert json.loads(files["letters-v2/adapter_config.json"])["base_model_name_or_path"] == "letters-v1"
    assert b'base_model: "letters-v1"' in files["letters-v2/README.md"]


@pytest.mark.recipes
def test_a_merged_model_is_made_by_a_worker_and_answers_as_the_adapter_does(adapter, as_user, admin, make_worker):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    client = as_user(admin)
    assert client.get("/projects/letters/policies/1/download/?merged=1").status_code == 404
    client.post("/projects/letters/policies/1/package/")
    assert "Queued" in client.get("/projects/letters/policies/1/").content.decode()
    make_worker().run_until_idle()
    assert "Merged model" in client.get("/projects/letters/policies/1/").content.decode()
    files = unzipped(client.get("/projects/letters/policies/1/download/?merged=1"))
    assert {"letters-v1/model.safetensors", "letters-v1/tokenizer.json", "letters-v1/README.md"} <= set(files)
    tokens = torch.tensor([[1, 2, 3, 4]])
    base = AutoModelForCausalLM.from_pretrained(adapter.parent.checkpoint).eval()
    plain = base(tokens).logits
    merged = AutoModelForCausalLM.from_pretrained(Package.objects.get().path).eval()(tokens).logits
    adapted = PeftModel.from_pretrained(base, adapter.checkpoint).eval()(tokens).logits
    assert torch.allclose(merged, adapted, atol=1e-5)
    assert not torch.allclose(merged, plain, atol=1e-3)


@pytest.mark.recipes
def test_one_that_cannot_be_merged_says_why_and_can_be_tried_again(
    adapter, as_user, admin, make_worker, forked_recipes
):
    weights = Path(adapter.checkpoint) / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.unlink()
    client = as_user(admin)
    client.post("/projects/letters/policies/1/package/")
    make_worker().run_until_idle()
    page = client.get("/projects/letters/policies/1/").content.decode()
    assert "It could not be merged" in page
    assert "has an adapter configuration but no adapter_model.safetensors" in page
    weights.write_bytes(whole)
    client.post("/projects/letters/policies/1/package/")
    make_worker().run_until_idle()
    assert Package.objects.get().status == PackageStatus.READY


def test_one_whose_worker_was_killed_is_taken_up_again_and_given_up_in_the_end(adapter, make_worker):
    old = timezone.now() - timedelta(hours=1)
    package = packages.ask_for(policy=adapter)
    Package.objects.update(status=PackageStatus.RUNNING, heartbeat_at=old, attempt=packages.MOST_ATTEMPTS)
    assert packages.make_next() is True
    package.refresh_from_db()
    assert (package.status, package.error) == ("failed", "The worker went away 3 times while it merged.")
    assert packages.make_next() is False


def test_an_archive_is_sent_in_flat_memory(tmp_path):
    large = tmp_path / "weights"
    with large.open("wb") as file:
        file.truncate(200 * 2**20)
    tracemalloc.start()
    sent = sum(len(part) for part in zipped([("weights", large), ("README.md", "Text.")]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent > 200 * 2**20
    assert peak < 16 * 2**20


def test_the_card_of_a_base_model_claims_nothing(policy, project):
    card = model_card(policy)
    assert "Nothing was measured." in card
    assert "trained on nobody's judgments" in card
    assert "license" not in card


def test_a_round_from_before_there_were_promotions_goes_on_from_the_newest(project, policy):
    newer = PolicyVersion.objects.create(project=project, number=1, checkpoint="/models/one", parent=policy)
    assert current_policy(project) == newer
    assert not TrainingRound.objects.exists()
