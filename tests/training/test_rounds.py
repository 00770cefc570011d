"""Starting rounds: by page, API and command, and what each says when it cannot be done."""

from __future__ import annotations

import dataclasses
import io
import re

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation.errors import NotPossible
from annotation.models import Completion, ImportedJudgment, Project, Source
from training.actions.rounds import cancel_round, start_round
from training.actions.runs import claim_run
from training.methods import METHODS, InvalidConfig, PPOConfig
from training.methods.labels import LABELS
from training.methods.plans import plans
from training.models import RunStatus, TrainingRound, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.database]
DESPITE = {"despite": "1"}  # there are fewer pairs than a gate asks for


@pytest.fixture
def ready(project, policy, ranked_task):
    return project


def test_the_page_starts_a_round_with_the_settings_that_were_filled_in(ready, admin, as_user):
    response = as_user(admin).post(
        "/projects/letters/rounds/new/",
        {"plan": "reward,ppo,sample", "ppo.episodes": "128", "ppo.batch_size": "64", "despite": "1"},
    )
    assert response.status_code == 302
    assert response.headers["Location"] == "/projects/letters/rounds/1/"
    reward, ppo, sample = TrainingRound.objects.get().runs.all()
    assert ppo.config["episodes"] == 128
    assert reward.config == METHODS["reward"].config().as_json()
    assert (reward.snapshot.type, reward.snapshot.taken_by) == (METHODS["reward"].data, admin)
    assert (ppo.snapshot, sample.snapshot) == (None, None)


def test_length_and_temperature_are_set_once_and_every_stage_has_them(ready, admin, as_user):
    client, address = as_user(admin), "/projects/letters/rounds/new/"
    asked = {"answer_tokens": "96", "temperature": "0.7"}
    assert client.patch("/api/v1/projects/letters/", asked, content_type="application/json").status_code == 200
    page = client.get(address).content.decode()
    for name in ("reward", "ppo", "rloo", "sample", "dpo", "sft"):
        assert re.search(rf'name="{name}.max_new_tokens"[^>]*placeholder="96"', page)
        assert re.search(rf'name="{name}.temperature"[^>]*placeholder="0.7"', page)
    # A stage may differ; what answers to instructions need is not what a project's answers need.
    plan = {"plan": "own", "stage_1": "reward", "stage_2": "ppo", "stage_3": "sample", "stage_4": "instruction_tuning"}
    started = client.post(address, plan | {"ppo.max_new_tokens": "48", "despite": "1"})
    assert started.status_code == 302, started.content.decode()
    round = TrainingRound.objects.get()
    given = {run.method: (run.config["max_new_tokens"], run.config["temperature"]) for run in round.runs.all()}
    assert given == {
        "reward": (96, 0.7),
        "ppo": (48, 0.7),
        "sample": (96, 0.7),
        "instruction_tuning": (24, 0.9),
    }
    cancel_round(round=round, by=None)
    again = client.get(f"{address}?like=1").content.decode()
    assert re.search(r'name="ppo.max_new_tokens"[^>]*value="48"', again)
    assert not re.search(r'name="sample.max_new_tokens"[^>]*value=', again)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"answer_tokens": "0"}, "greater than or equal to 1"),
        ({"answer_tokens": "5000"}, "less than or equal to 4096"),
        ({"temperature": "0"}, "greater than or equal to 0.01"),
        ({"temperature": "nan"}, "valid number"),
    ],
)
def test_lengths_and_temperatures_that_make_no_sense_are_refused(ready, admin, as_user, given, said):
    answer = as_user(admin).patch("/api/v1/projects/letters/", given, content_type="application/json")
    assert answer.status_code == 400
    assert said in answer.content.decode()


def test_stages_in_an_order_of_ones_own(ready, admin, as_user):
    client, address = as_user(admin), "/projects/letters/rounds/new/"
    empty = client.post(address, {"plan": "own"})
    assert (empty.status_code, "Choose a first stage." in empty.content.decode()) == (200, True)
    order = {"plan": "own", "stage_1": "sft", "stage_2": "sample", "stage_4": "reward", "sft.epochs": "1"} | DESPITE
    client.post(address, order)
    started = TrainingRound.objects.get()
    assert [run.method for run in started.runs.all()] == ["sft", "sample", "reward"]
    assert started.runs.get(method="sft").config["epochs"] == 1
    cancel_round(round=started, by=None)
    # One like it has the same stages filled in.
    page = client.get(f"{address}?like=1").content.decode()
    assert re.search(r'name="stage_3".*?value="reward" selected', page, re.DOTALL)
    assert re.search(r'value="own"[^>]*checked', page)


@pytest.mark.parametrize("plan", plans())
def test_every_plan_starts_from_the_page(ready, admin, as_user, plan):
    page = as_user(admin).post("/projects/letters/rounds/new/", {"plan": plan} | DESPITE)
    assert page.status_code == 302, page.content.decode()
    started = TrainingRound.objects.get()
    assert ",".join(run.method for run in started.runs.all()) == plan


def test_imported_pairs_are_enough_to_start_with(project, policy, admin, make_prompt):
    prompt = make_prompt()
    good, bad = (
        Completion.objects.create(prompt=prompt, source=Source.IMPORTED, text=text, origin="import", index=index)
        for index, text in enumerate(("Hello!", "Go away."))
    )
    with pytest.raises(NotPossible, match="No reference response"):
        start_round(project=project, methods=["sft"], by=admin)
    group = ImportedJudgment.group_of([good.pk, bad.pk])
    ImportedJudgment.objects.create(prompt=prompt, group=group, digest=group, tiers=[[good.pk], [bad.pk]])
    sft, dpo, reward = start_round(project=project, methods=["sft", "dpo", "reward"], by=admin).runs.all()
    assert [run.snapshot.rows for run in (sft, dpo, reward)] == [1, 1, 1]


def test_imported_reference_answers_are_enough_for_sft(project, policy, admin, make_prompt):
    answer = Completion.objects.create(prompt=make_prompt(), source=Source.IMPORTED, text="Hello!")
    (run,) = start_round(project=project, methods=["sft"], by=admin).runs.all()
    (row,) = run.snapshot.path.read_text("utf-8").splitlines()
    assert answer.text in row


def test_methods_that_take_the_same_type_share_a_snapshot_and_others_have_their_own(ready, admin):
    started = start_round(project=ready, methods=["sft", "dpo", "dpo", "sample"], by=admin)
    sft, first, second, sample = started.runs.all()
    assert (sft.snapshot.type, sft.snapshot.rows) == ("prompt-completion", 1)
    assert (first.snapshot.type, first.snapshot.rows) == ("preference", 3)
    assert first.snapshot == second.snapshot
    assert sample.snapshot is None
    assert ready.snapshots.count() == 2


def test_settings_of_a_few_words_are_chosen_from_a_list(ready, admin, as_user):
    client = as_user(admin)
    page = client.get("/projects/letters/rounds/new/").content.decode()
    assert '<option value="report">report</option>' in page
    client.post("/projects/letters/rounds/new/", {"plan": "reward", "reward.gate": "report"})
    assert TrainingRound.objects.get().runs.get().config["gate"] == "report"


def test_what_a_method_refuses_stands_beside_its_field(ready, admin, as_user):
    response = as_user(admin).post(
        "/projects/letters/rounds/new/",
        {"plan": "reward,ppo,sample", "ppo.batch_size": "60", "ppo.minibatch_size": "32", "ppo.temperature": "0"},
    )
    errors = response.context["form"].errors
    assert "ppo.temperature" in errors
    assert TrainingRound.objects.count() == 0
    response = as_user(admin).post(
        "/projects/letters/rounds/new/",
        {"plan": "reward,ppo,sample", "ppo.batch_size": "60", "ppo.minibatch_size": "32"},
    )
    assert "should divide batch_size (60), not 32" in str(response.context["form"].errors["ppo.minibatch_size"])


def test_the_api_starts_a_round(ready, admin, as_user):
    response = as_user(admin).post(
        "/api/v1/projects/letters/rounds/", {"settings": {"ppo": {"episodes": 64}}}, content_type="application/json"
    )
    assert response.status_code == 201
    assert [run["method"] for run in response.json()["runs"]] == ["reward", "ppo", "sample"]
    again = as_user(admin).post("/api/v1/projects/letters/rounds/", {}, content_type="application/json")
    assert again.status_code == 409
    assert "A round is active" in again.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"settings": {"ppo": {"episodes": "many"}}}, "ppo.episodes", "should be int"),
        ({"settings": {"ppo": {"kl_coef": -1}}}, "ppo.kl_coef", "at least 0"),
        ({"settings": {"ppo": {"wings": 2}}}, "ppo", "wings"),
        ({"methods": ["sample"], "settings": {"ppo": {}}}, "ppo", "not among the methods"),
    ],
)
def test_the_api_names_the_field_it_refuses(ready, admin, as_user, body, field, message):
    response = as_user(admin).post("/api/v1/projects/letters/rounds/", body, content_type="application/json")
    assert response.status_code == 400
    assert message in response.json()["errors"][field]


def test_the_command_starts_a_round_and_refuses_in_one_line(ready, capsys):
    out = io.StringIO()
    call_command("start_round", project="letters", set=["ppo.episodes=64"], stdout=out)
    assert out.getvalue() == "Queued round 1: reward, ppo, sample\n"
    assert TrainingRound.objects.get().runs.get(method="ppo").config["episodes"] == 64
    with pytest.raises(CommandError, match="A round is active"):
        call_command("start_round", project="letters")
    with pytest.raises(CommandError, match=r"METHOD\.SETTING=VALUE"):
        call_command("start_round", project="letters", set=["episodes 64"])


def test_a_round_that_has_nothing_to_start_from_says_what_is_missing(project, admin, as_user, make_prompt):
    def detail(**body):
        response = as_user(admin).post("/api/v1/projects/letters/rounds/", body, content_type="application/json")
        assert response.status_code == 409
        return response.json()["detail"]

    def way_on() -> str:
        page = as_user(admin).get("/projects/letters/rounds/new/").content.decode()
        return re.search(r'No round can start now</h2>.*?<a class="button" href="([^"]*)"', page).group(1)

    assert "Prepare its base model first" in detail(methods=["sample"])
    assert way_on() == "/projects/letters/model/"
    project.policies.create(number=0, checkpoint="/models/base")
    assert "no prompts yet" in detail(methods=["sample"])
    assert way_on() == "/projects/letters/prompts/"
    make_prompt()
    assert "There are no rankings yet" in detail(methods=["reward"])
    assert "There are no rankings yet" in detail(methods=["dpo", "sample"])
    assert "No reference response" in detail(methods=["sft", "sample"])
    assert "RLOO needs a reward model" in detail(methods=["rloo", "sample"])
    assert "put the method reward before it" in detail(methods=["ppo", "sample"])


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"batch_size": 64, "minibatch_size": 48}, "minibatch_size"),
        ({"batch_size": 64, "completions_per_prompt": 5}, "completions_per_prompt"),
        ({"episodes": 10}, "episodes"),
        ({"temperature": 0.0}, "temperature"),
        ({"kl_coef": True}, "kl_coef"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_a_config_refuses_nonsense_by_field(values, field):
    with pytest.raises(InvalidConfig) as refused:
        PPOConfig(**values)
    assert list(refused.value.errors) == [field]


def test_whole_numbers_are_fine_where_fractions_are_meant():
    assert PPOConfig(kl_coef=1).kl_coef == 1.0


def test_a_round_has_a_bounded_number_of_stages(ready, admin, as_user):
    body = {"methods": ["sample"] * 3000}
    refused = as_user(admin).post("/api/v1/projects/letters/rounds/", body, content_type="application/json")
    assert refused.status_code == 409
    assert "at most 12 stages" in refused.json()["detail"]
    assert not TrainingRound.objects.exists()


def test_projects_take_turns_at_the_worker(ready, admin):
    other = Project.objects.create(slug="other", name="Other")
    first = start_round(project=ready, methods=["sample", "sample"], by=None)
    second = TrainingRound.objects.create(project=other, number=1)
    TrainingRun.objects.create(round=second, position=0, method="sample")
    served = []
    while run := claim_run():
        served.append((run.round.project.slug, run.position))
        finished = timezone.now()
        TrainingRun.objects.filter(pk=run.pk).update(status=RunStatus.SUCCEEDED, finished_at=finished)
    assert served == [("letters", 0), ("other", 0), ("letters", 1)]
    assert first.runs.count() == 2


# --- the pages -------------------------------------------------------------------------------------------------------


def test_the_form_has_three_plans_at_the_top_and_the_others_below(ready, admin, as_user):
    page = as_user(admin).get("/projects/letters/rounds/new/").content.decode()
    cards, more = page.split("More plans")
    assert re.findall(r'<label for="plan-[^"]*">([^<]*)<', cards) == [
        "Generate responses",
        "Full round",
        "Reward model only",
    ]
    assert "Needs:" in cards
    assert "Costs:" in cards
    assert len(re.findall(r'<label for="plan-', more)) == len(plans()) - 3 + 1  # and an order of one's own
    assert re.search(r'value="reward,ppo,sample"[^>]*checked', cards)
    assert "The quality gate needs 20 preference pairs" in cards


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_has_a_label_that_is_not_its_name(method):
    for setting in dataclasses.fields(METHODS[method].config):
        assert setting.name in LABELS, f"{setting.name} has no label in training/methods/labels.py"


def test_one_response_length_is_that_of_all_stages_and_a_stage_may_differ(ready, admin, as_user):
    client, address = as_user(admin), "/projects/letters/rounds/new/"
    plan = {"plan": "reward,ppo,sample", "response_length": "64", "temperature": "0.5", "ppo.max_new_tokens": "32"}
    assert client.post(address, plan | DESPITE).status_code == 302
    round = TrainingRound.objects.get()
    given = {run.method: (run.config["max_new_tokens"], run.config["temperature"]) for run in round.runs.all()}
    assert given == {"reward": (64, 0.5), "ppo": (32, 0.5), "sample": (64, 0.5)}
    cancel_round(round=round, by=None)
    page = client.get(f"{address}?like={round.number}").content.decode()
    assert re.search(r'name="temperature"[^>]*value="0.5"', page)
    assert re.search(r'name="ppo.max_new_tokens"[^>]*value="32"', page)
    assert not re.search(r'name="ppo.temperature"[^>]*value=', page)
    # What differs from the default is marked, in the group and at the setting.
    assert re.search(r'data-method="ppo".*?<span class="tag bare changed-count"><span class="num">1<', page, re.DOTALL)
    assert page.count("field setting is-changed") == 3


def test_the_estimate_beside_the_button_says_time_warnings_and_refusals(ready, admin, as_user):
    client, address = as_user(admin), "/projects/letters/rounds/new/"
    full = client.post(address, {"plan": "reward,ppo,sample", "estimate": "1"}).content.decode()
    assert "Time not known" in full
    assert "This round would stop at its quality gate for lack of data." in full
    assert "<h1>" not in full
    wrong = client.post(address, {"plan": "reward,ppo,sample", "ppo.temperature": "-1", "estimate": "1"})
    assert (wrong.status_code, "Time not known" in wrong.content.decode()) == (200, False)
    assert not TrainingRound.objects.exists()


def test_a_list_of_rounds_takes_as_many_queries_for_many(ready, admin, as_user):
    client = as_user(admin)

    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert client.get("/projects/letters/rounds/").status_code == 200
        return len(caught)

    def add(number: int, accuracy: float) -> None:
        now = timezone.now()
        round = TrainingRound.objects.create(project=ready, number=number, status="succeeded", finished_at=now)
        TrainingRun.objects.create(
            round=round,
            position=0,
            method="reward",
            status="succeeded",
            started_at=now,
            finished_at=now,
            result={"accuracy": accuracy},
        )

    add(1, 0.75)
    once = queries()
    for number in range(2, 12):
        add(number, 0.28)
    assert queries() == once
    page = client.get("/projects/letters/rounds/").content.decode()
    assert page.count("no better than chance") == 10


def test_a_new_project_has_responses_of_256_tokens_and_a_stage_with_them_is_unchanged(
    project, policy, alice, make_prompt
):
    make_prompt()
    Project.objects.filter(pk=project.pk).update(answer_tokens=Project().answer_tokens)
    assert re.search(
        r'name="response_length"[^>]*placeholder="256"', alice.get("/projects/letters/rounds/new/").content.decode()
    )
    alice.post("/projects/letters/rounds/new/", {"plan": "sample", "temperature": "0.5"})
    assert TrainingRound.objects.get().runs.get().config["max_new_tokens"] == 256
    page = alice.get("/projects/letters/rounds/1/").content.decode()
    assert "<dt>Response length</dt><dd>256</dd>" in page
    assert '<dt>Sampling temperature</dt><dd class="changed">0.5<span class="soft"> (default 0.9)</span></dd>' in page
