"""Where stages run: set on a page and by the API, checked by what the executor takes, frozen when a round starts."""

from __future__ import annotations

import pytest

from annotation.errors import NotPossible
from training.actions.compute import checked
from training.actions.rounds import start_round
from training.models import StageCompute

pytestmark = pytest.mark.django_db
PAGE, API = "/projects/letters/rounds/compute/", "/api/v1/projects/letters/compute/"
ROUNDS = "/api/v1/projects/letters/rounds/"


@pytest.fixture
def ready(project, policy, make_prompt):
    make_prompt()
    return project


def post(client, address: str, data: dict):
    return client.post(address, data, content_type="application/json")


def test_the_page_keeps_what_is_set_and_a_stage_inherits_it(ready, as_user, admin):
    client = as_user(admin)
    given = {"all-executor": "slurm", "all-cpus": "4", "all-partition": "cpu", "ppo-gpus": "1", "ppo-partition": "gpu"}
    assert client.post(PAGE, given).status_code == 302
    page = client.get(PAGE).content.decode()
    assert 'name="ppo-partition" value="gpu"' in page
    rows = {row.method: (row.executor, row.cpus, row.gpus, row.partition) for row in StageCompute.objects.all()}
    assert rows == {"": ("slurm", 4, None, "cpu"), "ppo": ("", None, 1, "gpu")}
    round = start_round(project=ready, methods=["sample"], by=admin)
    run = round.runs.get()
    assert (run.executor, run.resources) == ("slurm", {"cpus": 4, "partition": "cpu"})
    assert client.post(PAGE, {}).status_code == 302
    assert not StageCompute.objects.exists()
    run.refresh_from_db()
    assert run.executor == "slurm"  # of a round that has begun nothing changes
    assert "Slurm; CPUs: 4; Partition: cpu" in client.get("/projects/letters/rounds/1/").content.decode()


def test_what_the_executor_does_not_take_is_refused_beside_its_field(ready, as_user, admin):
    client = as_user(admin)
    refused = client.post(PAGE, {"all-executor": "local", "all-gpus": "2", "ppo-partition": "gpu"})
    assert refused.status_code == 422
    page = refused.content.decode()
    assert page.count("The executor This machine does not take this.") == 2
    assert not StageCompute.objects.exists()
    for given in ({"all-executor": "slurm", "all-cpus": "0"}, {"all-executor": "slurm", "all-partition": "a b"}):
        assert client.post(PAGE, given).status_code == 422
    assert client.post(PAGE, {"all-executor": "nowhere"}).status_code == 422


def test_an_image_is_one_that_the_operator_lists(ready, as_user, admin, settings):
    """What an image runs, it runs under the worker's account."""
    settings.EXECUTOR_IMAGES = ["prefloop.sif", "registry.example.org/prefloop:1"]
    client = as_user(admin)
    refused = client.post(PAGE, {"all-executor": "slurm", "all-image": "other.sif"})
    assert refused.status_code == 422
    assert "The image other.sif is not among those" in refused.content.decode()
    wanted = {"methods": ["sample"], "compute": {"sample": {"executor": "slurm", "image": "other.sif"}}}
    assert post(client, ROUNDS, wanted).status_code == 409
    assert client.post(PAGE, {"all-executor": "slurm", "all-image": "prefloop.sif"}).status_code == 302
    settings.EXECUTOR_IMAGES = []  # taken off the list since
    assert post(client, ROUNDS, {"methods": ["sample"]}).status_code == 409
    assert not ready.rounds.exists()


def test_the_api_sets_one_stage_and_leaves_the_rest(ready, as_user, admin):
    client = as_user(admin)
    assert post(client, API, {"executor": "slurm", "cpus": 2, "minutes": 60}).status_code == 200
    answer = post(client, API, {"method": "sample", "gpus": 1})
    assert (answer.status_code, answer.json()["gpus"]) == (200, 1)
    assert post(client, API, {"cpus": 3}).json()["minutes"] == 60
    assert [row["method"] for row in client.get(API).json()] == ["", "sample"]
    assert post(client, API, {"method": "nothing"}).json()["errors"]["method"][0].startswith("There is no method")
    wrong = post(client, API, {"executor": "local"})
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["cpus", "minutes"])
    assert post(client, API, {"cpus": None, "minutes": None, "executor": ""}).status_code == 200
    assert [row["method"] for row in client.get(API).json()] == ["sample"]


def test_a_round_may_ask_for_something_else(ready, as_user, admin):
    client = as_user(admin)
    post(client, API, {"executor": "slurm", "cpus": 2, "partition": "cpu"})
    wanted = {"methods": ["sample"], "compute": {"sample": {"executor": "ray", "gpus": 1}, "": {"minutes": 5}}}
    (run,) = post(client, ROUNDS, wanted).json()["runs"]
    assert (run["executor"], run["resources"]) == ("ray", {"gpus": 1})


def test_the_form_of_a_round_asks_for_this_round_only(ready, as_user, admin):
    client = as_user(admin)
    post(client, API, {"executor": "slurm", "cpus": 2, "partition": "cpu"})
    form = {"plan": "sample", "preset": "standard", "compute-cpus": "8", "despite": "1"}
    refused = client.post("/projects/letters/rounds/new/", {**form, "compute-minutes": "0"})
    assert "compute-minutes" in refused.content.decode()
    assert not ready.rounds.exists()
    refused = client.post("/projects/letters/rounds/new/", {**form, "compute-executor": "local"})
    assert "sample: the executor local does not take cpus." in refused.content.decode()
    assert client.post("/projects/letters/rounds/new/", form).status_code == 302
    run = ready.rounds.get().runs.get()
    assert (run.executor, run.resources) == ("slurm", {"cpus": 8, "partition": "cpu"})
    assert StageCompute.objects.get().cpus == 2


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        ({"sample": {"executor": "nowhere"}}, "There is no executor nowhere; these are installed: local, slurm"),
        ({"sample": {"executor": "local", "gpus": 1}}, "sample: the executor local does not take gpus."),
        ({"sampel": {"gpus": 1}}, "There is no method sampel"),
        ({"sample": {"executor": "slurm", "cpu": 1}}, "Compute of sample: cpu is not known"),
        ({"": {"executor": "slurm", "cpus": "many"}}, "Compute of all stages: cpus:"),
        ({"": {"executor": "slurm", "partition": "; rm"}}, "Compute of all stages: partition: Letters"),
        ({"": {"executor": "slurm", "memory_gb": "nan"}}, "Compute of all stages: memory_gb: Enter a number."),
        ({"": {"executor": "slurm", "gpus": [2]}}, "Compute of all stages: gpus:"),
        ({"sample": {"executor": ["slurm"]}}, "There is no executor ['slurm']"),
    ],
)
def test_a_round_that_asks_for_what_cannot_be_is_refused(ready, as_user, admin, compute, says):
    answer = post(as_user(admin), ROUNDS, {"methods": ["sample"], "compute": compute})
    assert answer.status_code == 409
    assert says in answer.content.decode()
    assert not ready.rounds.exists()


def test_numbers_that_come_as_text_are_stored_as_numbers(ready, as_user, admin):
    assert checked({"": {"gpus": "2", "memory_gb": "64", "image": ""}}) == {"": {"gpus": 2, "memory_gb": 64.0}}
    for value in ("nan", float("nan"), float("inf"), "many"):
        with pytest.raises(NotPossible, match="all stages: memory_gb"):
            checked({"": {"memory_gb": value}})
    client = as_user(admin)
    overflows = '{"methods": ["sample"], "compute": {"": {"executor": "slurm", "gpus": 1e999}}}'
    assert client.post(ROUNDS, overflows, content_type="application/json").status_code == 409
    wanted = {"methods": ["sample"], "compute": {"sample": {"executor": "slurm", "gpus": "2", "memory_gb": "64"}}}
    (run,) = post(client, ROUNDS, wanted).json()["runs"]
    assert run["resources"] == {"gpus": 2, "memory_gb": 64.0}
