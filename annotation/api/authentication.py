"""Who a request to the API is from, and what its token is for.

`Authorization: Bearer pf_…` names a token. A token's scope only narrows: whether its owner may do the same in a
project, annotation.access decides, as for a user who is signed in.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from annotation import origin
from annotation.actions.tokens import count_unknown, find_token
from annotation.models import Scope, Token

KEYWORD = "Bearer"


class BearerToken(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        keyword, _, value = get_authorization_header(request).decode("latin-1").partition(" ")
        if keyword.lower() != KEYWORD.lower():
            return None
        token = find_token(value.strip())
        if token is None:
            if seconds := count_unknown(origin.current().address):
                raise Throttled(seconds, "Too many requests with unknown tokens came from this address.")
            raise AuthenticationFailed("The token is unknown, revoked or expired.")
        where = origin.current()
        where.user_id, where.via = token.user.pk, f"token {token.prefix}…"
        return token.user, token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return KEYWORD


class HasScope(BasePermission):
    """A request with a token needs the scope that the view declares for it; without a declaration none will do."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, Token):
            return True
        scope = scope_of(view)
        if scope is None:
            # A method that the address does not have is answered by 405, whatever the token is for.
            return view.action is None
        self.message = f"The token lacks the scope {scope.value}."
        return request.auth.allows(scope)


def scope_of(view: Any) -> Scope | None:
    if view.action == "metadata":  # OPTIONS: what the address takes
        return Scope.READ
    declared: dict[str, Scope] = getattr(view, "scopes", {})
    return declared.get(view.action)


class BearerTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "annotation.api.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer", "description": "A token from the page API tokens of an account."}
