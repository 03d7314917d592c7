"""Signing in with a key, signing out, and, where no keys are, choosing whose memory is looked at."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ice_agent.server.access import require_same_site, serving_of, visit
from ice_agent.server.dashboard.rendering import PAGES, Page, gone_to, page
from ice_agent.server.dashboard.visitors import KEY, TENANT, Form, Looking, drop, keep
from ice_agent.server.refusals import Refused
from memory import AccessDenied, is_storable

router = APIRouter(route_class=Page, include_in_schema=False)


@router.get("/ui/sign-in")
def sign_in(request: Request, next_path: Annotated[str, Query(alias="next")] = "/") -> Response:
    require_same_site(serving_of(request), request)
    return page(request, "sign_in.html", next_path=_own(next_path), problem="")


@router.post("/ui/sign-in")
def signed_in(request: Request, form: Form) -> Response:
    serving, key = serving_of(request), form.get("key", "").strip()
    next_path = _own(form.get("next", "/"))
    try:
        if serving.is_open:
            return gone_to(next_path)
        found = visit(serving, key)
    except (AccessDenied, Refused):
        problem = "This key opens nothing: it was never issued, or it was revoked."
        return page(request, "sign_in.html", status=401, next_path=next_path, problem=problem)
    reachable = [path for path, _, roles in PAGES if found.role in roles]
    response = gone_to(next_path if next_path != "/" else reachable[0])
    keep(response, request, KEY, key)
    return response


@router.post("/ui/sign-out")
def signed_out(request: Request, form: Form) -> Response:
    response = gone_to("/ui/sign-in")
    drop(response, KEY)
    drop(response, TENANT)
    return response


@router.post("/ui/tenant")
def chosen(request: Request, visit: Looking, form: Form) -> Response:
    """Where anybody may name any tenant, the pages remember which; a key has its own."""
    tenant = form.get("tenant", "").strip()
    if not visit.serving.is_open:
        raise Refused(403, "a key is for one tenant: sign in with another one")
    if not tenant or not is_storable(tenant):
        raise Refused(400, "name a tenant")
    response = gone_to("/")
    keep(response, request, TENANT, tenant)
    return response


def _own(path: str) -> str:
    """A path of ours: never an address of somebody else's."""
    return path if re.fullmatch(r"/(ui/[\w/.-]*)?(\?[\w%+&=.~!*'(),;:@/?$-]*)?", path, re.ASCII) else "/"
