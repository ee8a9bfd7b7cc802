"""Pictures a second that one core feeds to a training: decoded and resized each time, and kept on disk.

    python benchmarks/input.py [--sides 512 1024] [--out benchmarks/results/input.json]

A photograph that scikit-image ships, shifted and saved as JPEG, read as pixels of 256 x 256; by processor time.  And
what fetching its bytes takes from files, tar shards, Parquet and Arrow tables, in the order of a training.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import skimage.data
import torch
from PIL import Image

from ddmi_modalities.image import ImageFolder
from ddmi_modalities.image.data.stores import find_store

COUNT, SIZE = 120, 256
ROUNDS = 5


def rate(folder: ImageFolder) -> int:
    began = time.thread_time()
    for i in torch.randperm(len(folder), generator=torch.Generator().manual_seed(0)).tolist():
        folder[i].pixels(SIZE)
    return round(len(folder) / (time.thread_time() - began))


def pictures(side: int) -> dict[str, bytes]:
    photograph = Image.fromarray(skimage.data.astronaut())
    made = {}
    for i in range(COUNT):
        window = photograph.crop((i % 60, i % 37, i % 60 + 440, i % 37 + 440))
        buffer = io.BytesIO()
        window.resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
        made[f"{i:03d}.jpg"] = buffer.getvalue()
    return made


def write_stores(made: list[tuple[str, bytes]], root: Path) -> None:
    """One folder for each way to store them; tables as `datasets` writes them: 100 rows a group, 1,000 a batch."""
    import pyarrow as pa
    from pyarrow import parquet

    for name in ("files", "tar", "parquet", "arrow"):
        (root / name).mkdir()
    for name, content in made:
        (root / "files" / name).write_bytes(content)
    with tarfile.open(root / "tar" / "0.tar", "w") as shard:
        for name, content in made:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    values = [{"bytes": content, "path": name} for name, content in made]
    table = pa.table({"image": pa.array(values, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))})
    parquet.write_table(table, root / "parquet" / "0.parquet", row_group_size=100)
    with pa.ipc.new_stream(root / "arrow" / "0.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)


def stores(side: int) -> dict[str, int]:
    """Microseconds that the bytes of one of 1,000 pictures take, by how they are stored; medians of rounds in turn."""
    made = list(pictures(side).values())
    many = [(f"{i:04d}.jpg", made[i % COUNT]) for i in range(1000)]
    order = torch.randperm(len(many), generator=torch.Generator().manual_seed(0)).tolist()
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        write_stores(many, Path(folder))
        for _ in range(ROUNDS):
            for path in sorted(Path(folder).iterdir()):
                stored = find_store(path, [path])
                assert stored is not None
                found = list(stored[0].pictures(path, stored[1], Path(cache)).values())
                began = time.thread_time()
                for i in order:
                    found[i].open("rb").read()
                taken.setdefault(path.name, []).append((time.thread_time() - began) / len(order) * 1e6)
    return {name: round(statistics.median(rounds)) for name, rounds in taken.items()}


def rates(side: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as cache:
        for name, content in pictures(side).items():
            (Path(root) / name).write_bytes(content)

        def opened(*sizes: int) -> ImageFolder:
            return ImageFolder(root, "train", sizes=sizes, cache=Path(cache))

        kept = opened(SIZE)
        return {
            "decoded": rate(opened()),
            "kept, first time": rate(kept),
            "kept, then": rate(kept),
            "kept, another process": rate(opened(SIZE)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/input.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, object] = {"command": " ".join(["python", *sys.argv]), "torch": torch.__version__}
    for side in arguments.sides:
        for what, measure in (("pictures a second", rates), ("microseconds to fetch a picture", stores)):
            result[f"{what} of {side} x {side}"] = measure(side)
            print(what, side, result[f"{what} of {side} x {side}"], flush=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
