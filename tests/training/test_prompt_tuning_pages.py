"""Prompt tuning over HTTP: templates on real rows, verbalizers checked, rounds started, figures read."""

from __future__ import annotations

import json
import random

import pytest

from annotation.actions import labels
from annotation.models import ImportedLabel, PolicyVersion, Split
from tests.tiny_model import tiny_tokenizer
from training.models import RunStatus, TemplateVersion, TrainingRun, VerbalizerVersion

pytestmark = pytest.mark.django_db
BASE = "/projects/letters/prompt-tuning/"
MARGINS = """
rows = list(run.rows())
for row in rows:
    if row["split"] == "pool":
        run.log_sample({"prompt_id": row["prompt_id"], "margin": 0.9 if "good" in row["text"] else 0.05})
rows = [row for row in rows if row["split"] != "pool"]
"""
CLASSIFIES = """
rows = list(run.rows())
inputs = run.config()["inputs"]
assert inputs["policy"] == "/models/base" and inputs["templates"] == ["{text} It was {mask}"], inputs
assert {row["label"] for row in rows} == set(inputs["verbalizer"])
run.checkpoint_path.mkdir()
run.finish({
    "accuracy": 0.75, "macro_f1": 0.7, "ci95": [0.6, 0.9], "n": 4, "majority": 0.5, "shots": 0, "cpu_seconds": 1.0,
    "peak_rss_mb": 100.0, "trainable_parameters": 0, "artefact_bytes": 10, "seconds_by_stage": {"test": 1.0},
    "said": {"good": 3, "bad": 1}, "wanted": {"good": 2, "bad": 2}, "template": None,
    "tested": [{"template": "{text} It was {mask}", "none": 0.75, "contextual": 0.5, "prior": 0.75}],
    "spread": {"least": 0.75, "mean": 0.75, "most": 0.75},
})
"""


@pytest.fixture
def labelled(project) -> None:
    for number in range(10):
        label = "good" if number % 2 else "bad"
        ImportedLabel.objects.create(
            project=project,
            text=f"A {label} film, number {number}.",
            label=label,
            digest=str(number),
            split=Split.EVAL if number < 4 else Split.TRAIN,
        )


@pytest.fixture
def with_model(project, tmp_path) -> PolicyVersion:
    """A prepared base model, of which only the tokenizer is read here."""
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    return PolicyVersion.objects.create(project=project, number=0, checkpoint=str(tmp_path / "base"))


@pytest.fixture
def template(project, admin) -> TemplateVersion:
    return TemplateVersion.objects.create(project=project, name="was", body="{text} It was {mask}", created_by=admin)


@pytest.fixture
def verbalizer(project, admin) -> VerbalizerVersion:
    words = {"good": ["good"], "bad": ["bad"]}
    return VerbalizerVersion.objects.create(project=project, name="plain", words=words, created_by=admin)


def text_of(response) -> str:
    return " ".join(response.content.decode().split())


def test_a_template_is_seen_on_real_rows_before_it_is_saved(as_user, admin, labelled):
    page = text_of(as_user(admin).post(f"{BASE}rendered/", {"body": "{text} It was {mask}"}))
    assert "10 example texts" in page
    assert '<span class="slot">A bad film, number 0.</span> It was <mark class="blank">____</mark>' in page
    page = text_of(as_user(admin).post(f"{BASE}rendered/", {"body": "{text} It was {msk}"}))
    assert "There is no slot {msk}" in page


def test_blank_and_cut_texts_are_counted(as_user, admin, project, with_model):
    for number, text in enumerate(["  ", "word " * 300, "A short one."]):
        ImportedLabel.objects.create(project=project, text=text, label="x", digest=str(number), split=Split.TRAIN)
    page = text_of(as_user(admin).post(f"{BASE}rendered/", {"body": "{text} {mask}"}))
    assert "1 blank, 1 of 256 tokens or more" in page


def test_a_change_is_a_new_version_and_no_change_is_none(as_user, admin, project):
    form = {"name": "was", "body": "{text} It was {mask}", "language": "en"}
    as_user(admin).post(f"{BASE}templates/new/", form)
    as_user(admin).post(f"{BASE}templates/new/", form)
    as_user(admin).post(f"{BASE}templates/new/", {**form, "body": "{text}\r\nIt was {mask}"})
    assert [(t.version, t.body) for t in project.templates.order_by("version")] == [
        (1, "{text} It was {mask}"),
        (2, "{text}\nIt was {mask}"),
    ]


def test_a_template_for_which_the_model_would_have_to_look_ahead_is_refused(as_user, admin, project, with_model):
    response = as_user(admin).post(f"{BASE}templates/new/", {"name": "x", "body": "It was {mask}: {text}"})
    assert "put {mask} behind every other slot" in text_of(response)
    assert not project.templates.exists()


def test_the_linter_refuses_what_the_model_cannot_tell_apart(as_user, admin, project, with_model, template):
    response = as_user(admin).post(f"{BASE}verbalizers/new/", {"name": "x", "words": "good: good\nbad: goodness"})
    page = text_of(response)
    assert "The model cannot tell these labels apart" in page
    assert "begin with the same tokens" in page
    assert not project.verbalizers.exists()


def test_a_warning_is_shown_once_and_gate_overridden_on_the_second_press(as_user, admin, project, with_model, template):
    form = {"name": "x", "words": "good: good\nbad: xylophone"}
    page = text_of(as_user(admin).post(f"{BASE}verbalizers/new/", form))
    assert "Save anyway" in page
    assert "tokens. Their log-probabilities are added up" in page
    assert not project.verbalizers.exists()
    as_user(admin).post(f"{BASE}verbalizers/new/", {**form, "all_the_same": "on"})
    assert project.verbalizers.get().words == {"good": ["good"], "bad": ["xylophone"]}


def test_chinese_labels_words_and_punctuation(as_user, admin, project):
    as_user(admin).post(f"{BASE}verbalizers/new/", {"name": "中文", "words": "正面：好、棒\n负面: 坏，差"})
    assert project.verbalizers.get().words == {"正面": ["好", "棒"], "负面": ["坏", "差"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("good good", "Line 1: write a label, a colon"),
        ("good: a\ngood: b\nbad: c", "Line 2: the label &#x27;good&#x27; already has a line"),
        ("good: a\nbad: a", "change one"),
        ("good: a", "two labels at least"),
        ("good: a\nbad: ,", "has no word, or an empty one"),
    ],
)
def test_what_is_no_verbalizer_is_refused_with_what_to_do(as_user, admin, words, said):
    page = text_of(as_user(admin).post(f"{BASE}verbalizers/new/", {"name": "x", "words": words}))
    assert said in page


def start(client, template, verbalizer, **more):
    return client.post(
        BASE,
        {
            "approaches": ["zero_shot"],
            "templates": [template.pk],
            "verbalizer": verbalizer.pk,
            "shots": 1,
            "seeds": 2,
            "epochs": 1,
            **more,
        },
        follow=True,
    )


def test_zero_shot_from_the_form_to_the_figures(
    as_user, admin, project, policy, labelled, template, verbalizer, make_worker
):
    ImportedLabel.objects.create(project=project, text="Odd.", label="other", digest="o", split=Split.TRAIN)
    page = text_of(start(as_user(admin), template, verbalizer))
    assert "Prompt tuning" in page
    run = TrainingRun.objects.get()  # nothing learns, so one run stands for both seeds
    assert run.inputs["templates"][0]["version"] == 1
    make_worker(prompt_tuning=CLASSIFIES).run_until_idle()
    run.refresh_from_db()
    assert run.status == RunStatus.SUCCEEDED, run.error
    page = "".join(text_of(as_user(admin).get(f"/projects/letters/rounds/1/{tab}")) for tab in ("", "slices/"))
    for figure in ("75.0%", "Zero-shot", "predicted 3", "true 2", "ensemble: <strong>75.0%</strong>"):
        assert figure in page
    page = text_of(as_user(admin).get("/projects/letters/methods/"))
    assert "Zero-shot is the most accurate: 75.0%" in page
    lines = as_user(admin).get("/projects/letters/methods/1.csv").content.decode().splitlines()
    assert lines[0].startswith("approach,label,mean,sd,low,high")
    assert lines[1].startswith("zero_shot,Zero-shot,0.75,,")
    assert b"<svg" in as_user(admin).get("/projects/letters/methods/1.svg").content


def test_what_learns_has_a_run_for_each_seed_on_one_snapshot(
    as_user, admin, project, policy, labelled, template, verbalizer
):
    start(as_user(admin), template, verbalizer, approaches=["cloze_lora", "head_lora"])
    runs = list(TrainingRun.objects.order_by("position"))
    assert [(run.config["tuning"], run.config["seed"]) for run in runs] == [
        ("cloze", 0),
        ("cloze", 1),
        ("head", 0),
        ("head", 1),
    ]
    assert len({run.snapshot_id for run in runs}) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shots": 9, "approaches": ["cloze_lora"]}, "has 3 training texts; 18 are needed"),
        ({"templates": [], "approaches": ["cloze_lora"]}, "Choose at least one template"),
        ({"approaches": []}, "Select at least one"),
    ],
)
def test_what_cannot_start_says_why(as_user, admin, project, policy, labelled, template, verbalizer, change, said):
    page = text_of(start(as_user(admin), template, verbalizer, **change))
    assert said in page
    assert not project.rounds.exists()


def test_labels_that_the_data_lack_are_named(as_user, admin, project, policy, labelled, template):
    words = {"good": ["good"], "terrible": ["bad"]}
    odd = VerbalizerVersion.objects.create(project=project, name="odd", words=words, created_by=admin)
    page = text_of(start(as_user(admin), template, odd))
    assert "No text has the label &#x27;terrible&#x27;. The labels of the data are bad, good." in page


def test_a_plain_round_does_not_take_prompt_tuning(as_user, admin, project, policy, labelled):
    response = as_user(admin).post(
        "/api/v1/projects/letters/rounds/", {"methods": ["prompt_tuning"]}, content_type="application/json"
    )
    assert response.status_code == 409
    assert "start it on its own page" in response.json()["detail"]


def test_what_the_classifier_is_least_sure_of_is_labelled_next(
    as_user, admin, project, policy, labelled, template, verbalizer, make_prompt, make_worker, monkeypatch
):
    monkeypatch.setattr(labels, "dice", lambda *name: random.Random(2))  # draws neither text for the control group
    project.labels, project.uncertain_first = ["good", "bad"], True
    project.save()
    sure, torn = make_prompt("A good film."), make_prompt("A film.")
    labels.open_label_tasks(project=project)
    measures = CLASSIFIES.replace("rows = list(run.rows())", MARGINS)
    start(as_user(admin), template, verbalizer)
    make_worker(prompt_tuning=measures).run_until_idle()
    run = TrainingRun.objects.get()
    assert run.status == RunStatus.SUCCEEDED, run.error
    ordered = run.result["ordered"]
    assert ordered["texts"] == 2
    assert ordered["control_tasks"] == []
    priority = dict(project.tasks.values_list("prompt_id", "priority"))
    assert priority == {sure.pk: 10, torn.pk: 95}


def test_all_of_it_by_the_api(as_user, admin, project, policy, labelled, make_worker):
    client, base = as_user(admin), "/api/v1/projects/letters/"

    def post(path, **body):
        response = client.post(base + path, body, content_type="application/json")
        assert response.status_code == 201, response.content
        return response.json()

    template = post("templates/", name="was", body="{text} It was {mask}")
    words = post("verbalizers/", name="plain", words={"good": ["good"], "bad": ["bad"]})
    assert (template["version"], words["version"], words["findings"]) == (1, 1, [])
    started = post(
        "methods/",
        approaches=["zero_shot"],
        templates=[template["id"]],
        verbalizer=words["id"],
        shots=1,
        seeds=1,
        epochs=1,
    )
    assert started["number"] == 1
    make_worker(prompt_tuning=CLASSIFIES).run_until_idle()
    [table] = client.get(base + "methods/").json()["tables"]
    assert table["majority"] == 0.5
    assert (table["rows"][0]["approach"], table["rows"][0]["mean"]) == ("zero_shot", 0.75)
    refused = client.post(base + "templates/", {"name": "x", "body": "no slot"}, content_type="application/json")
    assert "A template has {mask} once" in refused.json()["errors"]["body"][0]
