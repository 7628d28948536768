"""List files as other frameworks write them: separators, labels, places, and paths that lead out."""

from __future__ import annotations

from pathlib import Path

import pytest
from copies import class_names, counts, ids, listed, make, opened, write

from vssl_core.errors import DatasetError, OptionError
from vssl_core.interfaces import DatasetContext
from vssl_core.progress import quiet_progress
from vssl_plugins.datasets.video_list import VideoList


def read(tmp_path: Path, text: str, **options: object) -> dict[str, int | None]:
    """Id → label of a training list whose videos are there."""
    root = make(
        tmp_path / "R", ["a.mp4", "b c.MP4", "d/e, f.avi", "d/a.mp4 7.mkv", "#q[1]\u2028.webm", 'say "x".mov']
    )
    write(tmp_path, videos__txt=text)
    data = opened(VideoList, root, annotations=str(tmp_path / "videos.txt"), **options)
    return {record.video_id: record.label for record in data.records("train")}


@pytest.mark.parametrize("separator", [" ", ",", "\t", ", ", "  "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_and_line_ends(tmp_path: Path, separator: str, end: str) -> None:
    text = end.join([f"a.mp4{separator}0", f"b c.MP4{separator}2", "", f"d/e, f.avi{separator}1", ""])
    assert read(tmp_path, text) == {"a.mp4": 0, "b c.MP4": 2, "d/e, f.avi": 1}


def test_odd_names_numbers_of_frames_and_no_labels(tmp_path: Path) -> None:
    text = '\ufeffd/a.mp4 7.mkv 250 1\n#q[1]\u2028.webm 3\n"say ""x"".mov" 0\n./a.mp4 -1\nb c.MP4\n'
    assert read(tmp_path, text) == {
        "d/a.mp4 7.mkv": 1,
        "#q[1]\u2028.webm": 3,
        'say "x".mov': 0,
        "a.mp4": None,
        "b c.MP4": None,
    }


def test_classes_are_numbers_or_names_from_a_file(tmp_path: Path) -> None:
    write(tmp_path, classes__txt="walk\nrun fast\njump\n")
    root = make(tmp_path / "R", ["a.mp4", "b.mp4"])
    write(tmp_path, l__txt="a.mp4 jump\nb.mp4 1\n")
    options = {"annotations": str(tmp_path / "l.txt")}
    data = opened(VideoList, root, classes=str(tmp_path / "classes.txt"), **options)
    assert class_names(data, "train") == {"a.mp4": "jump", "b.mp4": "run fast"}
    write(tmp_path, l__txt="a.mp4 4\nb.mp4 1\n")
    assert opened(VideoList, root, **options).classes == ("0", "1", "2", "3", "4")
    write(tmp_path, l__txt="a.mp4\nb.mp4\n")
    assert opened(VideoList, root, **options).classes == ()


NUMBERED = ("1", "2", "3")


def numbered(tmp_path: Path, text: str, classes: tuple[str, ...] = NUMBERED, **options: object) -> object:
    """The labels read from a list beside classes whose names are numbers."""
    write(tmp_path, classes__txt="\n".join(classes))
    return read(tmp_path, text, classes=str(tmp_path / "classes.txt"), **options)


def test_a_class_that_has_anothers_number_for_its_name_is_never_guessed(tmp_path: Path) -> None:
    by_number, by_name = "a.mp4 0\nb c.MP4 2\n", "a.mp4 1\nb c.MP4 3\n"
    for text in (by_number, by_name, "a.mp4 2\n"):
        with pytest.raises(DatasetError, match=r"line 1, .* labels=numbers .* or labels=names"):
            numbered(tmp_path, text)
    assert numbered(tmp_path, by_number, labels="numbers") == {"a.mp4": 0, "b c.MP4": 2}
    assert numbered(tmp_path, by_name, labels="names") == {"a.mp4": 0, "b c.MP4": 2}
    assert numbered(tmp_path, "a.mp4 -1\n", labels="names") == {"a.mp4": None}
    with pytest.raises(DatasetError, match="label '3'; expected 0 … 2 or -1"):
        numbered(tmp_path, by_name, labels="numbers")
    with pytest.raises(DatasetError, match="label '0'; expected the name of a class or -1"):
        numbered(tmp_path, by_number, labels="names")
    with pytest.raises(OptionError, match="labels=names needs their file"):
        read(tmp_path, by_name, labels="names")


@pytest.mark.parametrize(
    ("classes", "text", "label"),
    [
        (("0", "1", "2"), "2", 2),
        (("run", "1"), "1", 1),
        (("1999", "2001"), "2001", 1),
        (("1999", "2001"), "0", 0),
        (("3", "run"), "3", 0),
    ],
)
def test_names_of_digits_that_can_be_read_in_one_way(
    tmp_path: Path, classes: tuple[str, ...], text: str, label: int
) -> None:
    assert numbered(tmp_path, f"a.mp4 {text}\n", classes) == {"a.mp4": label}


def test_slowfast_and_videomae_folders(tmp_path: Path) -> None:
    root = make(tmp_path / "R", [f"{i}.mp4" for i in range(6)])
    lists = write(
        tmp_path / "lists", train__csv="0.mp4 0\n1.mp4 1\n", val__csv="2.mp4 0\n", test__csv="3.mp4 1\n"
    )
    data = opened(VideoList, root, annotations=str(lists))
    assert [ids(data, part) for part in ("train", "validation", "test")] == [
        ["0.mp4", "1.mp4"],
        ["2.mp4"],
        ["3.mp4"],
    ]
    write(lists, test__csv="2.mp4 0\n")  # VideoMAE's test list is its validation list
    data = opened(VideoList, root, annotations=str(lists))
    assert [ids(data, part) for part in ("train", "validation", "test")] == [
        ["0.mp4", "1.mp4"],
        [],
        ["2.mp4"],
    ]
    assert "are one" in data.inventory().notes[0]
    write(tmp_path, extra__txt="5.mp4 1\n")
    data = opened(VideoList, root, annotations=str(lists), train=str(tmp_path / "extra.txt"))
    assert ids(data, "train") == ["5.mp4"]


def test_absolute_paths_below_the_root_and_the_root_of_everything(tmp_path: Path) -> None:
    root = make(tmp_path / "R", ["x/a.mp4", "b.mp4"])
    write(tmp_path, l__txt=f"{root}/x/a.mp4 0\n{root}//x/../b.mp4 1\n")
    assert ids(opened(VideoList, root, train=str(tmp_path / "l.txt")), "train") == ["b.mp4", "x/a.mp4"]
    context = DatasetContext(tmp_path / "cache", quiet_progress())
    data = VideoList(VideoList.Options(root="/", train=str(tmp_path / "l.txt")), context)
    assert sorted(record.path for record in data.records("train")) == [
        str(root / "b.mp4"),
        str(root / "x/a.mp4"),
    ]


def test_absolute_paths_below_a_root_that_is_named_by_way_of_its_parent_or_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path / "R", ["x/a.mp4", "b.mp4"])
    write(tmp_path, l__txt=f"{root}/x/a.mp4 0\nb.mp4 1\n")
    make(tmp_path, ["elsewhere/deep/c.mp4", "elsewhere/R/b.mp4", "elsewhere/R/x/a.mp4"])
    (tmp_path / "cwd").mkdir()
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "away").symlink_to(tmp_path / "elsewhere" / "deep")
    monkeypatch.chdir(tmp_path / "cwd")
    for name in ("../R", f"{tmp_path}/cwd/../R", f"{tmp_path}/link"):
        assert ids(opened(VideoList, Path(name), train=str(tmp_path / "l.txt")), "train") == [
            "b.mp4",
            "x/a.mp4",
        ]
    with pytest.raises(DatasetError, match="leads out of the root"):  # it is elsewhere/R
        opened(VideoList, tmp_path / "away" / ".." / "R", train=str(tmp_path / "l.txt"))


@pytest.mark.parametrize(
    "path",
    ["../secret.mp4", "a/../../secret.mp4", "/etc/secret.mp4", "//etc/secret.mp4", "R-other/../../x.mp4"],
)
def test_no_path_leads_out_of_the_root(tmp_path: Path, path: str) -> None:
    make(tmp_path, ["secret.mp4"])
    with pytest.raises(
        DatasetError, match=r"videos\.txt', line 2, has the path .*, which leads out of the root"
    ):
        read(tmp_path, f"a.mp4 0\n{path} 1\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4 0\nframes/a 250 1\n", "line 2, is 'frames/a 250 1'; expected the path of a video"),
        ("a.mp4 0 1 2\n", "line 1, is 'a.mp4 0 1 2'; expected the path"),
        ("a.mp4 walk\n", "line 1, has the label 'walk'; expected 0 … 99999 or -1"),
        ("a.mp4 -2\n", "line 1, has the label '-2'"),
        ("a.mp4 1.5\n", "line 1, has the label '1.5'"),
        ("a.mp4 999999999\n", "line 1, has the label '999999999'"),
        ("a.mp4,\n", "line 1, has the label ''"),
        ("a.mp4 0\n./a.mp4 1\n", "line 2, says class '1' .* line 1, says class '0'"),
        ("a\0.mp4 0\n", r"line 1, has the video 'a\\x00.mp4'"),
        ("42\n", "line 1, is '42'; expected the path"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, text)


def test_listed_and_not_there_is_missing(tmp_path: Path) -> None:
    assert read(tmp_path, "a.mp4 0\ngone/x.mp4 1\nd 0.mp4 1\n") == {"a.mp4": 0}
    data = opened(VideoList, tmp_path / "R", annotations=str(tmp_path / "videos.txt"))
    assert listed(data.inventory(), "train").missing == ("d 0.mp4", "gone/x.mp4")
    make(tmp_path / "R", ["gone/x.mp4"])
    data = opened(VideoList, tmp_path / "R", annotations=str(tmp_path / "videos.txt"))
    assert counts(data.inventory()) == {"train": (2, 1)}


def test_groups_by_a_pattern(tmp_path: Path) -> None:
    root = make(tmp_path / "R", ["g1_a.mp4", "g1_b.mp4"])
    write(tmp_path, l__txt="g1_a.mp4 0\ng1_b.mp4 0\n")
    data = opened(VideoList, root, train=str(tmp_path / "l.txt"), group_pattern=r"^(g\d)_")
    assert {record.group for record in data.records("train")} == {"g1"}


def test_lists_are_needed_and_must_be_files(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="needs its list files"):
        opened(VideoList, make(tmp_path / "R", ["a.mp4"]), annotations=str(tmp_path))
    with pytest.raises(DatasetError, match="cannot read the annotation file"):
        opened(VideoList, tmp_path / "R", train=str(tmp_path / "nowhere.txt"))
    with pytest.raises(DatasetError, match="is not a file"):
        opened(VideoList, tmp_path / "R", train="/dev/null")
    write(tmp_path, l__txt="a.mp4 x\n", c__txt="x\ny\nx\n")
    with pytest.raises(DatasetError, match=r"c\.txt', line 3, is 'x', which stands there before"):
        opened(VideoList, tmp_path / "R", train=str(tmp_path / "l.txt"), classes=str(tmp_path / "c.txt"))


def test_lists_that_part_the_clips_of_a_source_of_ucf101_are_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "R", [f"x/v_Archery_g0{g}_c0{c}.avi" for g in (1, 2) for c in (1, 2)])
    good = write(
        tmp_path / "good",
        train__txt="x/v_Archery_g01_c01.avi 0\nx/v_Archery_g01_c02.avi 0",
        test__txt="x/v_Archery_g02_c01.avi 0\nx/v_Archery_g02_c02.avi 0",
    )
    assert {r.group for r in opened(VideoList, root, annotations=str(good)).records("test")} == {
        "Archery_g02"
    }
    bad = write(
        tmp_path / "bad",
        train__txt="x/v_Archery_g01_c01.avi 0\nx/v_Archery_g02_c01.avi 0",
        test__txt="x/v_Archery_g01_c02.avi 0\nx/v_Archery_g02_c02.avi 0",
    )
    with pytest.raises(DatasetError, match=r"'list': .*both are cut from source 'Archery_g01' of UCF101"):
        opened(VideoList, root, annotations=str(bad))
