"""A table of groups is matched however it is written, or refused: no part comes on both sides of a split unsaid."""

import logging
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentline.errors import DatasetError
from trainer.data.group_table import read_group_table

NAMES = [f"train/good/Teil {i:02}ä.png" for i in range(8)] + [f"test/cut/d{i}.jpg" for i in range(2)]
GROUPS = {name: f"part {index // 2}" for index, name in enumerate(NAMES)}
ROOT = Path("/data/Set 1")


def read(path: Path, text: str | bytes, names: list[str] | None = None) -> dict[str, str]:
    """The groups of a table with this content."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return dict(read_group_table(path, ROOT, names or NAMES))


def table(rows: Sequence[tuple[str, ...]], separator: str = ",", header: str | None = "file,tile_group") -> str:
    """A CSV."""
    lines = [separator.join(row) for row in rows]
    return "\n".join([*([header.replace(",", separator)] if header else []), *lines]) + "\n"


ROWS = list(GROUPS.items())
WRITTEN = {
    "plain": table(ROWS),
    "byte order mark": "\ufeff" + table(ROWS),
    "UTF-16": table(ROWS).encode("utf-16"),
    "semicolons": table(ROWS, ";"),
    "tabs": table(ROWS, "\t"),
    "blanks behind commas": table(ROWS, ", "),
    "Excel's sep": "sep=;\r\n" + table(ROWS, ";"),
    "line ends of Windows": table(ROWS).replace("\n", "\r\n"),
    "line ends of old Macs": table(ROWS).replace("\n", "\r"),
    "capitals": table(ROWS, header="File,Tile_Group"),
    "other titles": table(ROWS, header="Image,Part"),
    "no header": table(ROWS, header=None),
    "more columns": table([("x", b, a) for a, b in ROWS], header="note,tile_group,file"),
    "blank lines": "\n\n" + table(ROWS).replace("\n", "\n\n") + ",,\n   \n",
    "quotes": table([(f'"{a}"', f'"{b}"') for a, b in ROWS], header='"file","tile_group"'),
    "backslashes": table([(a.replace("/", "\\"), b) for a, b in ROWS]),
    "./": table([("./" + a, b) for a, b in ROWS]),
    ".\\": table([(".\\" + a.replace("/", "\\"), b) for a, b in ROWS]),
    "..": table([("train/../" + a, b) for a, b in ROWS]),
    "bare names": table([(a.split("/")[-1], b) for a, b in ROWS]),
    "no suffixes": table([(a.rsplit(".", 1)[0], b) for a, b in ROWS]),
    "names of the last folder": table([("/".join(a.split("/")[1:]), b) for a, b in ROWS]),
    "absolute": table([(f"{ROOT}/{a}", b) for a, b in ROWS]),
    "absolute elsewhere": table([(f"/mnt/old/{a}", b) for a, b in ROWS]),
    "a drive": table([("D:\\Bilder\\" + a.replace("/", "\\"), b) for a, b in ROWS]),
    "another case": table([(a.upper(), b) for a, b in ROWS]),
    "letters with combining accents": table([(a.replace("ä", "a\u0308"), b) for a, b in ROWS]),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
def test_groups_do_not_depend_on_how_the_table_is_written(
    tmp_path: Path, written: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Every row names its image, and the log says that all do."""
    with caplog.at_level(logging.INFO):
        assert read(tmp_path / "groups.csv", written) == GROUPS
    (message,) = caplog.messages
    assert message.endswith(": 10 of 10 rows match, and give 10 of 10 images a group, 5 groups in all")


@given(st.randoms(use_true_random=False))
def test_a_row_names_the_same_image_or_none(tmp_path_factory: pytest.TempPathFactory, random: random.Random) -> None:
    """However its path is bent, a row never gives its group to another image."""
    path = tmp_path_factory.getbasetemp() / "bent.csv"
    rows = []
    for name, group in ROWS:
        parts = name.split("/")
        parts = (
            parts[random.randrange(3) :]
            if random.random() < 0.4
            else [*random.sample(["C:", "a", "..", "."], 2), *parts]
        )
        text = random.choice("/\\").join(parts)
        rows.append((text.upper() if random.random() < 0.3 else text, group))
    random.shuffle(rows)
    assert read(path, table(rows, random.choice(",;\t"))).items() <= GROUPS.items()


@given(
    st.one_of(
        st.binary(max_size=60),
        st.text('file,tile_group;\t"\r\n/.\\\0 éa', max_size=60).map(str.encode),
        st.lists(st.lists(st.sampled_from([*NAMES, "", '"', "x", "."]), max_size=4).map(",".join), max_size=6).map(
            lambda lines: "\n".join(["file,tile_group", *lines]).encode()
        ),
    )
)
def test_any_table_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Nothing but a sentence comes of a table that is none."""
    try:
        assert set(read(tmp_path_factory.getbasetemp() / "any.csv", content)) <= set(NAMES)
    except DatasetError as error:
        assert "any.csv: " in str(error)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (table(ROWS) + "train/good/x.png\n", "line 12 has no group; complete or remove it"),
        (table(ROWS) + "\n\ntrain/good/x.png,\n", "line 14 has no group"),
        (table(ROWS) + ",part 9\n", "line 12 has no file"),
        (
            table([*ROWS, (NAMES[0], "part 9")]),
            "lines 2 and 12 give train/good/Teil 00ä.png the groups 'part 0' and 'part 9'",
        ),
        ("", "expected a CSV with the columns file and tile_group"),
        ("file,tile_group\n", "has no rows"),
        ("name\nx\n", "expected a CSV with the columns file and tile_group"),
        ("a;b;c\n1;2;3\n", "expected a CSV with the columns file and tile_group"),
        (table(ROWS).encode("latin-1"), "cannot be read, for it is not UTF-8"),
        (table(ROWS) + '"' + "x" * 200_000, "line 12 cannot be read"),
        (
            table([(f"nowhere/{i}.png", "p") for i in range(8)] + ROWS[:2]),
            "8 of 10 rows match no image under /data/Set 1, the first: 'nowhere/0.png' in line 2; write paths relative",
        ),
    ],
    ids=lambda value: "" if isinstance(value, (str, bytes)) and len(value) > 60 else None,
)
def test_a_table_that_cannot_be_used_is_one_sentence(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    """It names the file, and the line where there is one."""
    with pytest.raises(DatasetError, match=r"groups\.csv: ") as error:
        read(tmp_path / "groups.csv", text)
    assert sentence in str(error.value)


def test_a_missing_table_is_one_sentence(tmp_path: Path) -> None:
    """It says so, and what to correct."""
    with pytest.raises(
        DatasetError, match=r"none\.csv: cannot be read \(No such file or directory\); correct data.groups"
    ):
        read_group_table(tmp_path / "none.csv", ROOT, NAMES)


def test_an_ambiguous_name_is_one_sentence(tmp_path: Path) -> None:
    """A bare name that two images have is refused; with its folder it is certain."""
    names = ["train/good/a.png", "test/good/a.png", "test/cut/a.png"]
    with pytest.raises(DatasetError, match=r"'a\.png' in line 2 may be test/cut/a\.png or test/good/a\.png; write"):
        read(tmp_path / "groups.csv", "file,tile_group\na.png,p\n", names)
    assert read(tmp_path / "groups.csv", "file,tile_group\ncut/a.png,p\n", names) == {"test/cut/a.png": "p"}


def test_names_that_differ_in_case_are_two_images(tmp_path: Path) -> None:
    """Each row means the one that it spells."""
    rows = [("train/good/a.png", "p"), ("train/good/A.png", "q")]
    assert read(tmp_path / "groups.csv", table(rows), [name for name, _ in rows]) == dict(rows)


def test_rows_of_other_sets_do_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A table of many sets has rows that name this one's folder; those of others neither count nor disagree."""
    rows = [(f"Set {i}/{name}", f"{i} {group}") for i in (0, 2, 1) for name, group in ROWS[:4]]
    rows += [(f"Set {i}/elsewhere/{name}", "x") for i in range(9) for name in "abc"]
    with caplog.at_level(logging.INFO):
        assert read(tmp_path / "groups.csv", table(rows), NAMES[:4]) == {a: f"1 {b}" for a, b in ROWS[:4]}
    assert "27 of 39 rows match no image under /data/Set 1, the first: 'Set 0/elsewhere/a'" in caplog.text


def test_images_without_a_row_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each is a part of its own, and the log says how many there are."""
    with caplog.at_level(logging.INFO):
        read(tmp_path / "groups.csv", table(ROWS[:4]))
    assert (
        "4 of 4 rows match, and give 4 of 10 images a group, 2 groups in all; 6 other images are groups of their own"
        in caplog.text
    )
