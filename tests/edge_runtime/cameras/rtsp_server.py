"""GStreamer's RTSP server with a test picture; runs in the system's Python, which has PyGObject.

Arguments: port, width, user and password. Prints `ready`.
"""

import sys
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402  # only after the versions were named

PICTURE = "videotestsrc is-live=true ! video/x-raw,format=I420,width={},height=48,framerate=20/1"


def main() -> None:
    port, width, user, password = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {PICTURE.format(width)} ! jpegenc ! rtpjpegpay name=pay0 pt=26 )")
    factory.set_shared(True)
    _admit_only(server, factory, user, password)
    server.get_mount_points().add_factory("/line", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


def _admit_only(server: Any, factory: Any, user: str, password: str) -> None:
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "tiler")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("tiler", "media.factory.access", True)
    permissions.add_permission_for_role("tiler", "media.factory.construct", True)
    factory.set_permissions(permissions)


main()
