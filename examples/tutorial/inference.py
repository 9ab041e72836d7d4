# SPDX-License-Identifier: Apache-2.0
"""Workload 4, as one would write it for one CPU: a network of torchvision with seeded weights, and images in a parquet file."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torchvision

_CLASSES = 10


def make_model(size):
    """A residual network for images of size x size pixels that was never trained: its weights are random numbers, of one seed. Its scores
    are moved so that no class wins by the weights alone."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None, num_classes=_CLASSES)
    sample = _numbers(_random_pixels(np.random.Generator(np.random.Philox(key=0)), 32, size))
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None                       # the statistics are those of the sample
        model.train()(sample)
        model.fc.bias -= model.eval()(sample).mean(dim=0)
    return model


def _random_pixels(rng, count, size):
    """Images of nine patches of colour each: (count, 3, size, size) bytes."""
    patch = -(-size // 3)
    colours = rng.integers(0, 256, (count, 3, 3, 3), dtype=np.uint8)
    return colours.repeat(patch, axis=2).repeat(patch, axis=3)[:, :, :size, :size]


def _numbers(pixels):
    return torch.from_numpy(pixels / np.float32(127.5) - np.float32(1))


def write_images(path, count, size, batch):
    """A parquet file of `count` images of size x size pixels, a row each, `batch` of them in a row group."""
    rng = np.random.Generator(np.random.Philox(key=1))
    pixels_type = pa.binary(3 * size * size)
    schema = pa.schema([("id", pa.int64()), ("pixels", pixels_type)])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, count, batch):
            ids = range(first, min(first + batch, count))
            images = [image.tobytes() for image in _random_pixels(rng, len(ids), size)]
            writer.write_table(pa.table([pa.array(ids, pa.int64()), pa.array(images, pixels_type)], schema))


def read_batches(path, batch):
    """The rows of the file, as record batches of `batch` rows."""
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch)


def predict(model, batch):
    """(ids, classes, scores) of the images in a record batch, as numpy arrays of one number an image."""
    torch.set_num_threads(1)
    column = batch.column("pixels")
    size = round((column.type.byte_width / 3) ** 0.5)
    pixels = np.frombuffer(column.buffers()[1], np.uint8).reshape(-1, 3, size, size)[column.offset:column.offset + len(column)]
    with torch.inference_mode():
        scores = model(_numbers(pixels))
        best = scores.max(dim=1)
    return batch.column("id").to_numpy(), best.indices.numpy(), best.values.numpy()
