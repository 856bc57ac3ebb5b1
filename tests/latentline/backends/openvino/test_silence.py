from __future__ import annotations

import subprocess
import sys

from tests.paths import ROOT


def test_no_process_of_ours_loads_the_telemetry_of_openvino() -> None:
    """A station tells nobody outside that it runs: OpenVINO has its stub in place of what reports to its maker."""
    code = (
        "import sys\nimport latentline.backends.openvino.trunk\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "print(telemetry_utils.tm.__name__, any(name.startswith('openvino_telemetry') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "False"]
