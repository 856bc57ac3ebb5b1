"""What `check` tries of the operator page."""

from __future__ import annotations

import ssl
from pathlib import Path

from edge_runtime.page.settings import PageSection
from latentline.errors import ConfigError


def check_page(page: PageSection, spool: Path) -> str:
    """Try extra, users and certificate; returns a sentence. Raises ConfigError when the page will not work."""
    try:
        import uvicorn  # noqa: F401

        from edge_runtime.page.context import users_path
        from edge_runtime.page.users import UserFile
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed; install latentline with the extra `page`") from None
    path = users_path(page, spool)
    users = UserFile(path).names
    if not users:
        raise ConfigError(f"{path} has no user; add one with `latentline-edge page add-user STATION.yaml NAME`")
    if page.tls is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(page.tls.certificate, page.tls.key, "")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"page.tls: {page.tls.certificate} and {page.tls.key} cannot be used ({error}); give a certificate and "
                "its key, both PEM and without a password"
            ) from None
    scheme = "http" if page.tls is None else "https"
    open_to_all = "" if page.tls is not None or page.on_loopback else "; it is open to the network without TLS"
    return f"{scheme}://{page.host}:{page.port} for {len(users)} user{'s' * (len(users) > 1)}{open_to_all}"
