"""Pages, messages and mails in the language of the account, the browser or the sign-in page."""

from __future__ import annotations

import ast
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from django.test import Client
from django.utils import timezone, translation

from annotation import stored
from annotation.actions import labels
from annotation.exports.counted import COUNTS
from annotation.judged.rows import RANKINGS, UNARY
from annotation.models import Assignment, Preferences, Project, Prompt, RecordChange
from tests import pseudo
from training.instructions.form import Written
from training.methods import METHODS
from training.models import TrainingRound, TrainingRun
from training.products.proposals import store
from training.products.reward_model import SLICES

LOCALE = Path(__file__).parents[2] / "frontend" / "locale"
FILES = sorted(LOCALE.glob("*/LC_MESSAGES/django.po"))
CHINESE = {"HTTP_ACCEPT_LANGUAGE": "zh-CN,zh;q=0.9,en;q=0.8"}
PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}|</?\w+")


def _catalog(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


@pytest.fixture(autouse=True)
def _english_again() -> Iterator[None]:
    yield
    translation.activate("en")


@pytest.mark.slow
def test_the_files_are_what_the_sources_give():
    """`make messages` would change nothing: every text is in each language's file, and compiled."""
    stale = [path.name for path, content in pseudo.MESSAGES["files"]().items() if path.read_bytes() != content]
    assert not stale, "run `make messages`"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.parent.name)
def test_a_language_is_whole(path):
    """Each text is translated, with the same placeholders and tags, and no translation is a guess."""
    wrong = []
    for message in _catalog(path):
        if not message.id:
            continue
        english = message.id[1] if message.pluralizable else message.id
        forms = message.string if message.pluralizable else [message.string]
        for form in forms:
            if not form or message.fuzzy or sorted(PLACEHOLDER.findall(form)) != sorted(PLACEHOLDER.findall(english)):
                wrong.append((english, form))
    assert not wrong


def test_the_browser_decides_before_anybody_signs_in(client, admin):
    page = client.get("/accounts/login/", **CHINESE).content.decode()
    assert '<html lang="zh-hans">' in page
    assert "<h1>登录</h1>" in page
    assert "用户名" in page  # a label of Django's own
    assert "<h1>Sign in</h1>" in client.get("/accounts/login/", HTTP_ACCEPT_LANGUAGE="tlh, en;q=0.1").content.decode()
    assert "<h1>Sign in</h1>" in client.get("/accounts/login/").content.decode()


def test_the_sign_in_page_offers_the_languages(client, admin):
    chosen = client.post("/accounts/language/", {"language": "zh-hans", "next": "/accounts/login/"})
    assert (chosen.status_code, chosen["Location"]) == (302, "/accounts/login/")
    page = client.get("/accounts/login/").content.decode()
    assert "<h1>登录</h1>" in page
    assert re.search(r'value="zh-hans" lang="zh-hans" aria-current="true">简体中文', page)


def test_an_account_has_a_language_on_every_machine(as_user, annotator, project):
    bob = as_user(annotator)
    assert "Language" in bob.get("/accounts/profile/").content.decode()
    saved = bob.post("/accounts/profile/", {"language": "zh-hans"}, follow=True).content.decode()
    assert "已保存。" in saved
    assert "我的工作" in bob.get("/projects/letters/mine/", HTTP_ACCEPT_LANGUAGE="en").content.decode()
    # Another browser, which asks for English: the account's language comes with the sign-in.
    assert "<h1>项目</h1>" in as_user(annotator).get("/", HTTP_ACCEPT_LANGUAGE="en").content.decode()
    bob.post("/accounts/profile/", {"language": ""})
    assert Preferences.objects.get().language == ""
    assert "My work" in bob.get("/projects/letters/mine/").content.decode()
    assert bob.post("/accounts/profile/", {"language": "tlh"}).status_code == 422


def test_the_api_speaks_english_unless_it_is_asked(as_user, admin, project):
    body = {"username": "alice", "role": "annotator"}
    alice = as_user(admin)
    english = alice.post("/projects/letters/members/", body).content.decode()
    chinese = alice.post("/projects/letters/members/", body, **CHINESE).content.decode()
    assert "You cannot change your own role." in english
    assert "您不能更改自己的角色" in chinese
    path, wrong = "/api/v1/projects/letters/snapshots/", {"type": "sonnets"}
    assert "is not a valid choice" in alice.post(path, wrong, content_type="application/json").content.decode()
    assert "不是合法选项" in alice.post(path, wrong, content_type="application/json", **CHINESE).content.decode()


def test_numbers_have_one_form_where_the_language_has_one(client, as_user, admin, project, make_prompt):
    alice = as_user(admin)
    assert "1 member" in alice.get("/projects/letters/").content.decode()
    assert "1 名成员" in alice.get("/projects/letters/", **CHINESE).content.decode()


def _left(client: Client, made_up: dict[str, str], *pages: str) -> dict[str, list[str]]:
    """Return the texts of pages that are not translated, by page."""
    left = {}
    for page in pages:
        answer = client.get(page, **made_up)
        text = answer.content.decode()
        assert answer.status_code in (200, 404), page
        assert 'dir="rtl"' in text
        assert pseudo.OPEN in text
        if found := pseudo.untranslated(text):
            left[page] = found
    return left


def test_pages_without_a_project_are_translated(made_up, client, as_user, annotator):
    """All others are opened by tests/test_access.py."""
    assert _left(client, made_up, "/accounts/login/", "/nowhere/") == {}
    assert _left(as_user(annotator), made_up, "/accounts/password_change/", "/accounts/data/") == {}


ASKED = {
    "ranking": {"criteria": ["友善"], "criteria_required": True, "rationale": "required"},
    "top_k": {"ranking_form": "top_k", "top_k": 2},
    "best": {"ranking_form": "best"},
    "graded": {"ranking_form": "graded", "candidates_per_task": 2},
    "label": {"labels": ["友善", "粗鲁"]},
    "reference": {"rationale": "optional"},
    "first_version": {"write_first": True},
}


@pytest.mark.parametrize("asked", [*ASKED, "proposal"])
def test_the_work_page_is_translated(asked, made_up, as_user, project, annotator, open_ranking_task, make_prompt):
    Project.objects.filter(pk=project.pk).update(**ASKED.get(asked, {}))
    project.refresh_from_db()
    bob = as_user(annotator)
    empty = _left(bob, made_up, "/projects/letters/annotate/")
    if asked == "label":
        make_prompt()
        labels.open_label_tasks(project=project)
    elif asked == "proposal":
        store(project=project, origin="run-1", proposed=1, unparsed=Counter(), tasks=[Written("Name a bird.", "", "A")])
    else:
        kind = "reference" if asked in ("reference", "first_version") else "ranking"
        several = [{"role": role, "content": "Oh."} for role in ("system", "user", "assistant", "user")]
        open_ranking_task(("Yes.", "No.") if asked == "graded" else ("Yes.", "No.", "Oh."), kind=kind)
        Prompt.objects.update(messages=several)
    waiting = _left(bob, made_up, "/projects/letters/annotate/")
    bob.post("/projects/letters/annotate/")
    seat = Assignment.objects.get(annotator=annotator)
    open_task = _left(bob, made_up, seat.get_absolute_url())
    refused = bob.post(f"{seat.get_absolute_url()}submit/", {"client_uuid": str(uuid.uuid4())}, **made_up)
    assert pseudo.untranslated(refused.content.decode()) == []
    bob.post(f"{seat.get_absolute_url()}skip/", {"reason": "Unclear prompt"})
    over = _left(bob, made_up, seat.get_absolute_url(), "/projects/letters/annotate/", "/projects/letters/mine/")
    assert (empty, waiting, open_task, over) == ({}, {}, {}, {})


def test_what_is_stored_is_read_in_the_language_of_each_reader(as_user, admin, annotator, open_ranking_task):
    """The history and the log are stored in English, also when the one who acts reads Chinese."""
    task = open_ranking_task()
    Prompt.objects.update(split="train")
    alice, chosen = as_user(admin), {"ids": [task.prompt_id], "do": "split", "split": "eval"}
    told = alice.post("/projects/letters/records/prompts/change/", chosen, follow=True, **CHINESE).content.decode()
    assert "已更改 1 条提示。" in told
    assigned = {"ids": [task.pk], "do": "assign", "to": annotator.pk}
    alice.post("/projects/letters/records/tasks/change/", assigned, **CHINESE)
    assert list(RecordChange.objects.values_list("what", flat=True)) == ["split: Eval", "assigned"]
    for page, english, chinese in (
        (f"records/prompts/{task.prompt_id}/", "Split: Eval", "划分：评测集"),
        (f"records/tasks/{task.pk}/", "Assigned to bob", "已分配给 bob"),
        ("audit/", "1 task: assigned", "1 个任务：已分配"),
    ):
        assert english in alice.get(f"/projects/letters/{page}").content.decode()
        assert chinese in alice.get(f"/projects/letters/{page}", **CHINESE).content.decode()


def test_stored_sentences_are_found_by_their_own_words(made_up):
    """The text with the most letters of its own is taken, values that are texts are translated, names are not."""
    translation.activate(pseudo.CODE)
    marked = {
        "candidate of task 7": pseudo.pseudo("candidate of task %(task)s") % {"task": 7},
        "2 prompts: restored": pseudo.pseudo("%(count)s prompts: %(what)s")
        % {"count": 2, "what": pseudo.pseudo("restored")},
        "nobody wrote this": "nobody wrote this",
        "": "",
        "There is no pair to train on. Rows: 12; left out: empty answer (9); prompt longer than 64 tokens (3)": (
            pseudo.pseudo("%(problem)s. Rows: %(count)s; left out: %(reasons)s")
            % {
                "problem": pseudo.pseudo("There is no pair to train on"),
                "count": 12,
                "reasons": pseudo.pseudo("; ").join(
                    pseudo.pseudo("%(reason)s (%(count)s)") % {"reason": reason, "count": count}
                    for reason, count in (
                        (pseudo.pseudo("empty answer"), 9),
                        (pseudo.pseudo("prompt longer than %(most)s tokens") % {"most": 64}, 3),
                    )
                ),
            }
        ),
    }
    assert {text: stored.translated(text) for text in marked} == marked
    translation.activate("en")
    assert stored.translated("2 prompts: restored") == "2 prompts: restored"


TOLD = {"RecipeError", "Refused", "remark"}  # what a recipe says to people: as an exception, or in its result


def test_what_recipes_say_is_in_the_catalog():
    """Each text is written out where it is raised, or is that of another exception whose texts are gathered, too."""
    known = {message.id for message in _catalog(FILES[0])}
    found, wrong = 0, []
    for path in sorted(Path("training/recipes").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in TOLD:
                source = ast.unparse(call)
                texts = [text for text, _ in pseudo.MESSAGES["sentences_in"](source)]
                texts += re.findall(r"phrase\('([^']+)'", source)
                if not texts and "(str(problem))" in source:
                    continue
                found += 1
                if not texts or not known.issuperset(texts):
                    wrong.append(f"{path}:{call.lineno}: {source}")
    assert wrong == []
    assert found > 60


def test_every_count_of_a_snapshot_has_words():
    """Names of counts in annotation/exports and annotation/judged, for each split and each reason of a filter."""
    written = re.compile(r'counts\[(?:f?"([^"]+)"(?: if .* else "([^"]+)")?)\]')
    found = set()
    for path in [*Path("annotation/exports").glob("*.py"), *Path("annotation/judged").glob("*.py")]:
        for names in written.findall(path.read_text("utf-8")):
            found |= {name for name in names if name}
    assert len(found) > 30
    known = set(COUNTS)
    splits = re.compile(r"\{[\w.]*split\}")
    reasons = ("by other annotators", "outside the dates")
    kinds = re.compile(r"\{(?:reading\.|kind\.)*plural\}")
    wanted = {
        kinds.sub(kind.plural, name).replace("{reason}", reason)
        for each in found
        for name in (splits.sub(split, each) for split in ("train", "eval"))
        for reason in reasons
        for kind in (RANKINGS, UNARY)
    } | {RANKINGS.without, UNARY.without, RANKINGS.plural, UNARY.plural}
    assert wanted - known == set()


RESULTS = {
    "reward": {
        "accuracy": 0.4,
        "ci95": [0.3, 0.5],
        "n": 312,
        "baselines": {"length": {"accuracy": 0.55, "ci95": [0.49, 0.61]}, "random": 0.5},
        "calibration": {"ece": 0.042, "bins": []},
        "slices": {name: [{"label": "≥ 2", "accuracy": 0.7, "ci95": [0.6, 0.8], "n": 9}] for name in SLICES},
        "gate": {"passed": False, "reason": "–"},
        "rows": {"in": 3, "used": 1, "refused": {"–": 2}},
        "peak_rss_mb": 1234.5,
        "memory_forecast_mb": 2000.0,
    },
    "ppo": {
        **dict.fromkeys(("score_reference", "score_before", "score_after", "judge_after", "kl"), 0.5),
        "finished_share": 0.5,
        "stopped": "–",
        "selected": {"step": 0, "reason": "–"},
        "agreement": {"score_gain": 1.0, "judge_gain": 0.5, "correlation": 0.4},
        "judge": {"rankings": 7, "accuracy": 0.6, "correlation_with_score": 0.5},
        "started_from": {"reference": 2},
    },
    "prompt_tuning": {
        **dict.fromkeys(("accuracy", "macro_f1", "cpu_seconds", "peak_rss_mb"), 0.9),
        **dict.fromkeys(("n", "shots", "trainable_parameters", "artefact_bytes"), 100),
        "seconds_by_stage": {"train": 8.0, "test": 5.0},
        "said": {"友善": 3},
        "wanted": {"友善": 4},
    },
}


FAILED = (
    "The process ended with exit code 1.\n"
    "11:02:03 The adapter has 123 parameters\n"
    "11:02:04 error: There is no pair to train on. Rows: 1,200; left out: empty answer (1,100); "
    "the chat template refuses it (roles must alternate) (100)\n"
)


@pytest.fixture
def trained(project) -> TrainingRound:
    """Two rounds with figures, of which the first waits at a gate."""
    now = timezone.now()
    for number, status in ((1, "stopped"), (2, "succeeded")):
        over = {"finished_at": now} if status == "succeeded" else {}
        round = TrainingRound.objects.create(project=project, number=number, status=status, **over)
        for position, (method, result) in enumerate(RESULTS.items()):
            config = METHODS[method].config(seed=number).as_json()
            about = {"method": method, "config": config, "result": result, "status": "succeeded", "finished_at": now}
            TrainingRun.objects.create(round=round, position=position, started_at=now, **about)
        TrainingRun.objects.create(
            round=round, position=9, method="sample", config=METHODS["sample"].config().as_json()
        )
        failed = {"method": "dpo", "config": METHODS["dpo"].config().as_json(), "status": "failed", "error": FAILED}
        TrainingRun.objects.create(round=round, position=8, started_at=now, finished_at=now, **failed)
    return round


def test_pages_of_rounds_are_translated(made_up, alice, project, trained, policy, ranked_task):
    tabs = ["", "curves/", "samples/", "slices/", "log/"]
    pages = ["", "1/", *(f"2/{tab}" for tab in tabs), "compare/?round=1&round=2", "new/"]
    assert _left(alice, made_up, *(f"/projects/letters/rounds/{page}" for page in pages)) == {}
    settings = {"plan": "reward,ppo,sample", "preset": "quick"}
    for more in ({"dry_run": "1"}, {"dry_run": "1", "ppo.batch_size": "-1", "ppo.minibatch_size": "7"}):
        shown = alice.post("/projects/letters/rounds/new/", settings | more, **made_up).content.decode()
        assert pseudo.untranslated(shown) == []
    estimate = alice.post("/projects/letters/rounds/new/", settings | {"estimate": "1"}, **made_up).content.decode()
    assert pseudo.OPEN in estimate
    assert pseudo.untranslated(estimate) == []


def test_why_a_stage_failed_is_read_in_the_language_of_the_reader(as_user, admin, trained):
    alice = as_user(admin)
    english = alice.get("/projects/letters/rounds/2/").content.decode()
    assert (
        "<p>There is no pair to train on. Rows: 1,200; left out: empty answer (1,100); "
        'the chat template refuses it (roles must alternate) (100).</p><p class="small">'
        "The process ended with exit code 1.</p>"
    ) in english
    chinese = alice.get("/projects/letters/rounds/2/", **CHINESE).content.decode()
    assert (
        "<p>没有可用于训练的偏好回答对。数据行数：1,200；未使用：回答为空（1,100）；"
        '对话模板不接受它（roles must alternate）（100）。</p><p class="small">进程已结束，退出码为 1。</p>'
    ) in chinese
    for page in (english, chinese):  # the log stays as it was written
        assert "11:02:03 The adapter has 123 parameters" in page


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("ppo", {"batch_size": 60, "minibatch_size": 32}),
        ("ppo", {"processes": 7}),
        ("sample", {"choose_by": "disagreement"}),
        ("prompt_tuning", {"tuning": "zero_shot", "epochs": 3}),
        ("reward", {"loss": "hinge", "heads": 0}),
    ],
)
def test_refused_settings_are_translated(method, config, made_up, alice, project, policy, ranked_task):
    body = {"methods": [method], "settings": {method: config}}
    path = "/api/v1/projects/letters/rounds/dry-run/"
    english = alice.post(path, body, content_type="application/json").json()["errors"]
    translated = alice.post(path, body, content_type="application/json", **made_up).json()["errors"]
    assert list(english) == list(translated)
    assert all(pseudo.OPEN in text for text in translated.values())
