"""Why a certificate is not accepted, and what to do about it."""

from __future__ import annotations

import ssl

from edge_runtime.mqtt.events import now

# Codes of OpenSSL.
_TIME = {9, 10}  # not yet valid; expired
_AUTHORITY = {18, 19, 20, 21}  # nobody who is trusted has signed it
_NAME = {62, 64}  # it is for another host name; for another address


def not_accepted(error: ssl.SSLCertVerificationError) -> str:
    """The rest of a sentence that begins with whose certificate it is: why, and what to change where that is known."""
    code, reason, advice = error.verify_code, error.verify_message, ""
    if code in _TIME:
        reason += f"; this machine's clock says {now()}"
    elif code in _AUTHORITY:
        advice = "; give the authority that signed it as `ca`"
    elif code in _NAME:
        advice = "; give a name that stands in it as the host"
    return f"certificate is not accepted ({reason}){advice}"
