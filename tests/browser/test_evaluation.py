"""An admin compares two versions; somebody judges ten comparisons by keyboard; the win rate stands on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from annotation.models import Assignment, Completion, PolicyVersion, SeatStatus, Split
from tests.browser.steps import PHONE, get_task, press, ready
from tests.browser.test_accessibility import problems
from tests.forked import ForkingExecutor
from tests.tiny_model import tiny_checkpoint
from training.worker.loop import Worker

pytestmark = [pytest.mark.browser, pytest.mark.recipes, pytest.mark.django_db(transaction=True)]


def never_ending(checkpoint: Path) -> Path:
    """Return the checkpoint after its EOS was made impossible: no answer is empty, so each pair can be compared.

    One feature is positive at every position, since no block writes to it, and speaks against EOS alone.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 1
        for block in model.model.layers:
            block.self_attn.o_proj.weight[0] = 0
            block.mlp.down_proj.weight[0] = 0
        model.lm_head.weight[:, 0] = 0
        model.lm_head.weight[model.config.eos_token_id, 0] = -1000
    model.save_pretrained(checkpoint)
    return checkpoint


@pytest.fixture
def two_versions(project, policy, tmp_path, make_prompt) -> None:
    """Of one small model: what they say differs by the seed of the sampling alone."""
    checkpoint = str(never_ending(tiny_checkpoint(tmp_path / "base")))
    PolicyVersion.objects.filter(pk=policy.pk).update(checkpoint=checkpoint)
    other = never_ending(tiny_checkpoint(tmp_path / "other", seed=1))
    PolicyVersion.objects.create(project=project, number=1, checkpoint=str(other), parent=policy)
    for number in range(10):
        make_prompt(f"Describe the sea on day {number}.", split=Split.EVAL)


def test_ten_comparisons_to_a_win_rate(visit, admin, annotator, project, two_versions):
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/evaluation/")
    page.get_by_label("Version").select_option("1")
    page.get_by_label("Against").select_option("0")
    page.get_by_role("button", name="Start evaluation").click()
    expect(page.get_by_text("Its comparisons then enter the queue")).to_be_visible()
    Worker(ForkingExecutor()).run_until_idle()

    judge = visit(annotator)
    get_task(judge)
    won = 0
    for number in range(10):
        ready(judge.page)
        seat = Assignment.objects.get(status=SeatStatus.HELD)
        newer = Completion.objects.get(pk=seat.shown_order[0]).policy.number == 1
        # Eight wins of the newer one, wherever it stands, then two ties: ten to 9 wins' worth.
        press(judge.page, "3" if number >= 8 else "2" if newer else "4")
        won += number < 8
        press(judge.page, "Control+Enter")
        expect(judge.page.locator("#task")).to_contain_text(re.compile(rf"\b{number + 1} tasks?\b"))
    assert won == 8

    visitor.goto("/projects/letters/evaluation/")
    expect(page.get_by_role("row", name="v1 against v0")).to_contain_text("90.0%")
    expect(page.get_by_role("img", name=re.compile("Elo points: v1"))).to_be_visible()
    page.get_by_role("link", name="v1 against v0").click()
    expect(page.get_by_text("10 of 10 comparisons annotated")).to_be_visible()
    page.get_by_role("link", name="Tied").click()
    expect(page.locator(".compared > li")).to_have_count(2)
    assert problems(page) == []


def test_it_fits_a_phone(visit, admin, two_versions):
    visitor = visit(admin, **PHONE)
    visitor.goto("/projects/letters/evaluation/")
    expect(visitor.page.get_by_role("heading", name="No evaluation yet")).to_be_visible()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert problems(visitor.page) == []
