"""`latentline-edge page`: the users of the operator page."""

from __future__ import annotations

import argparse

from edge_runtime.config import load_station
from edge_runtime.tools.owner import refuse_root
from latentline.errors import ConfigError


def run_page_command(options: argparse.Namespace) -> int:
    """Carry out one action. Raises ConfigError: the station has no page, no such user, or its file is broken."""
    try:
        from edge_runtime.page.audit import AuditLog
        from edge_runtime.page.context import audit_path, users_path
        from edge_runtime.page.users import UserFile
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed; install latentline with the extra `page`") from None
    config = load_station(options.config)
    if config.page is None:
        raise ConfigError(f"{options.config}: has no section `page`; add one, such as `page: {{}}`")
    users = UserFile(users_path(config.page, config.spool.path))
    if options.action == "users":
        for name, role in sorted(users.names.items()):
            print(f"{name:24} {role}")
        return 0
    refuse_root(config.spool.path.parent)
    password = None
    if options.action == "add-user":
        password = users.add(options.user, options.role)
    elif options.action == "new-password":
        password = users.new_password(options.user)
    else:
        users.remove(options.user)
    AuditLog(audit_path(config.page, config.spool.path)).add("command line", options.action, user=options.user)
    if password is not None:
        print(f"password of {options.user}: {password}")
        print("It is not shown again; its hash alone is kept.")
    return 0
