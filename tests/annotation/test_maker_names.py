"""Answers that say who made them are held back; answers that only talk about the world are not."""

import pytest

from annotation.actions import tasks
from annotation.actions.prompts import import_prompts
from annotation.blinding import may_be_blind, names_its_model
from annotation.imports import parse_prompts
from annotation.models import Completion, Project, Source, Task


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("As an AI language model developed by OpenAI, I cannot do that.", "language model developed by OpenAI"),
        ("I was created by Alibaba Cloud.", "I was created by Alibaba Cloud"),
        ("I'm Zephyra, an AI assistant. How can I help?", "I'm Zephyra, an AI"),
        ("Ask ChatGPT, too.", "ChatGPT"),
        ("That is what GPT-4 says.", "GPT-4"),
        ("Qwen2.5 at your service", "Qwen2.5"),
        ("SmolLM2 135M Instruct here.", "SmolLM2"),
        ("toy-letters_9 speaking", "toy-letters_9"),
    ],
)
def test_an_answer_that_names_its_model(text, named):
    assert names_its_model(text, Project(base_model="/models/toy-letters-9")) == named


@pytest.mark.parametrize(
    "text",
    [
        "Claude Monet painted water lilies.",
        "A llama is an animal of the Andes, a falcon a bird, an alpaca neither.",
        "Gemini is a star sign, and Vesuvius a volcano.",
        "As an AI language model, I cannot smell.",
        "This chair was made by Anna Berg.",
        "I am Anna, a nurse.",
        "See https://example.org/gpt-4/about for more.",
        "toy letters are made of wood",
    ],
)
def test_an_answer_that_names_none(text):
    assert names_its_model(text, Project(base_model="/models/toy-blocks-9")) is None


@pytest.mark.django_db
def test_such_an_answer_becomes_no_candidate(project, policy, make_prompt):
    prompt = make_prompt()
    for index, text in enumerate(["Fine.", "I was developed by Mistral AI.", "Good."]):
        Completion.objects.create(
            prompt=prompt, source=Source.POLICY, policy=policy, text=text, origin="run 1", index=index
        )
    (task,) = [task for task in tasks.open_tasks_for(policy=policy, origin="run 1") if task.kind == "ranking"]
    assert sorted(task.candidates.values_list("text", flat=True)) == ["Fine.", "Good."]


# A list to measure by: what names its maker, in several languages, and what only sounds so.
CONFESSIONS = """\
I was made by Google.
I'm Gemini, built by Google.
You are talking to Vicuna.
I am ChatGLM3-6B.
I am Grok, created by xAI.
My name is Koala and I am a dialogue model.
我是通义千问，由阿里云开发的大模型。
Ich bin ein Sprachmodell von Mistral.
As an AI language model developed by OpenAI, I cannot do that.
I was created by Alibaba Cloud.
I'm Zephyra, an AI assistant. How can I help?
Ask ChatGPT, too.
That is what GPT-4 says.
Qwen2.5 at your service
I'm Claude, made by Anthropic.
I am Claude.
I'm Bard, a large language model from Google AI.
Je suis un modèle de langage développé par Mistral AI.
Je suis Claude, un assistant créé par Anthropic.
Soy un modelo de lenguaje entrenado por Google.
Soy Gemini, un modelo de lenguaje de Google.
Ich wurde von Meta entwickelt.
Ich bin Grok.
Ich bin Claude, ein KI-Assistent.
I am Llama, an AI model from Meta.
I'm an AI assistant from Microsoft called Copilot.
Я языковая модель GigaChat.
我是豆包，字节跳动开发的助手。
我是由百度开发的人工智能。
As a model trained by Meta, I refuse.
I am DeepSeek-V3.
Hello, I'm Kimi!
I'm Phi, a model made by Microsoft.
This is Llama 3.1 speaking.
I am based on GPT-4o mini.
gpt-5.1 here
Sou um modelo de linguagem criado pela Meta.
Sono un modello linguistico sviluppato da Google.
私はChatGPTです。
저는 HyperCLOVA입니다.
I am Gemma 3, an open model by Google DeepMind.
I'm Nova, Amazon's assistant, built by Amazon.
""".splitlines()
OTHERS = """\
Claude Monet painted lilies.
Gemini is a star sign.
Llamas live in the Andes.
A llama is an animal of the Andes, a falcon a bird, an alpaca neither.
As an AI language model, I cannot smell.
This chair was made by Anna Berg.
I am Anna, a nurse.
See https://example.org/gpt-4/about for more.
toy letters are made of wood
Google was founded in 1998.
I searched Google for it.
I was hired by Microsoft in 2010.
My name is Claude and I live in Lyon with my cat.
Ich bin von Berlin nach Meta gefahren.
The phone was made by Apple.
Falcons hunt at dawn.
Koalas eat leaves; the koala sleeps a lot.
As Google grew, so did its offices.
I am Gemini by birth and Leo by temper.
Pi is about 3.14.
The phi coefficient is 0.3.
Mistral is a cold wind in Provence.
Je suis né à Meta.
Soy de Granada.
The orca is a whale.
I'm from Amazon, Brazil's greenest state.
Das Programm wurde von IBM entwickelt.
As an assistant, I recommend to read the manual.
Titan is a moon of Saturn.
The command was given by the captain.
Bing cherries are sweet.
我是学生。
文心兰是一种植物。
由于天气原因，比赛取消。
Nova is a bright star.
The language model was studied by Chomsky.
""".splitlines()


def test_recall_and_false_alarms_on_the_list():
    project = Project(base_model="/models/toy-letters-9")
    missed = [text for text in CONFESSIONS if not names_its_model(text, project)]
    alarms = [text for text in OTHERS if names_its_model(text, project)]
    assert 1 - len(missed) / len(CONFESSIONS) >= 0.95, missed
    assert len(alarms) / len(OTHERS) <= 0.05, alarms


@pytest.mark.django_db
def test_an_imported_answer_that_names_its_maker_is_held_back(project, admin):
    rows = b'{"prompt": "Who are you?", "completions": ["I am ChatGPT, a model by OpenAI.", "A helper.", "A voice."]}\n'
    report = import_prompts(project=project, parsed=parse_prompts(rows, "rows.jsonl"), by=admin)
    assert (report.tasks, report.held_back) == (1, 1)
    (task,) = Task.objects.all()
    assert sorted(task.candidates.values_list("text", flat=True)) == ["A helper.", "A voice."]


@pytest.mark.django_db
def test_an_admin_adds_names_of_the_project_and_answers_with_them_are_held_back(project, admin, annotator, as_user):
    page = f"/projects/{project.slug}/settings/"
    assert 'name="maker_names"' in as_user(admin).get(page).content.decode()
    api = f"/api/v1/projects/{project.slug}/"
    names = {"maker_names": ["Zeta Bot", "Lumo"]}
    assert as_user(annotator).patch(api, names, content_type="application/json").status_code == 403
    assert (
        as_user(admin).patch(api, names, content_type="application/json").json()["maker_names"] == names["maker_names"]
    )
    project.refresh_from_db()
    assert not may_be_blind("zeta-bot 2 says yes.", project)
    assert not may_be_blind("Ask Lumo3-7B.", project)
    assert may_be_blind("A luminous zeta.", project)
    assert not may_be_blind("  ", project)
    content = b'{"prompt": "Who?", "completions": ["I am Lumo.", "Nobody.", "A voice."]}\n'
    report = import_prompts(project=project, parsed=parse_prompts(content, "rows.jsonl"), by=admin)
    assert (report.tasks, report.held_back) == (1, 1)
    too_short = as_user(admin).patch(api, {"maker_names": ["x"]}, content_type="application/json")
    assert too_short.status_code == 400
    assert "2 to 100 characters" in str(too_short.json())


@pytest.mark.parametrize("at", [0, 1497, 1995, 1999, 2000, 3500, 7990])
def test_a_name_is_found_wherever_a_long_answer_has_it(project, at):
    text = ("so it is. " * 900)[:at] + " I am ChatGPT. " + "so it is. " * 100
    assert names_its_model(text, project) == "ChatGPT"


@pytest.mark.parametrize("at", range(1985, 2002))
def test_a_longer_word_that_begins_like_a_name_is_none_wherever_it_stands(project, at):
    assert names_its_model("a " * (at // 2) + "b" * (at % 2) + " ChatGPTies" + " a" * 300, project) is None
