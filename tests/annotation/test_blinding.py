"""Answers that say who made them are held back; answers that only talk about the world are not."""

import pytest

from annotation.actions import tasks
from annotation.blinding import names_its_model
from annotation.models import Completion, Project, Source


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
