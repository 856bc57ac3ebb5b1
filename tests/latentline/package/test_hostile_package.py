"""A package can neither read other files nor take more memory than a model of its size needs."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from latentline.errors import PackageError
from latentline.package.model_package import CALIBRATION, DISCRIMINATOR, GENERATOR, SEARCH_STEP, SELFTEST, load_package
from latentline.package.onnx_file import check_graph
from tests.packages import edit_manifest, rewrite, tiny_model, write_tiny_package

MIB = 1 << 20


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A new package folder."""
    return write_tiny_package(tmp_path / "package")


def _graph(change: Callable[[Any], object], name: str = GENERATOR) -> bytes:
    model = onnx.load_from_string(tiny_model().graphs[name])
    change(model)
    content: bytes = model.SerializeToString()
    return content


def _external(tensor: Any, location: str = "/etc/passwd") -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def _node(model: Any, operator: str, tensor: Any) -> None:
    model.graph.initializer.append(tensor)
    model.graph.node.append(helper.make_node(operator, [tensor.name], ["much"]))


def _shape(*numbers: int, raw: bool = True) -> Any:
    values = np.array(numbers, np.int64)
    return helper.make_tensor("s", TensorProto.INT64, [len(numbers)], values.tobytes() if raw else values, raw=raw)


def _constant(model: Any, change: Callable[[Any], object]) -> None:
    node = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("", TensorProto.FLOAT, [1], [1.0]))
    change(node.attribute[0].t)
    model.graph.node.append(node)


def _nested(model: Any, change: Callable[[Any], object]) -> None:
    inner = helper.make_graph([], "inner", [], [], [helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])])
    change(inner.initializer[0])
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))


def _sparse(model: Any) -> None:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1 << 40]))


def _declared(tensor: Any) -> None:
    tensor.ClearField("dims")
    tensor.dims.extend([1 << 20, 1 << 20])


_HARMS: dict[str, tuple[Callable[[Any], object], str]] = {
    "external weights": (lambda m: _external(m.graph.initializer[0]), "from another file"),
    "external weights beside it": (lambda m: _external(m.graph.initializer[-1], "other.bin"), "from another file"),
    "external in a constant": (lambda m: _constant(m, _external), "from another file"),
    "external in a branch": (lambda m: _nested(m, _external), "from another file"),
    "only the list of files": (
        lambda m: m.graph.initializer[0].external_data.add(key="location", value="x"),
        "from another file",
    ),
    "a shape without its data": (lambda m: m.graph.initializer[0].ClearField("raw_data"), "does not fit"),
    "a large shape": (lambda m: _declared(m.graph.initializer[0]), "does not fit"),
    "a large shape in a constant": (lambda m: _constant(m, _declared), "does not fit"),
    "a type that no export uses": (lambda m: setattr(m.graph.initializer[0], "data_type", 8), "does not fit"),
    "a sparse tensor": (_sparse, "sparse"),
    "a large constant": (lambda m: _node(m, "ConstantOfShape", _shape(1 << 20, 1 << 20)), "ConstantOfShape makes"),
    "a large constant, packed": (
        lambda m: _node(m, "ConstantOfShape", _shape(1 << 20, 1 << 20, raw=False)),
        "ConstantOfShape makes",
    ),
    "a large repetition": (lambda m: _node(m, "Tile", _shape(1, 1 << 40)), "Tile makes"),
    "a large range": (lambda m: _node(m, "Range", _shape(1 << 40)), "uses Range"),
    "a loop": (lambda m: _node(m, "Loop", _shape(1 << 40)), "uses Loop"),
}


@pytest.mark.parametrize("name", _HARMS)
def test_a_graph_brings_what_it_declares(package: Path, name: str) -> None:
    """Weights in other files, shapes without data and tensors of any size are refused, wherever they stand."""
    harm, said = _HARMS[name]
    rewrite(package, GENERATOR, _graph(harm))
    with pytest.raises(PackageError, match=said) as refused:
        load_package(package)
    assert str(refused.value).startswith(f"{package}: {GENERATOR}")


@pytest.mark.parametrize("name", [GENERATOR, DISCRIMINATOR, SEARCH_STEP])
def test_an_honest_graph_passes(name: str) -> None:
    """Also with its weights as lists of numbers, and with a shape that has a -1."""
    check_graph(tiny_model().graphs[name], name)

    def as_lists(model: Any) -> None:
        for tensor in model.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(helper.make_tensor(tensor.name, tensor.data_type, values.shape, values.flatten()))
        _node(model, "Expand", _shape(-1, 4, raw=False))

    check_graph(_graph(as_lists, name), name)


def test_cut_and_flipped_graphs_are_refused_or_pass() -> None:
    """Whatever is done to the bytes, the answer is nothing or a PackageError."""
    content, random = tiny_model().graphs[GENERATOR], np.random.default_rng(0)
    for _ in range(200):
        harmed = bytearray(content[: random.integers(1, len(content))])
        harmed[random.integers(len(harmed))] ^= 1 << random.integers(8)
        try:
            check_graph(bytes(harmed), "g")
        except PackageError as error:
            assert str(error).startswith("g: ")


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _claims(shape: tuple[int, ...]) -> bytes:
    """An .npz of one array that declares `shape` and holds nothing."""
    header, buffer = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    return buffer.getvalue()


@pytest.mark.parametrize("name", [CALIBRATION, SELFTEST])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: _npz(x=np.zeros(8 * MIB)), "numbers or more"),
        (lambda: _npz(x=np.zeros(80 * MIB, np.uint8)), "numbers or more"),
        (lambda: _claims((1 << 40,)), "does not fit its"),
        (lambda: _claims((1 << 62, 1 << 62)), "does not fit its"),
        (lambda: _npz(**{f"x{i}": np.zeros(MIB) for i in range(8)}), "numbers or more"),
    ],
)
def test_arrays_are_no_larger_than_the_model_needs(
    package: Path, name: str, content: Callable[[], bytes], said: str
) -> None:
    """An .npz of a few KiB that declares a lot is refused before its arrays take memory."""
    rewrite(package, name, content())
    tracemalloc.start()
    try:
        with pytest.raises(PackageError, match=said):
            load_package(package)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def test_a_zip_of_zeros_is_refused_unread(package: Path, tmp_path: Path) -> None:
    """Weights hardly shrink: a small .zip that unpacks to a lot is refused before it is unpacked."""
    padding = _graph(lambda m: m.metadata_props.add(key="k", value="0" * (64 * MIB)))
    rewrite(package, GENERATOR, padding)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in package.iterdir():
            archive.write(file, file.name)
    tracemalloc.start()
    try:
        with pytest.raises(PackageError, match=r"unpacks \d+ KiB to 64 MiB"):
            load_package(tmp_path / "bomb.zip")
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["zip", "folder"])
def test_a_sparse_file_is_refused_unread(package: Path, tmp_path: Path, name: str) -> None:
    """A file that has a size and no content on the disk is not read."""
    path = tmp_path / "sparse.zip" if name == "zip" else package / GENERATOR
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(PackageError, match=r"unpacks .* to 1024 MiB"):
        load_package(path if name == "zip" else package)


def test_a_pipe_is_no_package(tmp_path: Path) -> None:
    """A FIFO in place of a .zip is refused at once; nobody waits for a writer."""
    os.mkfifo(tmp_path / "model.zip")
    with pytest.raises(PackageError, match="neither a folder nor a file"):
        load_package(tmp_path / "model.zip")


@pytest.mark.parametrize(
    "name", [".DS_Store", "__MACOSX/._manifest.json", "tiny/.DS_Store", "._manifest.json", "Thumbs.db"]
)
def test_what_a_file_manager_added_to_a_zip_is_named(package: Path, tmp_path: Path, name: str) -> None:
    """The sentence says where it comes from and what to do."""
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as archive:
        archive.writestr(name, b"x")
        for file in package.iterdir():
            archive.write(file, file.name)
    with pytest.raises(PackageError, match=rf"holds '{name}', which a file manager added"):
        load_package(tmp_path / "mac.zip")


def test_a_manifest_is_small(package: Path) -> None:
    """One of many MiB is refused."""
    edit_manifest(package, lambda manifest: manifest.update(method="x" * 5 * MIB))
    with pytest.raises(PackageError, match="not the manifest"):
        load_package(package)
