"""Reads what a browser sends."""

from __future__ import annotations

import json
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from latentline.base.strict_yaml import StrictModel, parse
from latentline.errors import ConfigError

Asked = TypeVar("Asked", bound=StrictModel)


async def read_json(request: Request, model: type[Asked]) -> Asked:
    """The JSON body as `model`. Raises ConfigError with a sentence for what is wrong with it."""
    try:
        data = json.loads(await request.body())
    except (ValueError, RecursionError, ClientDisconnect):
        raise ConfigError("the request is not JSON, or larger than 1 MiB") from None
    if not isinstance(data, dict):
        raise ConfigError("the request is not a JSON object")
    return parse(data, model, "the request")
