"""The pages of proposed tasks: the funnel, the list with an import beside it, and where each one came from."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, gettext_noop, ngettext
from django.views.decorators.http import require_GET, require_http_methods

from annotation import access as annotation_access
from annotation import pseudonyms
from annotation.exports.pool import ACCEPTED, reviewed
from annotation.http import UserRequest
from annotation.imports import RefusedRow, UnreadableFile
from annotation.models import Project, Proposal, ProposalReview, RejectReason, Role, Verdict
from annotation.rendering.difference import changes
from annotation.uploads import takes_uploads
from training import access
from training.actions import proposals
from training.forms.proposals import ProposalFileForm
from training.instructions.funnel import funnel
from training.instructions.heuristics import REASONS
from training.instructions.reading import tasks_in
from training.instructions.seeds import seed_tasks
from training.instructions.similarity import UNSPACED
from training.phrases import in_language

ON_A_PAGE = 50
REFUSED_SHOWN = 20
SHOW = {
    "": (gettext_noop("All"), Q()),
    "waiting": (gettext_noop("Waiting for review"), Q(task__isnull=False, verdict=None)),
    "accepted": (gettext_noop("Accepted"), Q(verdict__in=ACCEPTED)),
    "edited": (gettext_noop("Accepted with edits"), Q(verdict=Verdict.EDIT)),
    "rejected": (gettext_noop("Rejected"), Q(verdict=Verdict.REJECT)),
    "near": (gettext_noop("Near-duplicates"), Q(near_duplicate=True)),
    "refused": (gettext_noop("Refused by a rule"), ~Q(refused_by="")),
}
SAMPLING = {
    "temperature": gettext_noop("Temperature"),
    "max_new_tokens": gettext_noop("Response length"),
    "seed": gettext_noop("Seed"),
    "server": gettext_noop("Server"),
}
PARTS = {"instruction": gettext_noop("Instruction"), "input": gettext_noop("Input"), "output": gettext_noop("Output")}
PIECE = re.compile(f"\\s+|[{UNSPACED}]|[^\\W{UNSPACED}]+|.", re.DOTALL)


@takes_uploads
@login_required
@require_http_methods(["GET", "POST"])
def proposal_list(request: UserRequest, slug: str) -> HttpResponse:
    """Show the funnel and the proposals in it; by POST an admin uploads a file of tasks."""
    role = Role.ADMIN if request.method == "POST" else Role.REVIEWER
    membership = annotation_access.get_membership(request.user, slug, role=role)
    project = membership.project
    form, refused = ProposalFileForm(request.POST or None, request.FILES or None), None
    if request.method == "POST" and form.is_valid():
        refused = _take(request, project, form)
        if refused == [] and form.is_valid():
            return redirect("proposals", slug)
    show = request.GET.get("show", "")
    show = show if show in SHOW else ""
    rows = reviewed(project).filter(SHOW[show][1]).select_related("batch__policy").order_by("-pk")
    page = Paginator(rows, ON_A_PAGE).get_page(request.GET.get("page"))
    steps = funnel(project)
    context = {
        "project": project,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "steps": steps,
        "most": steps[0].count if steps else 0,
        "rows": [(row, _standing(row)) for row in page],
        "page": page,
        "show": show,
        "shows": [(name, gettext(label)) for name, (label, _) in SHOW.items()],
        "form": form,
        "refused": (refused or [])[:REFUSED_SHOWN],
        "refused_count": len(refused or []),
    }
    return render(request, "training/proposals.html", context)


def _take(request: UserRequest, project: Project, form: ProposalFileForm) -> list[RefusedRow]:
    """Store the tasks of a file and return its refused rows; an unreadable file is an error of the form."""
    file = form.cleaned_data["file"]
    content = file.read()
    try:
        tasks, refused = tasks_in(content, file.name)
    except UnreadableFile as why:
        form.add_error("file", str(why))
        return []
    if proposals.take_file(
        project=project, filename=file.name, content=content, tasks=tasks, refused=len(refused), by=request.user
    ):
        said = ngettext("%(count)s task read.", "%(count)s tasks read.", len(tasks)) % {"count": len(tasks)}
        if refused:
            left = ngettext("%(count)s row could not be used.", "%(count)s rows could not be used.", len(refused))
            messages.warning(request, f"{said} {left % {'count': len(refused)}}")
        else:
            messages.success(request, said)
    else:
        messages.error(request, gettext("This file was already imported; nothing is changed."))
    return refused


@login_required
@require_GET
def proposal(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show what a proposal was made from, the checks of it and its reviews."""
    found = access.get_proposal(request.user, slug, pk)
    row = reviewed(found.project).select_related("batch__policy").get(pk=pk)
    reviews = ProposalReview.objects.filter(assignment__task__proposal=found).select_related("assignment__annotator")
    seeds = {f"seed:{task.id}": task.instruction for task in seed_tasks()}
    own = {f"proposal:{other.pk}": other for other in found.project.proposals.filter(pk__in=_own_ids(found))}
    context = {
        "project": found.project,
        "proposal": found,
        "batch": found.batch,
        "sampling": [
            (gettext(SAMPLING[name]) if name in SAMPLING else name, value)
            for name, value in found.batch.sampling.items()
            if value != ""
        ],
        "standing": _standing(row),
        "refused_for": _reason(found.refused_by),
        "texts": [(gettext(label), getattr(found, name)) for name, label in PARTS.items()],
        "reviews": [_as_shown(review, found) for review in reviews],
        "examples": [(id, seeds.get(id, ""), own.get(id)) for id in found.examples],
        "similar": [(item, own.get(item["id"])) for item in found.similar],
    }
    return render(request, "training/proposal.html", context)


def _own_ids(found: Proposal) -> list[int]:
    ids = [*found.examples, *(item["id"] for item in found.similar)]
    numbers = (id.removeprefix("proposal:") for id in ids if id.startswith("proposal:"))
    return [int(number) for number in numbers if number.isdigit()]


def _standing(row: Any) -> dict[str, str]:
    """Return the state of a proposal of `reviewed`: a label, its colour and further details."""
    if row.refused_by:
        return {"label": gettext("Refused by a rule"), "style": "failed", "more": _reason(row.refused_by)}
    if row.verdict == Verdict.REJECT:
        return {"label": gettext("Rejected"), "style": "failed", "more": str(RejectReason(row.reason).label)}
    if row.verdict:
        more = gettext("with changes") if row.verdict == Verdict.EDIT else ""
        return {"label": gettext("Accepted"), "style": "succeeded", "more": more}
    if row.task_id is None:
        return {"label": gettext("Near-duplicate"), "style": "stopped", "more": f"ROUGE-L {row.similarity:.2f}"}
    more = gettext("near-duplicate") if row.near_duplicate else ""
    return {"label": gettext("Waiting for review"), "style": "queued", "more": more}


def _reason(code: str) -> str:
    """Return in words what a rule refused a proposal for; empty where none did."""
    return in_language(REASONS.get(code, code), gettext) if code else ""


def _as_shown(review: ProposalReview, found: Proposal) -> dict[str, Any]:
    changed = review.verdict == Verdict.EDIT
    names = ("instruction", "input", "output") if changed else ()
    return {
        "who": pseudonyms.known_as(found.project_id, review.assignment.annotator),
        "review": review,
        "seconds": review.assignment.active_ms / 1000,
        "changes": [
            (gettext(PARTS[name]), differences(getattr(found, name), getattr(review, name)))
            for name in names
            if getattr(found, name) != getattr(review, name)
        ],
    }


def differences(before: str, after: str) -> list[tuple[str, str]]:
    """Return kept, removed and added pieces in order, by words, or by characters in scripts without spaces."""
    pieces = changes(PIECE.findall(before), PIECE.findall(after))
    return [(kind, "".join(some)) for kind, some in pieces]
