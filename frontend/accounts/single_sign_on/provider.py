"""The requests to the identity provider, and the checks of what it says.

django-allauth keeps the state of a sign-in, exchanges the code (with PKCE) and stores who belongs to which account.
Beyond it the ID token's signature and nonce are checked, and requests go nowhere but to the provider.
"""

from __future__ import annotations

from typing import Any

import jwt
import requests
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Client, OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.core.cache import cache
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from annotation import outgoing
from annotation.http import public_address
from frontend.accounts.single_sign_on.configuration import Configuration, configured

SECONDS = 10.0  # without a byte
MOST_BYTES = 2**20
KEPT_SECONDS = 300  # the provider's description of itself
CLOCKS_DIFFER = 60  # seconds
SIGNED_BY = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
NEEDED = ["iss", "sub", "aud", "exp", "iat"]


class SignInRefused(OAuth2Error):  # type: ignore[misc]
    """What the provider sent is not accepted; the message says why."""


class ProviderSession(requests.Session):
    """Asks the identity provider and nobody else: no redirect, no proxy of the environment, no endless answer."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        super().__init__()
        self.trust_env = False
        self.origins = origins

    def request(self, method: Any, url: Any, **values: Any) -> requests.Response:  # type: ignore[override]
        try:
            outgoing.of_identity_provider(str(url), self.origins)
        except outgoing.NotAllowed as why:
            raise requests.exceptions.InvalidURL(str(why)) from why
        values |= {"allow_redirects": False, "timeout": SECONDS, "stream": True}
        with super().request(method, url, **values) as response:
            body = response.raw.read(MOST_BYTES + 1, decode_content=True)
        if len(body) > MOST_BYTES or response.is_redirect:
            raise requests.exceptions.ContentDecodingError("the answer is a redirect, or too long")
        response._content = body
        return response


class Client(OAuth2Client):  # type: ignore[misc]
    def get_redirect_url(self, authorization_url: str, scope: Any, extra_params: dict[str, str]) -> str:
        """Return where the browser is sent; the ID token has to come back with this nonce."""
        extra = extra_params | {"nonce": nonce_of(str(self.state))}
        return str(super().get_redirect_url(authorization_url, scope, extra))


class Endpoints(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    client_class = Client

    @property
    def openid_config(self) -> dict[str, Any]:
        """Return the provider's description of itself, checked. Raises SignInRefused."""
        key = f"oidc:{configured().issuer}"
        if (kept := cache.get(key)) is None:
            kept = _described(configured())
            cache.set(key, kept, KEPT_SECONDS)
        return dict(kept)

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        return public_address(request, reverse("sso_callback"))

    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **values: Any) -> SocialLogin:
        """Return who signs in, by a checked ID token and what the provider says about them. Raises SignInRefused."""
        id_token = values["response"].get("id_token")
        if not id_token:
            raise SignInRefused("The provider sent no ID token.")
        claims = self._checked(str(id_token), app, nonce_of(request.GET["state"]))
        if self.openid_config.get("userinfo_endpoint"):
            said = self._fetch_user_info(token.token)
            if said.get("sub") != claims["sub"]:
                raise SignInRefused("The provider speaks of two different people.")
            claims = said | claims
        request.sso_id_token = id_token  # type: ignore[attr-defined]
        return self.get_provider().sociallogin_from_response(request, {"id_token": claims})

    def _checked(self, id_token: str, app: SocialApp, nonce: str) -> dict[str, Any]:
        with get_adapter().get_requests_session() as session:
            answer = session.get(self.openid_config["jwks_uri"])
            answer.raise_for_status()
        try:
            kid = jwt.get_unverified_header(id_token).get("kid")
            keys = [key for key in jwt.PyJWKSet.from_dict(answer.json()).keys if kid in (None, key.key_id)]
            if len(keys) != 1:
                raise SignInRefused("The ID token is signed with a key that the provider does not have.")
            claims: dict[str, Any] = jwt.decode(
                id_token,
                keys[0],
                algorithms=SIGNED_BY,
                audience=app.client_id,
                issuer=self.openid_config["issuer"],
                leeway=CLOCKS_DIFFER,
                options={"require": NEEDED},
            )
        except jwt.ExpiredSignatureError:
            raise SignInRefused("The ID token has expired.") from None
        except jwt.InvalidAudienceError:
            raise SignInRefused("The ID token is for another application.") from None
        except jwt.InvalidIssuerError:
            raise SignInRefused("The ID token is from another issuer.") from None
        except jwt.InvalidSignatureError:
            raise SignInRefused("The ID token is not signed by the provider.") from None
        except jwt.PyJWTError as why:
            raise SignInRefused(f"The ID token is not valid: {why}") from None
        if not constant_time_compare(str(claims.get("nonce", "")), nonce):
            raise SignInRefused("The ID token answers another sign-in than yours.")
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != app.client_id:
            raise SignInRefused("The ID token is for another application.")
        return claims


class IdentityProvider(OpenIDConnectProvider):  # type: ignore[misc]
    oauth2_adapter_class = Endpoints
    pkce_enabled_default = True

    def sociallogin_from_response(self, request: HttpRequest, response: dict[str, Any]) -> SocialLogin:
        login = super().sociallogin_from_response(request, response)
        login.claims = response["id_token"]
        return login

    def extract_extra_data(self, data: Any) -> dict[str, Any]:
        """Return nothing: who somebody is stands in their account, and is asked again at each sign-in."""
        return {}


def nonce_of(state: str) -> str:
    """Return the nonce of a sign-in, which only this server can derive from its state."""
    return salted_hmac("prefloop.single_sign_on.nonce", state, algorithm="sha256").hexdigest()


def app_of(configuration: Configuration) -> SocialApp:
    """Return the provider as django-allauth wants it. It is known by its issuer: another one has other people."""
    return SocialApp(
        provider="openid_connect",
        provider_id=configuration.issuer[:200],
        name=configuration.label,
        client_id=configuration.client_id,
        secret=configuration.secret,
        settings={"server_url": configuration.issuer},
    )


def _described(configuration: Configuration) -> dict[str, Any]:
    with ProviderSession(configuration.origins) as session:
        answer = session.get(f"{configuration.issuer}/.well-known/openid-configuration")
        answer.raise_for_status()
    described: dict[str, Any] = answer.json()
    if str(described.get("issuer", "")).rstrip("/") != configuration.issuer:
        raise SignInRefused(f"The provider calls itself {described.get('issuer')!r}, not {configuration.issuer!r}.")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint"):
        needed = name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        if needed or described.get(name):
            try:
                outgoing.of_identity_provider(str(described.get(name, "")), configuration.origins)
            except outgoing.NotAllowed as why:
                raise SignInRefused(f"The provider's {name}: {why}.") from why
    return described
