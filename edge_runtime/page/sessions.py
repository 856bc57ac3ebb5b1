"""Who is logged in: sessions in memory, so that a restart of the station logs everybody out."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.page.users import PageUser, UserFile

_MOST = 200  # sessions; the one that was used least lately goes first


@dataclass
class PageSession:
    """A browser that is logged in.

    csrf     the token that each change from this browser must bring
    used     when the browser asked last, of the clock
    """

    user: PageUser
    csrf: str
    used: float


class PageSessions:
    """Sessions by a random token that only the browser keeps; here is its hash. Used by the page's event loop.

    hours  after so long without a request a session ends
    clock  seconds, monotonic
    """

    def __init__(self, users: UserFile, hours: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._users, self._seconds, self._clock = users, 3600 * hours, clock
        self._sessions: OrderedDict[str, PageSession] = OrderedDict()

    def begin(self, user: PageUser) -> str:
        """Begin a session; returns the token for the browser's cookie."""
        token = secrets.token_urlsafe(32)
        self._sessions[_digest(token)] = PageSession(user, secrets.token_urlsafe(32), self._clock())
        while len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)
        return token

    def find(self, token: str) -> PageSession | None:
        """The session of this token, unless it is over or its user has changed. Raises ConfigError."""
        key = _digest(token)
        session = self._sessions.get(key)
        if session is None:
            return None
        if self._clock() - session.used > self._seconds or self._users.find(session.user.name) != session.user:
            del self._sessions[key]
            return None
        session.used = self._clock()
        self._sessions.move_to_end(key)
        return session

    def end(self, token: str) -> None:
        """End the session of this token, if there is one."""
        self._sessions.pop(_digest(token), None)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
