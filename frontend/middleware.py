from collections.abc import Callable
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from annotation import origin

# No inline script or style anywhere: text written by a model can never become code on the page.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "manifest-src 'self'",
    ]
)


def policy() -> str:
    """Return the policy; the forms that sign in and out may lead to the identity provider, where there is one."""
    if settings.OIDC is None:
        return POLICY
    return POLICY.replace("form-action 'self'", f"form-action 'self' {' '.join(settings.OIDC.origins)}")


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", policy())
        return response

    return middleware


def no_store(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Let no browser or proxy keep a page: the "back" button of a shared machine shows nothing after logging out.

    Static files are answered before this, and may be kept.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return middleware


def address_of(request: HttpRequest) -> str | None:
    """Return the client's address without its zone; None where there is none, as behind a Unix socket."""
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0]))
    except ValueError:
        return None


def origin_of_request(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Tell the audit log the address and the person of the request that is being answered."""

    def middleware(request: HttpRequest) -> HttpResponse:
        address = address_of(request)
        with origin.answering(origin.Origin(address=address, via="page", user_id=request.user.pk)):
            return get_response(request)

    return middleware
