"""A preview of the work page while an admin fills in a project's settings."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_POST

from annotation.characters import cleaned
from annotation.forms.projects import NewProjectForm
from annotation.http import UserRequest
from annotation.kinds import KINDS
from annotation.models import Assignment, Project, Purpose, Task
from annotation.rendering import markdown

PROMPT = "Why is the sky blue? Explain it to a child."
RESPONSES = (
    "Sunlight holds **all colours**. Air scatters the blue part most, so blue reaches your eyes from everywhere.",
    "Because it reflects the sea.",
    "Rayleigh scattering: the intensity goes with the fourth power of the inverse wavelength.",
    "Blue light is bouncy! It hops around in the air until the whole sky glows blue.",
    "Nobody knows.",
    "Think of light as a box of crayons. The air catches the blue crayon and throws it all over the sky.",
    "The sky is blue since blue is a calm colour.",
    "Light from the sun looks white, yet it is a mix of colours. The air sends the blue ones in all directions.",
    "It is not blue at night.",
)


@login_required
@require_POST
def preview_project(request: UserRequest) -> HttpResponse:
    """Show the pages that annotators get with these settings, over example responses. Nothing is stored.

    A setting that is not valid counts as its default here; the form says what is wrong with it when it is submitted.
    """
    form = NewProjectForm(cleaned(request.POST))
    form.is_valid()
    request.POST = QueryDict()  # the templates of the kinds would read an annotator's answer from it
    project = form.instance
    pages = [_page(project, kind) for kind in _kinds(project, form.cleaned_data.get("preset", ""))]
    page = "annotation/project_preview.html"
    return render(request, f"{page}#preview" if request.htmx else page, {"pages": pages})


def _kinds(project: Project, preset: str) -> list[str]:
    if preset == "labelling" and project.labels:
        return ["label"]
    judged = ["unary"] if project.unary_share == 1 else ["ranking", "unary"] if project.unary_share else ["ranking"]
    return [*judged, "label"] if project.labels else judged


def _page(project: Project, kind: str) -> dict[str, Any]:
    """Return what the template of a kind shows of a task that exists nowhere."""
    shown = RESPONSES[: {"ranking": project.candidates_per_task, "unary": 1}.get(kind, 0)]
    numbers = range(1, len(shown) + 1)
    task = Task(project=project, kind=kind, purpose=Purpose.WORK)
    assignment = Assignment(project=project, task=task, shown_order=list(numbers), draft={})
    return {
        **KINDS[kind].page(assignment),
        "kind": KINDS[kind],
        "project": project,
        "assignment": assignment,
        "guidelines": markdown(project.guidelines),
        "messages_shown": [{"role": "user", "html": markdown(PROMPT)}],
        "candidates": [
            {"id": str(number), "number": str(number), "letter": chr(64 + number), "html": markdown(text), "text": text}
            for number, text in zip(numbers, shown, strict=True)
        ],
    }
