"""A change that an engineer asks for: noted before and after, carried out by the station's thread."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from edge_runtime.commands.actions import Result
from edge_runtime.commands.local_request import LocalRequest
from edge_runtime.page.context import PageContext, session_of
from latentline.errors import LatentlineError


class RightsError(LatentlineError):
    """This user may not do that."""


def require_engineer(request: Request) -> None:
    """Raise RightsError unless an engineer asks."""
    user = session_of(request).user
    if not user.is_engineer:
        raise RightsError(f"{user.name} is an operator; only an engineer may change threshold and model")


async def carry_out(context: PageContext, local: LocalRequest, seconds: float, old: Any, new: Any) -> Result:
    """Ask the station for a change. Raises LatentlineError when it is refused; then the station says what is left.

    The audit log has a line before the request goes out, so that no change is missing there, and one with its outcome.
    """
    action = local.verb
    await run_in_threadpool(context.audit.add, local.who, f"{action} asked", old=old, new=new)
    try:
        result = await context.ask(local, seconds)
    except LatentlineError as error:
        await run_in_threadpool(context.audit.add, local.who, f"{action} refused", old=old, new=new, why=str(error))
        raise
    old, new = result["old"], result["new"]
    await run_in_threadpool(context.audit.add, local.who, f"{action} changed", old=old, new=new)
    return result
