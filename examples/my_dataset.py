"""Your own labelled videos in one file, without packaging.

    vssl bench --task vcop --target examples/my_dataset.py:MyDataset -o target.folder=/data/gym

The folder (by default the one of this file) holds the videos and `videos.csv`, for instance:

    path,label,split
    monday/squat 1.mp4,squat,train
    tuesday/jump 7.mp4,jump,test

A validation part is carved out of "train" by group, so that no recording stands on both sides.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from vssl_core import DatasetContext, DatasetError, Options, Split, VideoDataset, VideoRecord


class MyDatasetOptions(Options):
    folder: str = Field("", description="Folder with videos.csv; empty: the folder of this file.")


class MyDataset(VideoDataset):
    Options = MyDatasetOptions

    def __init__(self, options: MyDatasetOptions, context: DatasetContext) -> None:
        self.folder = Path(options.folder).expanduser() if options.folder else Path(__file__).parent

    @property
    def classes(self) -> Sequence[str]:
        return sorted({row["label"] for row in self._rows()})

    def records(self, split: Split) -> Sequence[VideoRecord]:
        labels = {name: label for label, name in enumerate(self.classes)}
        return [
            VideoRecord(
                video_id=row["path"],  # as in the table: the same wherever the folder is
                path=str(self.folder / row["path"]),
                label=labels[row["label"]],
                group=str(Path(row["path"]).parent),  # one folder, one recording
            )
            for row in self._rows()
            if row["split"] == split
        ]

    def _rows(self) -> list[dict[str, str]]:
        table = self.folder / "videos.csv"
        try:
            with table.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except OSError as error:
            raise DatasetError(f"cannot read {table}: {error.strerror}. Give -o target.folder=…") from error
        if not rows or not {"path", "label", "split"} <= rows[0].keys():
            raise DatasetError(f"{table} needs the columns path,label,split and at least one video.")
        return rows
