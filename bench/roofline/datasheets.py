"""Peaks of the devices that can run a search, from their datasheets, with sources. None is measured.

Peaks are dense, without structured sparsity, at the highest clock that the datasheet names: of the CUDA cores for
float32, of the tensor cores for fp16 with float32 accumulation. TF32 is left out: TensorRT rounds float32 convolutions
to it by default, but our engine builder forbids that.

Datasheets of Jetson modules give sparse INT8 operations of GPU and DLA together. Only the GPU's part counts here, and
dense fp16 is a quarter of it: dense is half of sparse, fp16 half of INT8. The figures quoted for the Orin Nano Super
follow this rule (67 sparse, 33 dense, 17 fp16).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.roofline.graph_cost import Precision


@dataclass(frozen=True)
class DevicePeaks:
    """Peaks of one device. A multiply-add counts as two operations.

    pattern    regular expression for the name in the driver, on a Jetson for the board's (/proc/device-tree/model)
    fp32       TFLOP/s of the CUDA cores
    fp16       TFLOP/s of the tensor cores, half products accumulated in float32, dense
    bandwidth  GB/s of the device's memory
    source     where the numbers come from
    """

    name: str
    pattern: str
    fp32: float
    fp16: float
    bandwidth: float
    source: str

    def peak(self, precision: Precision) -> float:
        """Operations a second, at most, for graphs in `precision`."""
        return 1e12 * (self.fp32 if precision == "fp32" else self.fp16)


_CORES = "fp32 = CUDA cores x 2 x clock"

DEVICES = (
    DevicePeaks(
        name="Jetson Orin Nano Super 8GB",
        pattern="orin nano",
        fp32=2.09,
        fp16=67 / 4,
        bandwidth=102.0,
        source="Jetson Orin Nano Super Developer Kit datasheet: 1024 CUDA cores, 1.02 GHz (MAXN_SUPER), 67 sparse INT8 "
        f"TOPS, all of the GPU, 102 GB/s; fp16 = 67 / 4; {_CORES}",
    ),
    DevicePeaks(
        name="Jetson Orin NX 16GB",
        pattern="orin nx",
        fp32=2.40,
        fp16=77 / 4,
        bandwidth=102.4,
        source="Jetson Orin NX Series datasheet and NVIDIA's JetPack 6.2 announcement: 1024 CUDA cores, 1.173 GHz in "
        "MAXN_SUPER (0.918 GHz without), 157 sparse INT8 TOPS, 80 of them DLA, so 77 of the GPU, 102.4 GB/s; "
        f"fp16 = 77 / 4; {_CORES}",
    ),
    DevicePeaks(
        name="Jetson AGX Orin 64GB",
        pattern="agx orin",
        fp32=5.3,
        fp16=170 / 4,
        bandwidth=204.8,
        source="Jetson AGX Orin Series technical brief: 2048 CUDA cores, 1.3 GHz, 5.3 TFLOP/s fp32, 275 sparse INT8 "
        "TOPS, 170 of them the GPU's, 204.8 GB/s; fp16 = 170 / 4",
    ),
    DevicePeaks(
        name="Jetson Thor T5000",
        pattern="thor",
        fp32=8.04,
        fp16=2070 / 8,
        bandwidth=273.0,
        source="Jetson Thor datasheet: T5000, 2560 CUDA cores, 1.57 GHz, 2070 sparse FP4 TFLOP/s, 273 GB/s; "
        f"fp16 = 2070 / 8 (sparse to dense, FP4 to FP8, FP8 to fp16: a half each); {_CORES}",
    ),
    DevicePeaks(
        name="GeForce RTX 4090",
        pattern="rtx 4090$",
        fp32=82.6,
        fp16=165.2,
        bandwidth=1008.0,
        source="NVIDIA Ada GPU architecture whitepaper, table of the RTX 4090 at 2.52 GHz boost: fp32 82.6, "
        "fp16 with float32 accumulation 165.2 (330.3 with half), 1008 GB/s",
    ),
    DevicePeaks(
        name="H100 SXM5 80GB",
        pattern="h100.*(hbm3|sxm)",
        fp32=66.9,
        fp16=989.4,
        bandwidth=3350.0,
        source="NVIDIA H100 Tensor Core GPU architecture whitepaper, table of the H100 SXM5: fp32 66.9, "
        "fp16 989.4, all dense; H100 datasheet: 3.35 TB/s",
    ),
)


def find_peaks(name: str) -> DevicePeaks | None:
    """The device with the driver name `name`; None when several devices share it or none has it."""
    return next((device for device in DEVICES if re.search(device.pattern, name, re.IGNORECASE)), None)
