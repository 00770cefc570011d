"""The pages of the policy's versions: their family, and one of them with everything behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from annotation import access as annotation_access
from annotation import audit, pseudonyms
from annotation.characters import cleaned
from annotation.http import UserRequest, refusals_as_messages
from annotation.models import AuditAction, DatasetSnapshot, PolicyVersion, Role
from annotation.quality.comparisons import evaluated_pairs, ladder
from training import access
from training.actions import packages, policies
from training.ancestry import ancestors, is_adapter
from training.archives import size_on_disk, zipped
from training.models import Package, PackageStatus
from training.products.promotions import current_policy
from training.reports.lineage import Branch, family, files_of, made_by, snapshots_behind


@login_required
@require_GET
def policy_list(request: UserRequest, slug: str) -> HttpResponse:
    project = annotation_access.get_project(request.user, slug, role=Role.REVIEWER)
    root = family(project, ladder(evaluated_pairs(project, to=annotation_access.blind_reader(request.user, project))))
    context = {
        "project": project,
        "branches": list(_flattened(root, 0)) if root else [],
        "current": current_policy(project) if root else None,
        "promotions": project.promotions.select_related("policy", "by"),
    }
    return render(request, "training/policies.html", context)


def _flattened(branch: Branch, depth: int) -> Iterator[tuple[int, Branch]]:
    """Return the tree depth first, each version with its depth: a template does not recurse."""
    yield depth, branch
    for child in branch.children:
        # An only child goes on in its parent's line: twenty rounds in a row are no staircase.
        yield from _flattened(child, depth if len(branch.children) == 1 else depth + 1)


@login_required
@require_GET
def policy(request: UserRequest, slug: str, number: int) -> HttpResponse:
    found, membership = access.get_policy(request.user, slug, number)
    run = made_by(found)
    compared = evaluated_pairs(found.project, to=annotation_access.blind_reader(request.user, found.project))
    context = {
        "project": found.project,
        "policy": found,
        "current": current_policy(found.project),
        "is_admin": membership.may_act_as(Role.ADMIN),
        "run": run,
        "line": ancestors(found)[1:],
        "children": found.children.order_by("number"),
        "snapshots": [(snapshot, _people(snapshot)) for snapshot in snapshots_behind(found)],
        "size": size_on_disk(found.checkpoint),
        "is_adapter": is_adapter(found),
        "package": Package.objects.filter(policy=found).first(),
        "rung": next((rung for rung in ladder(compared) if rung.name == str(found)), None),
        "evaluations": found.evaluations.order_by("-number"),
        "promotions": found.promotions.select_related("by"),
        "answers": found.completions.count(),
    }
    return render(request, "training/policy.html", context)


def _people(snapshot: DatasetSnapshot) -> list[tuple[str, int]]:
    found = ((name, count) for name, _, count in pseudonyms.people_of(snapshot))
    return sorted(found, key=lambda row: -row[1])


@login_required
@require_POST
def promote(request: UserRequest, slug: str, number: int) -> HttpResponse:
    found, _ = access.get_policy(request.user, slug, number, role=Role.ADMIN)
    with refusals_as_messages(request):
        policies.promote(policy=found, by=request.user, why=cleaned(request.POST).get("why", ""))
        messages.success(request, gettext("%(found)s is in use: the next round starts from it.") % {"found": found})
    return redirect("policy", slug, number)


@login_required
@require_POST
def package(request: UserRequest, slug: str, number: int) -> HttpResponse:
    found, _ = access.get_policy(request.user, slug, number, role=Role.ADMIN)
    packages.ask_for(policy=found)
    messages.success(request, gettext("A worker merges it after the current run; then it can be downloaded here."))
    return redirect("policy", slug, number)


@login_required
@require_GET
def download(request: UserRequest, slug: str, number: int) -> StreamingHttpResponse:
    """Send the checkpoint as it is; with ?merged=1 the whole model, once a worker has merged it."""
    found, _ = access.get_policy(request.user, slug, number, role=Role.ADMIN)
    merged = bool(request.GET.get("merged"))
    folder = _folder(found, merged)
    name = f"{slug}-{found}{'-merged' if merged else ''}.zip"
    audit.record(AuditAction.DOWNLOADED, by=request.user, project=found.project, what=name)
    response = StreamingHttpResponse(zipped(files_of(found, folder)), content_type="application/zip")
    response.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or ""
    return response


def _folder(found: PolicyVersion, merged: bool) -> Path:
    if merged:
        ready = Package.objects.filter(policy=found, status=PackageStatus.READY).first()
        if ready is None or not ready.path.is_dir():
            raise Http404("Not merged yet")
        return ready.path
    folder = Path(found.checkpoint)
    if not folder.is_dir():
        raise Http404("The checkpoint is no longer on this machine")
    return folder
