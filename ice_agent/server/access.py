"""Who calls, and what they may: a bearer key says whose memory, and which role. Without keys nobody but this
machine calls.

A route takes a `Visit` by one of three names: `Chatting`, `Reading` and `Operating`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ice_agent.config import Config
from ice_agent.server.refusals import Refused
from ice_agent.server.serving import Serving
from memory import AccessDenied, AccessRole, FactStore, UnstorableText, is_storable

SAFE: Final = {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request that was let in: whose memory it is about, and what it may do there."""

    serving: Serving
    tenant: str
    role: AccessRole
    is_bound: bool
    """To this tenant, by its key or its own word: it may name no other."""

    @property
    def store(self) -> FactStore:
        return self.serving.archive.store(self.tenant)

    @property
    def config(self) -> Config:
        """The settings as they concern the tenant."""
        return self.serving.config.of(self.tenant)

    def named(self, tenant: str | None, param: str) -> Visit:
        """The same for the tenant that a field of the request names, if it does."""
        if tenant is None or tenant == self.tenant:
            return self
        if self.is_bound and self.serving.is_open:
            raise Refused(
                400,
                f"X-Ice-Tenant says {self.tenant!r}, and {param} {tenant!r}: name one of them",
                param=param,
            )
        if self.is_bound:
            # Not who the tenant of the key is, and not whether there is one of the name.
            raise Refused(403, f"{param} names another tenant than this key is for", param=param)
        return replace(self, tenant=_required_name(tenant, param), is_bound=True)


def visit(serving: Serving, key: str | None, tenant: str | None = None) -> Visit:
    """Let a caller in by the key that it shows, if any, to the tenant that it names, if any.

    Raises AccessDenied for a wrong key, and for none where one is needed; Refused for another's tenant.
    """
    if key is not None:
        try:
            store, opened = serving.archive.opened_with(key)
        except AccessDenied:
            # Clients of OpenAI always send one.
            if not serving.is_open:
                raise
        else:
            bound = Visit(serving=serving, tenant=store.tenant, role=opened.role, is_bound=True)
            return bound.named(tenant, "X-Ice-Tenant")
    elif not serving.is_open:
        raise Refused(
            401,
            "this needs a key: send `Authorization: Bearer KEY` (`ice-agent keys --issue LABEL` makes one)",
        )
    anybody = Visit(
        serving=serving, tenant=serving.config.agent.tenant, role=AccessRole.OPERATE, is_bound=False
    )
    return anybody if tenant is None else replace(anybody.named(tenant, "X-Ice-Tenant"), is_bound=True)


def require_same_site(serving: Serving, request: Request) -> None:
    """Refuse what a page of another site makes a browser send: it would be taken for its user's own.

    Where no key is asked for, also what reaches this machine under a foreign name: such a page may have made
    that name its own.
    """
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if request.method not in SAFE and origin is not None and urlsplit(origin).netloc != host:
        raise Refused(
            403, f"this was sent by a page of {origin}: only pages of {host} may change something here"
        )
    if serving.is_open and not _is_local(host):
        raise Refused(
            403,
            f"without keys only this machine is served, as localhost or 127.0.0.1, and not as {host!r}: "
            "make a key (`ice-agent keys --issue LABEL`)",
        )


def serving_of(request: Request) -> Serving:
    serving: Serving = request.app.state.serving
    return serving


_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="A key of `ice-agent keys`; without keys, none is needed.",
)


def _allowed(*roles: AccessRole) -> Callable[..., Visit]:
    """A dependency that lets these roles in."""

    def let_in(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        tenant: Annotated[
            str | None,
            Header(alias="X-Ice-Tenant", description="Whose memory, where no key says so."),
        ] = None,
    ) -> Visit:
        serving = serving_of(request)
        require_same_site(serving, request)
        found = visit(serving, bearer.credentials if bearer else None, _utf8(tenant))
        if found.role not in roles:
            needed = " or ".join(roles)
            raise Refused(403, f"this key may {found.role}, and this needs one that may {needed}")
        return found

    return let_in


Chatting = Annotated[Visit, Depends(_allowed(AccessRole.CHAT, AccessRole.OPERATE))]
Reading = Annotated[Visit, Depends(_allowed(AccessRole.AUDIT, AccessRole.OPERATE))]
Operating = Annotated[Visit, Depends(_allowed(AccessRole.OPERATE))]


def _utf8(header: str | None) -> str | None:
    """Headers are read as Latin-1; clients write UTF-8."""
    try:
        return header if header is None else header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _required_name(tenant: str, param: str) -> str:
    if not is_storable(tenant):
        raise UnstorableText(f"{param} (the tenant)")
    if not tenant.strip():
        raise Refused(400, f"{param} is empty: leave it out, or name a tenant", param=param)
    return tenant


def _is_local(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
