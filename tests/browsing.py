"""Where a browser stands that runs no script: what it sends, and what it makes of a page."""

from __future__ import annotations

from html.parser import HTMLParser

from fastapi.testclient import TestClient

from tests.serving import LOCAL


class Browser:
    """Follows no link by itself, keeps cookies, and sends forms as pages of ours do."""

    def __init__(self, app) -> None:
        self.http = TestClient(app, LOCAL, raise_server_exceptions=False, follow_redirects=False)

    def get(self, path):
        return self.http.get(path)

    def text(self, path):
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def send(self, path, **fields):
        return self.http.post(path, data={"token": self.http.cookies.get("ice_token"), **fields})

    def sign_in(self, key):
        self.get("/ui/sign-in")
        return self.send("/ui/sign-in", key=key)


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
