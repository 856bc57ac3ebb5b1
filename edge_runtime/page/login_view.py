"""Log in and out."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from edge_runtime.page.context import PageContext, session_of
from edge_runtime.page.users import PageUser
from latentline.printable import printable

_LONGEST_NAME = 65  # characters: one more than a user may have, and no more in the memory of failed logins
_WRONG = "User or password is wrong."


def login_routes(context: PageContext) -> list[Route]:
    """/login and /logout."""

    async def form(request: Request) -> Response:
        if request.state.session is not None:
            return RedirectResponse("/live", 303)
        nobody = not await run_in_threadpool(lambda: context.users.names)
        return context.page("login", request, error="", nobody=nobody, user="")

    async def log_in(request: Request) -> Response:
        fields = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=4)
        name, password = (fields.get(key, [""])[0] for key in ("name", "password"))
        name = name[:_LONGEST_NAME]
        address = request.client.host if request.client else ""
        if wait := context.limit.wait_seconds(address, name):
            return context.page("login", request, 429, error=f"Too many tries. Wait {wait} s.", nobody=False, user=name)
        user = await run_in_threadpool(_checked, context, name, password)
        if user is None:
            context.limit.failed(address, name)
            await run_in_threadpool(context.audit.add, printable(name), "login refused", address=address)
            return context.page("login", request, 403, error=_WRONG, nobody=False, user=name)
        await run_in_threadpool(context.audit.add, user.name, "login", address=address, role=user.role)
        answer = RedirectResponse("/live", 303)
        answer.set_cookie(
            context.cookie,
            context.sessions.begin(user),
            httponly=True,
            samesite="strict",
            secure=context.settings.tls is not None,
        )
        return answer

    async def log_out(request: Request) -> Response:
        await run_in_threadpool(context.audit.add, session_of(request).user.name, "logout")
        context.sessions.end(request.cookies.get(context.cookie, ""))
        answer = JSONResponse({"ok": True})
        answer.delete_cookie(context.cookie, httponly=True, samesite="strict")
        return answer

    return [
        Route("/login", form, methods=["GET"]),
        Route("/login", log_in, methods=["POST"]),
        Route("/logout", log_out, methods=["POST"]),
    ]


def _checked(context: PageContext, name: str, password: str) -> PageUser | None:
    with context.login_lock:
        return context.users.log_in(name, password)
