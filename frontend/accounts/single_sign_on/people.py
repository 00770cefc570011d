"""Whose account a person of the identity provider gets: known, linked by a verified address, new, or none."""

from __future__ import annotations

import re
from typing import Any

from allauth.socialaccount.models import SocialLogin
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils import timezone

from annotation import audit
from annotation.actions import invitations, tokens
from annotation.models import AuditAction, Invitation
from frontend.accounts.single_sign_on.configuration import configured
from frontend.accounts.single_sign_on.provider import SignInRefused

WAY = "single sign-on"
NOT_IN_A_NAME = re.compile(r"[^\w.@+-]+")
LONGEST_NAME = 140


@transaction.atomic
def admit(request: HttpRequest, login: SocialLogin) -> None:
    """Let a sign-in have its account, made or linked where it has none yet. Raises SignInRefused with the reason."""
    claims = login.claims
    address = str(claims.get("email") or "").strip()
    verified = address if claims.get("email_verified") in (True, "true") else ""
    _refuse_outsiders(claims, verified)
    if login.is_existing:
        _refuse_closed(login.user)
        return
    own = list(User.objects.filter(email__iexact=address)[:2]) if address else []
    if own and not verified:
        raise SignInRefused("An account here has your address, but the provider has not verified that it is yours.")
    if len(own) > 1:
        raise SignInRefused("Several accounts here have your address. Ask an administrator to correct this.")
    if own:
        _link(request, login, own[0])
    else:
        _create(request, login, claims, verified)


def _refuse_outsiders(claims: dict[str, Any], verified: str) -> None:
    domains, (name, value) = configured().domains, configured().claim
    if domains and verified.rpartition("@")[2].lower() not in domains:
        raise SignInRefused(f"This server admits verified addresses of {', '.join(domains)} only.")
    if name:
        said = claims.get(name)
        given = [str(each) for each in said] if isinstance(said, list) else [str(said)]
        if value not in given:
            raise SignInRefused(f"This server admits people with {name} {value} only.")


def _refuse_closed(user: User) -> None:
    if not user.is_active:
        raise SignInRefused("Your account on this server is closed.")


def _link(request: HttpRequest, login: SocialLogin, user: User) -> None:
    """Give an account to the person whose verified address it has.

    Its password and tokens end: anybody could have made it with that address, and waited for its owner.
    """
    _refuse_closed(user)
    user.set_unusable_password()
    login.connect(request, user)
    tokens.revoke_all(user=user, why="linked with single sign-on")
    audit.record(AuditAction.SIGN_IN_LINKED, by=user, subject=user, what=WAY)


def _create(request: HttpRequest, login: SocialLogin, claims: dict[str, Any], verified: str) -> None:
    invited = _invitations(verified)
    if configured().new_accounts == "none":
        raise SignInRefused("You have no account on this server. An administrator can make one with your address.")
    if configured().new_accounts == "invited" and not (invited or _holds_an_invitation(login)):
        raise SignInRefused("You have no account on this server, and no invitation to your verified address is open.")
    user = User(
        username=_free_name(str(claims.get("preferred_username") or verified.partition("@")[0] or "person")),
        email=verified,
        first_name=str(claims.get("given_name") or "")[:150],
        last_name=str(claims.get("family_name") or "")[:150],
    )
    user.set_unusable_password()
    login.connect(request, user)
    audit.record(AuditAction.ACCOUNT_CREATED, by=user, subject=user, what=WAY)
    for each in invited:
        invitations.accept(invitation=each, user=user)


def _invitations(verified: str) -> list[Invitation]:
    """Return the open invitations that were made for an address."""
    if not verified:
        return []
    found = Invitation.objects.open(timezone.now()).select_related("project")
    return list(found.filter(Q(address__iexact=verified) | Q(note__iexact=verified)).order_by("pk"))


def _holds_an_invitation(login: SocialLogin) -> bool:
    """Return whether the person came from an open invitation's page, to which they go back."""
    try:
        match = resolve(str(login.state.get("next") or ""))
    except Resolver404:
        return False
    return match.url_name == "invitation" and invitations.find(match.kwargs["key"]) is not None


def _free_name(wanted: str) -> str:
    base = NOT_IN_A_NAME.sub("-", wanted).strip("-")[:LONGEST_NAME] or "person"
    name, number = base, 1
    while User.objects.filter(username__iexact=name).exists():
        number += 1
        name = f"{base}-{number}"
    return name
