"""Who looks at a page: the key that somebody signed in with, in a cookie that no script reads.

A form is taken from pages of our own alone: it says again what a second cookie says.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Annotated, Final
from urllib.parse import parse_qsl, quote, unquote

from fastapi import Depends, Request, Response

from ice_agent.errors import IceError
from ice_agent.server.access import Visit, require_same_site, serving_of, visit
from ice_agent.server.refusals import Refused
from memory import AccessDenied, AccessRole

KEY: Final = "ice_key"
TENANT: Final = "ice_tenant"
TOKEN: Final = "ice_token"


class SignedOut(IceError):
    """Nobody has signed in, or with a key that opens nothing any more."""


def token_of(request: Request) -> str:
    """What forms of this browser have to say; made when it first comes."""
    if not hasattr(request.state, "token"):
        request.state.token = request.cookies.get(TOKEN) or secrets.token_urlsafe(32)
    token: str = request.state.token
    return token


def keep(response: Response, request: Request, name: str, value: str) -> None:
    """Until the browser is closed, for requests of our own pages alone."""
    response.set_cookie(
        name, quote(value), path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )


def drop(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", httponly=True, samesite="strict")


def visitor(request: Request) -> Visit:
    """Raises SignedOut where a key is needed."""
    serving = serving_of(request)
    require_same_site(serving, request)
    key = request.cookies.get(KEY)
    tenant = request.cookies.get(TENANT) if serving.is_open else None
    if key is None and not serving.is_open:
        raise SignedOut
    try:
        request.state.visit = found = visit(serving, key and unquote(key), tenant and unquote(tenant))
    except AccessDenied:
        raise SignedOut from None
    return found


def _allowed(*roles: AccessRole) -> Callable[..., Visit]:
    def let_in(found: Annotated[Visit, Depends(visitor)]) -> Visit:
        if found.role not in roles:
            raise Refused(403, f"your key may {found.role}, and this needs one that may {' or '.join(roles)}")
        return found

    return let_in


Looking = Annotated[Visit, Depends(_allowed(AccessRole.AUDIT, AccessRole.OPERATE))]
Asking = Annotated[Visit, Depends(_allowed(AccessRole.CHAT, AccessRole.OPERATE))]
Deciding = Annotated[Visit, Depends(_allowed(AccessRole.OPERATE))]


async def _submitted(request: Request) -> Mapping[str, str]:
    """The fields of a form. Raises Refused for one that no page of ours has sent."""
    require_same_site(serving_of(request), request)
    try:
        fields = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
    except ValueError:
        raise Refused(400, "the form cannot be read: load the page again") from None
    kept = request.cookies.get(TOKEN)
    if not kept or not hmac.compare_digest(kept.encode(), fields.pop("token", "").encode()):
        raise Refused(403, "this form is not of this visit: load the page again")
    return fields


Form = Annotated[Mapping[str, str], Depends(_submitted)]
