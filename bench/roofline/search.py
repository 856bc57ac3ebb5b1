"""How long must one search take at least? Operations and bytes of a package's graphs over the peaks of datasheets.

python -m bench.roofline.search [PACKAGE] [--batch N] [--iterations N] [--precision fp32|fp16]
                                [--measured REPORT.json] [--cpu] [--repeats R] [--json]

Two floors for the time of one search of a batch of tiles. Both are calculated from datasheets, neither is measured.

    fused     layer by layer: each layer reads its inputs and weights from memory once and writes its outputs once;
              activation, norm and loss cost nothing extra. A layer takes the longer of its arithmetic and its memory
              traffic
    minimum   the longer of two times: all multiply-adds of the search at the peak, or every weight, tile and result
              through memory once. Caches hold everything else

Both leave out kernel launches, elementwise arithmetic, Adam, cutting the tiles and scoring the frame. A measured time
is therefore above the minimum, and far above for small networks and batches. Operations are nominal: a Winograd
convolution in float32, or accumulation in half on a GeForce, takes less time than counted here.

REPORT.json holds {"device": …, "search_ms": …}. It adds "iterations", "batch" and "precision" where they differ from
the package's n, one tile and --precision. --cpu times the station's CPU backend on this machine in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import edge_runtime.tools.demo
from bench.command_line import bench_parser
from bench.roofline.datasheets import DEVICES, find_peaks
from bench.roofline.floor import SearchFloor, executions, search_floor
from bench.roofline.graph_cost import GraphCost, Precision, graph_cost
from bench.roofline.measurement import MeasuredSearch, measure_cpu, read_report
from latentline.base.arguments import count
from latentline.errors import run_command
from latentline.package.model_package import SEARCH_STEP, ModelPackage, load_package

DEMO = Path(edge_runtime.tools.demo.__file__).parent / "model"
ITERATIONS, BATCHES = (10, 100, 500), (1, 9)

Case = tuple[int, int]  # iterations, batch


@dataclass(frozen=True)
class Roofline:
    """Everything that is printed. `costs` is by batch, then by graph."""

    package: ModelPackage
    precision: Precision
    costs: Mapping[int, Mapping[str, GraphCost]]
    floors: list[SearchFloor]
    measured: list[MeasuredSearch]

    def floor_for(self, measured: MeasuredSearch) -> SearchFloor | None:
        """The floor for a measured search; None when the table has no such device or precision."""
        device = find_peaks(measured.device)
        if device is None or measured.precision != self.precision:
            return None
        case = (device.name, measured.iterations, measured.batch)
        return next(f for f in self.floors if (f.device, f.iterations, f.batch) == case)


def roofline(
    package: ModelPackage, cases: list[Case], precision: Precision, measured: list[MeasuredSearch]
) -> Roofline:
    """Costs and floors of the `cases` and of the measured searches."""
    cases = list(dict.fromkeys([*cases, *((m.iterations, m.batch) for m in measured)]))
    graphs = {name: package.graphs[name] for name in executions(package.spec, 0)}
    costs = {
        batch: {name: graph_cost(content, name, batch, precision) for name, content in graphs.items()}
        for batch in dict.fromkeys(batch for _, batch in cases)
    }
    floors = [
        search_floor(device, costs[batch], executions(package.spec, n), precision, batch)
        for device in DEVICES
        for n, batch in cases
    ]
    return Roofline(package, precision, costs, floors, measured)


def text(result: Roofline) -> str:
    """The result as tables."""
    manifest = result.package.manifest
    lines = [
        f"{manifest.name}: tiles of {manifest.tile_size} px x {manifest.channels}, latent {manifest.latent_size}; "
        f"n = {manifest.search.iterations}, first latent: {manifest.search.init}; graphs in {result.precision}"
    ]
    for batch, costs in result.costs.items():
        lines += ["", *_graph_table(costs, batch)]
    runs = executions(manifest, manifest.search.iterations)
    lines += [
        "",
        f"The captured graph runs, for each batch of tiles: {', '.join(f'{n} x {name}' for name, n in runs.items())}, "
        f"{runs[SEARCH_STEP]} x Adam;",
        "how many kernels that is shows when the engines are built, not before.",
    ]
    lines += ["", *_floor_table(result.floors)]
    if result.measured:
        lines += ["", *_measured_table(result)]
    return "\n".join([*lines, "", *_peaks()])


def _graph_table(costs: Mapping[str, GraphCost], batch: int) -> list[str]:
    columns = ("layers", "GFLOP", "elementwise M", "weights MB", "fused MB", "minimum MB")
    lines = [f"{f'one execution, batch {batch}':24}" + "".join(f"{column:>15}" for column in columns)]
    for name, cost in costs.items():
        millions = (cost.elementwise, cost.weight_bytes, cost.bytes_fused, cost.bytes_minimum)
        figures = (2e-9 * cost.multiply_adds, *(1e-6 * value for value in millions))
        lines.append(f"{name:24}{len(cost.layers):15}" + "".join(f"{value:15.3f}" for value in figures))
    return lines


def _floor_table(floors: list[SearchFloor]) -> list[str]:
    """A row for each device, a column for each case; a cell has fused and minimum."""
    cases = list(dict.fromkeys((floor.iterations, floor.batch) for floor in floors))
    lines = [
        f"{'floor of a search, ms':30}" + "".join(f"{f'n {n}, batch {batch}':>22}" for n, batch in cases),
        f"{'(datasheets, not measured)':30}" + f"{'fused    minimum':>22}" * len(cases),
    ]
    for device in dict.fromkeys(floor.device for floor in floors):
        row = [floor for floor in floors if floor.device == device]
        lines.append(f"{device:30}" + "".join(f"{f.fused_ms:>11.3f}{f.minimum_ms:>11.3f}" for f in row))
    return lines


def _measured_table(result: Roofline) -> list[str]:
    lines = ["measured, ms per search"]
    for one in result.measured:
        spread = "" if one.p10_ms is None else f" (p10 {one.p10_ms:.2f}, p90 {one.p90_ms:.2f})"
        what = f"{one.device}, {one.precision}, n {one.iterations}, batch {one.batch}: {one.search_ms:.2f}{spread}"
        floor = result.floor_for(one)
        beside = "no floor" if floor is None else f"floor {floor.fused_ms:.3f} fused, {floor.minimum_ms:.3f} minimum"
        lines.append(f"  {what}; {beside}")
    return lines


def _peaks() -> list[str]:
    lines = [f"{'dense peaks':30}{'fp32 TFLOP/s':>14}{'fp16 TFLOP/s':>14}{'GB/s':>10}"]
    lines += [f"{d.name:30}{d.fp32:14.2f}{d.fp16:14.2f}{d.bandwidth:10.1f}" for d in DEVICES]
    return [*lines, *(f"  {d.name}: {d.source}" for d in DEVICES)]


def as_json(result: Roofline) -> dict[str, Any]:
    """The result for a program."""
    return {
        "package": result.package.manifest.name,
        "precision": result.precision,
        "graphs": {
            str(batch): {
                name: {
                    **asdict(cost),
                    "multiply_adds": cost.multiply_adds,
                    "elementwise": cost.elementwise,
                    "bytes_fused": cost.bytes_fused,
                    "bytes_minimum": cost.bytes_minimum,
                }
                for name, cost in costs.items()
            }
            for batch, costs in result.costs.items()
        },
        "devices": [asdict(device) for device in DEVICES],
        "floors": [asdict(floor) for floor in result.floors],
        "measured": [
            {**asdict(one), "floor": asdict(floor) if (floor := result.floor_for(one)) else None}
            for one in result.measured
        ],
    }


def main() -> int:
    """Count operations and bytes, time the CPU if asked, and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("package", type=Path, nargs="?", default=DEMO, help="model package (default: the demo's)")
    parser.add_argument("--batch", type=positive, help="tiles in a search (default: 1 and 9)")
    parser.add_argument("--iterations", type=count, help="n (default: the package's, 10, 100 and 500)")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32", help="of the graphs (default: fp32)")
    parser.add_argument("--measured", type=Path, action="append", default=[], help="report of a device, repeatable")
    parser.add_argument("--cpu", action="store_true", help="also time the CPU backend on this machine")
    parser.add_argument("--repeats", type=positive, default=9, help="timed searches of --cpu (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    package = load_package(options.package)
    own = package.manifest.search.iterations
    batches = BATCHES if options.batch is None else (options.batch,)
    iterations = (own, *ITERATIONS) if options.iterations is None else (options.iterations,)
    cases = list(dict.fromkeys((n, batch) for n in iterations for batch in batches))
    measured = [read_report(path, own, options.precision) for path in options.measured]
    if options.cpu:
        measured += measure_cpu(package, cases, options.repeats)
    result = roofline(package, cases, options.precision, measured)
    print(json.dumps(as_json(result), indent=1) if options.json else text(result))
    return 0


def positive(argument: str) -> int:
    """A whole number, 1 or more."""
    if (value := count(argument)) == 0:
        raise argparse.ArgumentTypeError("0 is not a whole number, 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(run_command(main))
