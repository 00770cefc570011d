"""A method, a product and an executor of an installed package, one file each, through form, API, worker and pages."""

from __future__ import annotations

import ast
import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from training.actions.rounds import start_round
from training.executors import EXECUTORS
from training.methods import METHODS
from training.models import TrainingRound
from training.products import PRODUCTS
from training.worker.loop import Worker

ROOT = Path(__file__).resolve().parents[2]
ROUNDS, API = "/projects/letters/rounds/", "/api/v1/projects/letters/rounds/"
NEW = f"{ROUNDS}new/"
ENTRY_POINTS = """\
[prefloop.methods]
count_words = prefloop_toy.method:METHOD
[prefloop.products]
word_counts = prefloop_toy.product:PRODUCT
[prefloop.executors]
noted = prefloop_toy.executor:EXECUTOR
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as `pip install` leaves it: four modules, and the entry points that name three of them."""
    site = tmp_path / "site-packages"
    shutil.copytree(Path(__file__).parent / "toy", site / "prefloop_toy", ignore=shutil.ignore_patterns("__pycache__"))
    installed = site / "prefloop_toy-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: prefloop-toy\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(ENTRY_POINTS)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", str(site))
        _discover()
        yield installed
    for name in [name for name in sys.modules if name.startswith("prefloop_toy")]:
        del sys.modules[name]
    _discover()
    assert "count_words" not in METHODS


def _discover() -> None:
    importlib.invalidate_caches()
    METHODS.discover()
    PRODUCTS.discover()
    EXECUTORS.discover()


@pytest.fixture
def ready(toy, project, policy, make_prompt):
    make_prompt("One two three.")
    make_prompt("Hello.")
    return project


def _worker(settings) -> Worker:
    settings.TRAINING_POLL_SECONDS = 0.05
    return Worker()


@pytest.mark.django_db(transaction=True)
def test_a_round_runs_from_the_form_to_the_page(ready, admin, as_user, settings):
    client = as_user(admin)
    page = client.get(NEW).content.decode()
    assert "Count the words of the prompts" in page
    assert 'name="count_words.least"' in page
    response = client.post(NEW, {"plan": "count_words", "count_words.least": "2"})
    assert response.status_code == 302
    _worker(settings).run_until_idle()
    run = TrainingRound.objects.get().runs.get()
    assert (run.status, run.result) == ("succeeded", {"seconds": 0.5, "words": 3}), run.error
    page = client.get(f"{ROUNDS}1/").content.decode()
    assert "Words by run" in page
    assert "<td>Word counts</td><td>3</td>" in page
    assert client.get(f"{ROUNDS}1/metrics.json").json()["runs"][0]["metrics"]["words"]["values"] == [3.0]
    # One that succeeded says how long the next one takes: half a second for two prompts.
    foreseen = client.post(NEW, {"plan": "count_words", "dry_run": "1"}).content.decode()
    assert "Dry run: nothing has started" in foreseen
    assert "2 prompts" in foreseen


@pytest.mark.django_db(transaction=True)
def test_a_round_runs_by_the_api(ready, admin, as_user, settings):
    client = as_user(admin)
    wanted = {"methods": ["count_words"], "settings": {"count_words": {"least": 3}}}
    dry = client.post(f"{API}dry-run/", wanted, content_type="application/json").json()
    assert (dry["refusal"], dry["stages"][0]["rows"]) == ("", 2)
    started = client.post(API, wanted, content_type="application/json")
    assert started.status_code == 201, started.content
    _worker(settings).run_until_idle()
    (run,) = client.get(f"{API}1/").json()["runs"]
    assert run["error"] == ""
    assert (run["method"], run["status"], run["result"]["words"]) == ("count_words", "succeeded", 3)


@pytest.mark.django_db(transaction=True)
def test_a_round_runs_by_the_executor_that_the_settings_name(ready, admin, settings):
    settings.TRAINING_EXECUTOR = "noted"
    round = start_round(project=ready, methods=["count_words"], by=admin)
    _worker(settings).run_until_idle()
    run = round.runs.get()
    assert run.status == "succeeded", run.error
    assert (run.directory.path / "noted").read_text() == "prefloop_toy.recipe"


def test_an_unknown_executor_is_refused_with_the_known_ones(toy, settings):
    settings.TRAINING_EXECUTOR = "nosuch"
    with pytest.raises(CommandError, match=r"PREFLOOP_EXECUTOR is 'nosuch'; .*installed: local, .*noted\."):
        call_command("run_worker", "--until-idle")


@pytest.mark.django_db
def test_what_the_product_refuses_and_what_the_settings_refuse_is_said_where_it_was_asked(ready, admin, as_user):
    client = as_user(admin)
    page = client.post(NEW, {"plan": "count_words", "count_words.least": "4"})
    assert "No prompt of this project has that many words." in page.content.decode()
    page = client.post(NEW, {"plan": "count_words", "count_words.least": "101"})
    assert "less than or equal to 100" in page.content.decode()
    wrong = {"methods": ["count_words"], "settings": {"count_words": {"least": -1}}}
    answer = client.post(API, wrong, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json() == {"errors": {"count_words.least": "should be at least 0, not -1"}}
    assert not TrainingRound.objects.exists()


@pytest.mark.django_db
def test_a_preset_and_other_tools_know_the_method_or_say_that_they_do_not(ready, admin, as_user):
    client = as_user(admin)
    client.post(NEW, {"plan": "count_words", "preset": "thorough"})
    run = TrainingRound.objects.get().runs.get()
    assert run.config == {"least": 2}
    page = client.get(f"{ROUNDS}1/export/trl/", follow=True).content.decode()
    assert "Word counts: TRL has no counterpart that Prefloop knows of" in page


@pytest.mark.django_db
def test_a_round_of_a_package_that_was_uninstalled_is_still_shown(ready, admin, as_user, toy, settings):
    round = start_round(project=ready, methods=["count_words"], by=admin)
    shutil.rmtree(toy)
    _discover()
    client = as_user(admin)
    for address in (ROUNDS, f"{ROUNDS}1/", f"{API}1/"):
        page = client.get(address)
        assert page.status_code == 200
        assert "count_words" in page.content.decode()
    _worker(settings).work_once()
    run = round.runs.get()
    assert run.status == "failed"
    assert "count_words" in run.error
    assert "not installed" in run.error


def test_a_package_without_the_product_of_its_method_is_refused_by_name(toy):
    (toy / "entry_points.txt").write_text("[prefloop.products]\nword_counts = prefloop_toy.method:METHOD\n")
    importlib.invalidate_caches()
    with pytest.raises(TypeError, match=r"entry point word_counts = prefloop_toy.method:METHOD should be a Product"):
        PRODUCTS.discover()


OTHERS = ("training", "frontend")  # annotation/ never hears of either
OWN = ("training/methods/", "training/products/", "training/recipes/")
RUNS_ELSEWHERE = "training/exports/_trl_script.py"  # its "reward" is one of TRL's trainers


def test_nobody_but_products_and_methods_asks_which_method_or_product_it_is():
    """No comparison, `in` or `match` of a method's or a product's name anywhere else."""
    known = {*METHODS, *PRODUCTS}
    found = []
    for package in OTHERS:
        for path in sorted((ROOT / package).rglob("*.py")):
            where = str(path.relative_to(ROOT))
            if not where.startswith(OWN) and "/migrations/" not in where and where != RUNS_ELSEWHERE:
                found += [f"{where}:{line}" for line in _decisions(ast.parse(path.read_text("utf-8")), known)]
    assert found == []


def test_no_template_asks_which_method_or_product_it_is():
    known = {*METHODS, *PRODUCTS}
    found = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "templates").rglob("*.html"))
        for tag in path.read_text("utf-8").split("{%")[1:]
        if tag.split("%}")[0].split()[0] in ("if", "elif")
        and known & {word.strip("\"'") for word in tag.split("%}")[0].split() if word[:1] in "\"'"}
    ]
    assert found == []


def _decisions(tree: ast.AST, known: set[str]) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare | ast.match_case):
            inside = node if isinstance(node, ast.Compare) else node.pattern
            keys = {id(each.slice) for each in ast.walk(inside) if isinstance(each, ast.Subscript)}  # row["policy"]
            constants = [each for each in ast.walk(inside) if isinstance(each, ast.Constant)]
            if any(each.value in known for each in constants if id(each) not in keys):
                yield inside.lineno


@pytest.mark.parametrize(
    "code",
    [
        'if run.method == "ppo": pass',
        'x = method in ("sample", "dpo")',
        'match run.spec.makes:\n    case "policy": pass',
        'x = [r for r in runs if "reward_model" != r.makes]',
    ],
)
def test_the_rule_above_finds_what_it_forbids(code):
    assert list(_decisions(ast.parse(code), {*METHODS, *PRODUCTS}))
