"""Prompt tuning's pages: templates seen on real rows, verbalizers checked, and the rounds that use them."""

from __future__ import annotations

from itertools import islice
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from annotation import access as annotation_access
from annotation import stored
from annotation.characters import cleaned
from annotation.errors import NotPossible
from annotation.http import UserRequest
from annotation.judged.imported_labels import labelled_texts
from annotation.models import ImportedLabel, Membership, Project, Role
from training import access
from training.actions import prompt_tuning
from training.forms.prompt_tuning import (
    NOT_LAST,
    StartForm,
    TemplateForm,
    VerbalizerForm,
    newest_templates,
    newest_verbalizers,
)
from training.methods import InvalidConfig, PromptTuningConfig
from training.prompt_tuning.cloze import InvalidTemplate, Template
from training.tokenizers.model import tokenizer_of

ROWS_SHOWN = 50
ROUNDS_SHOWN = 10


@login_required
@require_http_methods(["GET", "POST"])
def overview(request: UserRequest, slug: str) -> HttpResponse:
    """List templates, verbalizers and rounds; by POST an admin starts a round."""
    role = Role.ADMIN if request.method == "POST" else Role.REVIEWER
    membership = annotation_access.get_membership(request.user, slug, role=role)
    project = membership.project
    form = StartForm(project, request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            return redirect(
                prompt_tuning.start_prompt_tuning(
                    project=project,
                    by=request.user,
                    verbalizer=data["verbalizer"],
                    templates=data["templates"],
                    settings=form.settings(),
                )
            )
        except InvalidConfig as invalid:
            for name, message in invalid.errors_in(gettext).items():
                form.add_error(None, f"{name}: {message}")
        except NotPossible as why:
            form.add_error(None, str(why))
    return _overview_page(request, membership, form)


def _overview_page(request: UserRequest, membership: Membership, form: StartForm) -> HttpResponse:
    project = membership.project
    context = {
        "project": project,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "templates": newest_templates(project),
        "verbalizers": newest_verbalizers(project),
        "labelled": ImportedLabel.objects.filter(project=project).values("digest").distinct().count(),
        "rounds": project.rounds.filter(runs__method=prompt_tuning.METHOD).distinct()[:ROUNDS_SHOWN],
        "form": form,
    }
    return render(request, "training/prompt_tuning.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def template(request: UserRequest, slug: str, pk: int | None = None) -> HttpResponse:
    """Show a form for a new template, or for the next version of one, which an admin can save."""
    role = Role.ADMIN if request.method == "POST" or pk is None else Role.REVIEWER
    membership = annotation_access.get_membership(request.user, slug, role=role)
    project = membership.project
    version = access.get_template(request.user, slug, pk) if pk else None
    initial = {name: getattr(version, name) for name in ("name", "body", "language", "notes")} if version else {}
    form = TemplateForm(project, cleaned(request.POST) if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        saved = prompt_tuning.save_template(project=project, by=request.user, **form.cleaned_data)
        messages.success(
            request, gettext("Saved %(name)s, version %(version)s.") % {"name": saved.name, "version": saved.version}
        )
        return redirect("prompt_tuning", slug)
    body = str(form["body"].value() or "")
    context = {
        "project": project,
        "form": form,
        "version": version,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "older": project.templates.filter(name=version.name).exclude(pk=version.pk) if version else [],
        **rendered(project, body),
    }
    return render(request, "training/template.html", context)


@login_required
@require_POST
def render_template(request: UserRequest, slug: str) -> HttpResponse:
    """Return the template that is being written, filled in with the project's rows."""
    project = annotation_access.get_project(request.user, slug, role=Role.REVIEWER)
    body = str(cleaned(request.POST).get("body", "")).replace("\r\n", "\n")
    return render(request, "training/template.html#rows", {"project": project, **rendered(project, body)})


def rendered(project: Project, body: str) -> dict[str, Any]:
    """Return up to 50 of the project's texts, raw and in the template; empty and too long ones are counted."""
    try:
        template = Template.parse(body)
    except InvalidTemplate as problem:
        return {"problem": stored.translated(str(problem)) if body.strip() else ""}
    tokenizer = tokenizer_of(project)
    if tokenizer and not tokenizer.masked and not template.ends_with_mask:
        return {"problem": NOT_LAST}
    verbalizers = newest_verbalizers(project)
    options = verbalizers[0].verbalizer.options if verbalizers else []
    rows, blank, cut = [], 0, 0
    longest = PromptTuningConfig().max_length
    for text, label in _texts(project):
        cloze = template.render(dict.fromkeys(template.text_slots, text), options)
        tokens = len(tokenizer.encode(cloze.show(""))) if tokenizer else None
        blank += not text.strip()
        cut += tokens is not None and tokens >= longest
        parts = [*cloze.before, None, *cloze.after]
        rows.append({"raw": text, "label": label, "parts": parts, "tokens": tokens, "cut": (tokens or 0) >= longest})
    two = "text_a" in template.text_slots
    return {"rows": rows, "blank": blank, "cut": cut, "longest": longest, "two": two, "counted": tokenizer is not None}


def _texts(project: Project) -> list[tuple[str, str]]:
    labelled = islice(labelled_texts(project), ROWS_SHOWN)
    found = [(each.text, each.label or "") for each in labelled]
    prompts = project.prompts.order_by("id").iterator(chunk_size=ROWS_SHOWN)
    return found + [(prompt.last_message, "") for prompt in islice(prompts, ROWS_SHOWN - len(found))]


@login_required
@require_http_methods(["GET", "POST"])
def verbalizer(request: UserRequest, slug: str, pk: int | None = None) -> HttpResponse:
    """Show a form for a new verbalizer, or for the next version of one, which an admin can save."""
    role = Role.ADMIN if request.method == "POST" or pk is None else Role.REVIEWER
    membership = annotation_access.get_membership(request.user, slug, role=role)
    project = membership.project
    version = access.get_verbalizer(request.user, slug, pk) if pk else None
    initial = {"name": version.name, "words": version.words} if version else {"words": _labels(project)}
    form = VerbalizerForm(project, cleaned(request.POST) if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid() and not form.needs_a_second_press:
        name, words = form.cleaned_data["name"], form.cleaned_data["words"]
        saved = prompt_tuning.save_verbalizer(project=project, name=name, words=words, by=request.user)
        messages.success(
            request, gettext("Saved %(name)s, version %(version)s.") % {"name": saved.name, "version": saved.version}
        )
        return redirect("prompt_tuning", slug)
    context = {
        "project": project,
        "form": form,
        "version": version,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "older": project.verbalizers.filter(name=version.name).exclude(pk=version.pk) if version else [],
        "warned": form.is_bound and form.is_valid() and form.needs_a_second_press,
    }
    return render(request, "training/verbalizer.html", context)


def _labels(project: Project) -> str:
    """Return the labels of the data, as initial values of a form."""
    labels = ImportedLabel.objects.filter(project=project).order_by("label").values_list("label", flat=True).distinct()
    return "\n".join(f"{label}: {label}" for label in labels[:20])
