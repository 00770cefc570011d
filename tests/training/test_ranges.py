"""Every number that people and programs give has a range, and one round asks for a bounded amount of work."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from django import forms

import annotation.forms
import annotation.kinds
import annotation.views
import frontend
import training.forms
from annotation.models import Prompt
from training.forms.evaluations import EvaluationForm
from training.forms.rounds import StartRoundForm
from training.methods import METHODS, InvalidConfig
from training.methods.load import Available
from training.methods.plans import configs_of
from training.methods.settings import is_number, setting
from training.models import TrainingRound
from training.prompt_tuning.approaches import settings_of

NUMBERS = [
    (name, each) for name, method in METHODS.items() for each in fields(method.config) if is_number(each.default)
]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "settings.md"
pytestmark = pytest.mark.django_db
ROUNDS = "/api/v1/projects/letters/rounds/"


@pytest.fixture
def ready(policy, open_ranking_task):
    open_ranking_task()
    return policy.project


def test_a_setting_that_is_a_number_cannot_be_declared_without_a_range():
    with pytest.raises(TypeError, match="Responses per prompt"):
        setting(4, "Responses per prompt", least=1)
    with pytest.raises(TypeError, match="A rate"):
        setting(0.5, "A rate", most=1)
    assert setting(True, "Not a number").default is True


@pytest.mark.parametrize("method", METHODS)
def test_values_beyond_the_range_of_a_setting_are_refused(method):
    for number in (each for name, each in NUMBERS if name == method):
        kind, least, most = type(number.default), number.metadata["least"], number.metadata["most"]
        assert least <= number.default <= most
        for value, word in ((kind(least - 1), "at least"), (kind(most * 2 + 1), "at most")):
            with pytest.raises(InvalidConfig) as refused:
                configs_of([method], {method: {number.name: value}})
            assert word in refused.value.errors[f"{method}.{number.name}"]


def all_forms() -> Iterator[type[forms.BaseForm]]:
    """Yield every form of the site; importing the modules defines them."""
    for package in (annotation.forms, annotation.kinds, annotation.views, training.forms, frontend):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(("__main__", ".asgi", ".wsgi")) and ".management." not in module.name:
                importlib.import_module(module.name)
    found, waiting = set(), [forms.BaseForm]
    while waiting:
        found |= set(more := waiting.pop().__subclasses__())
        waiting += more
    return (each for each in found if each.__module__.startswith(("annotation.", "training.", "frontend.")))


def without_range(shown: dict[str, forms.Field]) -> list[str]:
    """Return the names of the fields for numbers that have no least or no highest value."""
    return [
        name
        for name, field in shown.items()
        if isinstance(field, forms.IntegerField) and (field.min_value is None or field.max_value is None)
    ]


def test_every_number_of_every_form_has_a_range(ready):
    open_ones = {each: without_range(each.base_fields) for each in all_forms() if hasattr(each, "base_fields")}
    assert len(open_ones) > 30
    assert {each: names for each, names in open_ones.items() if names} == {}
    for form in (StartRoundForm(ready), EvaluationForm(ready)):
        assert sum(isinstance(field, forms.IntegerField) for field in form.fields.values()) > 5
        assert without_range(form.fields) == []


def test_every_number_that_the_api_takes_has_a_range(client):
    """Bodies of requests and parameters, as the description of the API has them."""
    document = client.get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    seen: set[str] = set()
    open_ones = []

    def walk(schema: dict, path: str) -> None:
        if schema.get("readOnly"):
            return
        if reference := schema.get("$ref"):
            if reference not in seen:
                seen.add(reference)
                walk(document["components"]["schemas"][reference.rsplit("/", 1)[1]], reference)
            return
        if schema.get("type") in ("integer", "number") and "enum" not in schema:
            numbers.append(path)
            if "minimum" not in schema or "maximum" not in schema:
                open_ones.append(path)
        for name, inner in schema.get("properties", {}).items():
            walk(inner, f"{path}.{name}")
        for inner in (schema.get("items"), schema.get("additionalProperties")):
            if isinstance(inner, dict):
                walk(inner, f"{path}[]")
        for kind in ("allOf", "oneOf", "anyOf"):
            for inner in schema.get(kind, []):
                walk(inner, path)

    numbers: list[str] = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                walk(parameter["schema"], f"{method} {path} {parameter['name']}")
            for content in operation.get("requestBody", {}).get("content", {}).values():
                walk(content["schema"], f"{method} {path}")
    assert len(numbers) > len(NUMBERS)  # the settings of all methods among them
    assert open_ones == []


def table() -> list[str]:
    """Return the lines of the documentation's table: settings with the same range stand together."""
    methods: dict[tuple[str, str], list[str]] = {}
    for method, number in sorted(NUMBERS, key=lambda found: found[1].name):
        ends = f"{number.metadata['least']:,.12g} to {number.metadata['most']:,.12g}"
        methods.setdefault((number.name, ends), []).append(method)
    return [f"| `{name}` | {', '.join(sorted(own))} | {ends} |" for (name, ends), own in methods.items()]


def test_the_documentation_has_every_range():
    written = [line for line in PAGE.read_text().splitlines() if line.startswith("| `") and " to " in line]
    written = [line for line in written if line.count("|") == 4 and line.split("|")[2].strip().split(",")[0] in METHODS]
    assert written == table(), "\n".join(table())


def test_the_pages_show_ranges(ready, admin, as_user):
    client = as_user(admin)
    page = client.get("/projects/letters/rounds/new/").content.decode()
    assert re.search(r'name="ppo.episodes"[^>]*min="1" max="10000000"', page)
    assert "(1 to 10,000,000)" in page
    page = client.get("/projects/letters/settings/").content.decode()
    assert re.search(r'name="candidates_per_task"[^>]*min="2" max="9"', page)
    assert "(2 to 9)" in page
    refused = client.post("/projects/letters/rounds/new/", {"plan": "sample", "sample.prompts": "1000001"})
    assert "less than or equal to 1000000" in refused.content.decode()


TOO_MUCH = [
    ({"methods": ["sample"], "settings": {"sample": {"completions_per_prompt": 64}}}, "about 128 responses"),
    ({"methods": ["sample", "sample"], "settings": {"sample": {"completions_per_prompt": 30}}}, "about 120 responses"),
    ({"methods": ["self_instruct"], "settings": {"self_instruct": {"proposals": 101}}}, "about 101 responses"),
    ({"methods": ["sample"], "settings": {"sample": {"max_new_tokens": 4096}}}, "up to 32,768 tokens"),
]


@pytest.mark.parametrize(("asked", "said"), TOO_MUCH)
def test_a_round_that_would_generate_too_much_is_refused_before_anything_is_stored(
    ready, make_prompt, admin, as_user, settings, asked, said
):
    settings.ROUND_MOST_RESPONSES, settings.ROUND_MOST_TOKENS = 100, 20_000
    make_prompt("A second prompt")
    client = as_user(admin)
    refused = client.post(ROUNDS, asked, content_type="application/json")
    assert refused.status_code == 409
    assert said in refused.json()["detail"]
    looked = client.post(f"{ROUNDS}dry-run/", asked, content_type="application/json")
    assert said in looked.json()["refusal"]
    assert not TrainingRound.objects.exists()
    settings.ROUND_MOST_RESPONSES, settings.ROUND_MOST_TOKENS = 1000, 2_000_000
    assert client.post(ROUNDS, asked, content_type="application/json").status_code == 201


def test_an_evaluation_has_the_same_bound(ready, policy, admin, as_user, settings):
    settings.ROUND_MOST_RESPONSES = 1
    Prompt.objects.update(split="eval")
    ready.policies.create(number=1, checkpoint=policy.checkpoint, parent=policy)
    body = {"version": 1, "opponent": "0"}
    refused = as_user(admin).post("/api/v1/projects/letters/evaluations/", body, content_type="application/json")
    assert "about 2 responses" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("given", "responses"),
    [
        ({"episodes": 640, "batch_size": 64, "eval_completions": 4, "eval_every": 0}, 640 + 10 * 4 * 2),
        ({"episodes": 640, "batch_size": 64, "eval_completions": 4, "eval_every": 5}, 640 + 10 * 4 * 4),
        ({"episodes": 640, "batch_size": 64, "eval_completions": 4, "eval_every": 1}, 640 + 10 * 4 * 12),
    ],
)
def test_evaluations_while_a_policy_learns_count_too(given, responses):
    """Of 10 held-out prompts: one evaluation before, one after, and one every so many of the 10 updates."""
    config = METHODS["ppo"].config(**given).as_json()
    assert METHODS["ppo"].answers(config, Available(prompts=100, held_out=10)) == responses


def test_methods_that_are_named_twice_are_measured_once(ready, admin):
    assert len(settings_of(["cloze_lora"] * 1000, shots=16, seeds=3)) == 3
