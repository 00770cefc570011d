"""Help: the documentation in the application. It is the same for everyone, so it needs no sign-in."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from frontend.help.pages import all_pages, contents, render_page


@require_GET
def help_page(request: HttpRequest, name: str = "index") -> HttpResponse:
    """Show one page of the documentation beside the table of contents."""
    page = all_pages().get(name)
    if page is None:
        raise Http404
    return render(request, "help/page.html", {"page": page, "body": render_page(name), "contents": contents()})
