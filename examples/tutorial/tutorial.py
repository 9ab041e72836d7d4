#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Four workloads, each computed twice: in this process, one thing after the other, and as tasks on all CPUs of a cluster.

The functions that compute stand in modules of their own and know nothing of tasks; what makes tasks of them is here. Both ways must come to
the same checksums, or the program fails. docs/tutorial.md walks through it.
"""

import argparse
import os
import pathlib
import sys
import tempfile

import mobula as ray
from tqdm import tqdm

import images
import inference
import photographs
import report
import sequences

fibonacci = ray.remote(sequences.fibonacci)
count_inside = ray.remote(sequences.count_inside)
make_photograph = ray.remote(photographs.make)


@ray.remote
def decode(jpeg):
    return images.decode(jpeg)


@ray.remote
def transform(photo, index):
    return images.transform(photo, index)


@ray.remote
def predict(model, batch):
    return inference.predict(model, batch)


def bar(results, words, total):
    """The results, as they come, with a bar that shows how many have come; on a terminal."""
    return tqdm(results, desc=f"{words:32}", total=total, disable=None if total else True,
                bar_format="{desc} {bar:30} {n_fmt}/{total_fmt}  {elapsed}")


def gather(refs, words):
    """The values of references in the order in which they are ready."""
    return list(bar(ray.util.as_completed(refs), words, len(refs)))


# -- 1. Fibonacci sequences ----------------------------------------------------------------------------------------------------

def fibonacci_sequences(terms, cpus):
    serial, here = report.clock(lambda: [sequences.fibonacci(terms) for _ in range(cpus)])
    distributed, there = report.clock(lambda: ray.get([fibonacci.remote(terms) for _ in range(cpus)]))
    return report.Measured("fibonacci", f"{cpus} x {terms:_} terms", serial, distributed, here, there, cpus, cpus)


# -- 2. Pi by the Monte Carlo method -------------------------------------------------------------------------------------------

def monte_carlo_pi(samples, cpus):
    serial, here = report.clock(lambda: [sequences.count_inside(samples, seed) for seed in range(cpus)])
    distributed, there = report.clock(lambda: ray.get([count_inside.remote(samples, seed) for seed in range(cpus)]))
    print(f"pi is about {4 * sum(there) / (samples * cpus):.6f}")
    return report.Measured("pi", f"{cpus} x {samples:_} samples", serial, distributed, here, there, cpus, cpus)


# -- 3. Photographs ------------------------------------------------------------------------------------------------------------

def photograph_files(folder, count, width, height):
    """The bytes of so many JPEG files. Those that are not in `folder` yet are made, by tasks."""
    paths = [folder / f"photograph-{width}x{height}-{index:03}.jpg" for index in range(count)]
    missing = {make_photograph.remote(index, width, height): path for index, path in enumerate(paths) if not path.exists()}
    waiting, progress = list(missing), bar(None, "photographs made", len(missing))
    while waiting:
        ready, waiting = ray.wait(waiting)
        part = missing[ready[0]].with_suffix(".part")
        part.write_bytes(ray.get(ready[0]))
        part.rename(missing[ready[0]])
        progress.update()
    progress.close()
    return [path.read_bytes() for path in paths]


def transform_here(jpegs):
    """The transforms of a batch, one after the other: (seconds of each, results). To decode them is not counted."""
    measured = [report.clock(images.transform, images.decode(jpeg), index)
                for index, jpeg in enumerate(bar(jpegs, f"{len(jpegs)} here", len(jpegs)))]
    return [seconds for seconds, _ in measured], [result for _, result in measured]


def transform_there(photos):
    """The transforms of a batch as tasks, each of which gets its photograph from the object store."""
    results = gather([transform.remote(photo, index) for index, photo in enumerate(photos)], f"{len(photos)} as tasks")
    return sorted(results, key=lambda result: result[0])


def checksums(results):
    return [(index, checksum, thumbnail.tobytes()) for index, checksum, thumbnail in results]


def image_transforms(folder, count, width, height, batches, cpus):
    jpegs = photograph_files(folder, count, width, height)
    sizes = [len(jpeg) for jpeg in jpegs]
    print(f"{count} photographs of {width} x {height}, {min(sizes) / 1e6:.1f} to {max(sizes) / 1e6:.1f} MB as JPEG, "
          f"{count * width * height * 3 / 2**30:.2f} GiB decoded")
    photos = [decode.remote(jpeg) for jpeg in jpegs]            # once; from here on they are in the object store
    ray.wait(photos, num_returns=len(photos), fetch_local=False)
    rows = []
    for batch in batches:
        seconds, here = transform_here(jpegs[:batch])
        distributed, there = report.clock(transform_there, photos[:batch])
        rows.append(report.Measured("images", f"batch of {batch}", sum(seconds), distributed, checksums(here), checksums(there), batch,
                                    report.possible(seconds, cpus)))
    return rows


# -- 4. Batch inference --------------------------------------------------------------------------------------------------------

def batch_inference(folder, rows, size, batch, cpus):
    model = inference.make_model(size)
    path = folder / f"images-{rows}x{size}-{batch}.parquet"
    inference.write_images(path, rows, size, batch)

    def plain(results):
        return [[column.tolist() for column in result] for result in results]

    def here():
        return [report.clock(inference.predict, model, part) for part in bar(inference.read_batches(path, batch), "batches here", total)]

    def there():
        stored = ray.put(model)                                 # once, for all tasks
        return sorted(gather([predict.remote(stored, part) for part in inference.read_batches(path, batch)], "batches as tasks"),
                      key=lambda result: result[0][0])

    total = -(-rows // batch)
    serial, measured = report.clock(here)
    distributed, predicted = report.clock(there)
    results = plain(result for _, result in measured)
    classes = {number for _, numbers, _ in results for number in numbers}
    print(f"{rows} images of {size} x {size} are of {len(classes)} classes")
    return report.Measured("inference", f"{rows} images by {batch}", serial, distributed, results, plain(predicted), total,
                           report.possible([seconds for seconds, _ in measured], cpus))


# -- all of it -----------------------------------------------------------------------------------------------------------------

_SIZES = {  # by default; --full; --quick
    "terms": (100_000, 100_000, 2_000), "samples": (10_000_000, 10_000_000, 100_000),
    "photographs": (12, 100, 4), "width": (4096, 4096, 320), "height": (3584, 3584, 280),
    "batches": ([2, 4, 8, 12], [10, 20, 30, 40, 50], [2, 4]), "store": (None, 2048, None),
    "rows": (1024, 1024, 32), "pixels": (96, 96, 32), "rows_a_batch": (64, 64, 8),
}


def options():
    parser = argparse.ArgumentParser(description="Four workloads, serial and distributed.")
    parser.add_argument("--full", action="store_true", help="100 photographs in batches of 10 to 50, through a store of 2 GiB")
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    parser.add_argument("--address", help="of a cluster; without it one is started here, and ended")
    parser.add_argument("--cpus", type=int, help="of the cluster that is started here; without it all")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(__file__).parents[2] / "build" / "tutorial",
                        help="where photographs are kept, and the table and the plot are written (build/tutorial)")
    for name, sizes in _SIZES.items():
        words = {"store": "MiB of shared memory for objects", "batches": "sizes, by commas"}.get(name, name.replace("_", " "))
        kind = int if name != "batches" else lambda text: [int(part) for part in text.split(",")]
        parser.add_argument("--" + name.replace("_", "-"), type=kind, help=f"{words} ({sizes[0]})")
    chosen = parser.parse_args()
    for name, sizes in _SIZES.items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, sizes[1 if chosen.full else 2 if chosen.quick else 0])
    return chosen


def workloads(chosen, cpus):
    """What was measured of each, told as it comes."""
    def tell(name, run, *args):
        print(f"\n== {name}", flush=True)
        rows = run(*args)
        rows = rows if isinstance(rows, list) else [rows]
        print(report.table(rows).to_string(index=False), flush=True)
        return rows

    rows = tell("1. Fibonacci sequences", fibonacci_sequences, chosen.terms, cpus)
    rows += tell("2. pi by the Monte Carlo method", monte_carlo_pi, chosen.samples, cpus)
    batches = [batch for batch in chosen.batches if batch <= chosen.photographs]
    of_images = tell("3. image transforms", image_transforms, chosen.folder, chosen.photographs, chosen.width, chosen.height, batches, cpus)
    report.plot(chosen.folder / "images.png", batches, of_images, cpus)
    rows += of_images
    with tempfile.TemporaryDirectory(prefix="tutorial-") as folder:
        sizes = chosen.rows, chosen.pixels, chosen.rows_a_batch
        return rows + tell("4. batch inference", batch_inference, pathlib.Path(folder), *sizes, cpus)


def main():
    chosen = options()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    joins = chosen.address or any(name in os.environ for name in ("MOBULA_ADDRESS", "RAY_ADDRESS"))
    ray.init(address=chosen.address, num_cpus=None if joins else chosen.cpus or len(os.sched_getaffinity(0)),
             object_store_memory=chosen.store << 20 if chosen.store and not joins else None)
    cpus = int(ray.cluster_resources()["CPU"])
    print(f"{cpus} CPUs; the tables and the plot go to {chosen.folder}")
    rows = workloads(chosen, cpus)
    ray.shutdown()
    every = report.table(rows)
    every.to_csv(chosen.folder / "tutorial.csv", index=False)
    print(f"\n== all of them\n{every.to_string(index=False)}")
    if not all(row.equal for row in rows):
        sys.exit("tutorial: the serial and the distributed run came to different results")


if __name__ == "__main__":
    main()
