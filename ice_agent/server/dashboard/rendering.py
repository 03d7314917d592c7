"""How pages are made: templates in which everything is escaped, and errors that are pages, too."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import jinja2
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException

import ice_agent
from ice_agent import screen
from ice_agent.errors import IceError
from ice_agent.probes import FALSE_RECALL
from ice_agent.server import refusals
from ice_agent.server.access import Visit
from ice_agent.server.dashboard.visitors import TOKEN, SignedOut, keep, token_of
from memory import AccessRole, Forged, Mention, Rate, StoreError, Transcript

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # What stands on a page is somebody's memory.
    "Cache-Control": "no-store",
}

READERS: Final = (AccessRole.AUDIT, AccessRole.OPERATE)
PAGES: Final = (
    ("/", "Overview", READERS),
    ("/ui/facts", "Facts", READERS),
    ("/ui/adapters", "Adapters", READERS),
    ("/ui/explain", "Explain", READERS),
    ("/ui/audit", "Audit", READERS),
    ("/ui/playground", "Playground", (AccessRole.CHAT, AccessRole.OPERATE)),
)


class Page(APIRoute):
    """A route that answers with a page, whatever happens."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                response = await handle(request)
            except SignedOut:
                response = _to_sign_in(request)
            except (IceError, StoreError, Forged, OSError, HTTPException, RequestValidationError) as error:
                response = problem(request, error)
            response.headers.update(HEADERS)
            if TOKEN not in request.cookies:
                keep(response, request, TOKEN, token_of(request))
            return response

        return shown


def page(request: Request, template: str, *, status: int = 200, **shown: object) -> HTMLResponse:
    """A template with what all of them need: who looks, and what they may go to."""
    visit: Visit | None = getattr(request.state, "visit", None)
    pages = [(path, name) for path, name, roles in PAGES if visit is not None and visit.role in roles]
    tenants = _tenants(visit) if visit is not None and visit.serving.is_open else ()
    shown |= {
        "visit": visit, "is_open": bool(tenants), "tenants": tenants, "pages": pages,
        "path": request.url.path, "version": ice_agent.__version__, "token": token_of(request),
        "zone": _zone(), "may_decide": visit is not None and visit.role is AccessRole.OPERATE,
        # What a form did, said on the page that it leads to.
        "done": request.query_params.get("done", ""),
    }  # fmt: skip
    return HTMLResponse(_templates().get_template(template).render(shown), status)


def _tenants(visit: Visit) -> list[str]:
    """Whose memory may be looked at; one that was never told anything is there because it was named."""
    return sorted({visit.tenant, *visit.serving.archive.tenants()})


def problem(request: Request, error: Exception) -> HTMLResponse:
    """An error in its own words; what is wrong inside the service is logged, and not shown."""
    status, message, *_ = refusals.told(error, request.scope)
    return page(request, "problem.html", status=status, message=message, code=status)


def gone_to(path: str, **query: str) -> RedirectResponse:
    """After a form: the page that shows what it did."""
    return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, 303)


def _to_sign_in(request: Request) -> Response:
    is_part = "HX-Request" in request.headers
    # A part of a page is read again with the page; where a form was refused, there is none to come back to.
    asked = urlsplit(request.headers.get("HX-Current-URL", "") if is_part else str(request.url))
    back = urlunsplit(("", "", asked.path, asked.query, ""))
    is_page = request.method == "GET" and back
    where = f"/ui/sign-in?{urlencode({'next': back})}" if is_page else "/ui/sign-in"
    if is_part:
        return Response(status_code=401, headers={"HX-Redirect": where})
    return RedirectResponse(where, 303)


@cache
def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("ice_agent.server.dashboard"),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "said": said, "when": _when, "day": _day, "share": _share, "count": screen.count,
        "words_of": _words_of, "metric": lambda name: name.replace("_", " "), "is_as_wanted": is_as_wanted,
    }  # fmt: skip
    return made


def said(text: object) -> Markup:
    """What somebody wrote: its direction stays its own, and characters that show nothing show their number.

    Those that turn the direction of what follows, and control characters, could make a page read as what it
    does not say.
    """
    return Markup("<bdi>{}</bdi>").format(_visible(str(text)))


def _visible(text: str) -> Markup:
    return Markup().join(
        Markup('<span class="codepoint">U+{:04X}</span>').format(ord(c)) if _is_hidden(c) else escape(c)
        for c in text
    )


def _is_hidden(character: str) -> bool:
    # Joiners are a part of words in many scripts, and of emoji.
    return unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn") and character not in "\n\t\u200c\u200d"


def is_as_wanted(asked: Transcript) -> bool:
    """A hit is wanted, but for false recall: a taught answer where it does not belong."""
    return asked.is_hit != (asked.kind == FALSE_RECALL)


def _words_of(mention: Mention) -> Markup:
    """The sentence, with the words that the fact came from marked."""
    text = mention.utterance.text
    if not mention.words:
        return said(text)
    before, words, after = text[: mention.start], mention.words, text[mention.end :]
    return Markup("<bdi>{}<mark>{}</mark>{}</bdi>").format(*map(_visible, (before, words, after)))


def _when(moment: datetime | str) -> Markup:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    exact = moment.isoformat(timespec="seconds")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(exact, screen.when(moment))


def _zone() -> str:
    """Of the times that pages show."""
    local = datetime.now().astimezone()
    return f"{local:%Z} (UTC{local.isoformat()[-6:]})" if local.utcoffset() else "UTC"


def _day(moment: datetime) -> Markup:
    exact = moment.isoformat(timespec="seconds")
    day = f"{moment.astimezone():%Y-%m-%d}"
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(exact, day)


def _share(rate: Rate | float) -> str:
    """A figure as narrow as it goes; the counts stand in its title."""
    if isinstance(rate, Rate):
        return f"{rate.share:.3f}" if rate.asked else "\u2013"
    return f"{rate:.3f}"
