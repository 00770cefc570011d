"""The addresses that are told of a project's events, and what became of each delivery."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access
from annotation.delivery import webhooks
from annotation.forms.access import WebhookForm
from annotation.http import UserRequest
from annotation.models import DeliveryStatus, Role


@login_required
@require_http_methods(["GET", "POST"])
def webhook_list(request: UserRequest, slug: str) -> HttpResponse:
    """List the webhooks; POST adds one."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = WebhookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        added = webhooks.add_webhook(project=project, by=request.user, **form.cleaned_data)
        messages.success(request, gettext("Webhook created. Send a test to check its address."))
        return redirect(added)
    rows = project.webhooks.annotate(
        waiting=Count("deliveries", filter=Q(deliveries__status=DeliveryStatus.PENDING)),
        failed=Count("deliveries", filter=Q(deliveries__status=DeliveryStatus.FAILED)),
    )
    return render(request, "annotation/webhooks.html", {"project": project, "form": form, "webhooks": rows})


@login_required
@require_GET
def webhook(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    found = access.get_webhook(request.user, slug, pk)
    page = Paginator(found.deliveries.all(), 50).get_page(request.GET.get("page"))
    context = {
        "project": found.project,
        "webhook": found,
        "page": page,
        "is_waiting": any(delivery.is_pending for delivery in page),
    }
    return render(request, f"annotation/webhook.html{'#deliveries' * bool(request.htmx)}", context)


@login_required
@require_POST
def test(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    found = access.get_webhook(request.user, slug, pk)
    webhooks.send_test(webhook=found, by=request.user)
    messages.success(request, gettext("Test queued."))
    return redirect(found)


@login_required
@require_POST
def send_again(request: UserRequest, slug: str, pk: int, delivery: int) -> HttpResponse:
    found = access.get_delivery(request.user, slug, pk, delivery)
    webhooks.send_again(delivery=found)
    messages.success(request, gettext("%(found)s will be sent again.") % {"found": found})
    return redirect("webhook", slug, pk)


@login_required
@require_POST
def remove(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    found = access.get_webhook(request.user, slug, pk)
    webhooks.remove_webhook(webhook=found, by=request.user)
    messages.success(request, gettext("%(found)s deleted.") % {"found": found})
    return redirect("webhooks", slug)
