# SPDX-License-Identifier: Apache-2.0
"""Workload 3, as one would write it for one photograph: decode, blur, augment, and compute on the pixels with numpy and torch."""

import io
import zlib

import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision import transforms

_BAND = 8                               # rows of an image that are computed on at a time: they stay in the cache
_THUMBNAIL = 160


def decode(jpeg):
    """The pixels in the bytes of a JPEG file: (rows, columns, colours) bytes."""
    return np.asarray(Image.open(io.BytesIO(jpeg)))


def _torch_sums(tensor):
    """Sums of powers of the numbers in a (rows, columns, colours) tensor, and of products of neighbours. Integers, and so exact."""
    total = 0
    for band in tensor.split(_BAND):
        values = band.to(torch.int64)
        total += sum(int(values.pow(power).sum()) for power in (2, 3, 4))
        total += sum(int(torch.mul(values, values.flip(axis)).sum()) for axis in (0, 1, 2))
    return total


def _numpy_sums(pixels):
    """Sums of powers of the numbers in an array of the same form, and of products of colours."""
    total = 0
    for band in np.array_split(pixels, max(1, len(pixels) // _BAND)):
        red, green, blue = np.transpose(band.astype(np.int64), (2, 0, 1))
        total += sum(int(np.power(colour, 4).sum()) for colour in (red, green, blue))
        total += int((red * green).sum()) + int((green * blue).sum()) + int((blue * red).sum())
    return total


def _correlation(pixels):
    """Of the columns of a small grey version of the image: a product of matrices, whose numbers a double holds exactly."""
    grey = pixels[::8, ::8].mean(axis=2).astype(np.int64).astype(np.float64)
    return int(np.trace(np.dot(np.transpose(grey), grey)))


def transform(photo, index):
    """(index, checksum, thumbnail) of the photograph number `index`, blurred and augmented at random; `index` is the seed. `photo`, its
    pixels, may be memory that others read, too: it is not written to."""
    torch.set_num_threads(1)
    torch.manual_seed(index)
    blurred = Image.fromarray(photo).filter(ImageFilter.GaussianBlur(radius=4))
    augmented = transforms.TrivialAugmentWide(num_magnitude_bins=31)(blurred)
    pixels = np.array(augmented)
    tensor = torch.from_numpy(pixels)
    sums = [_torch_sums(tensor), _torch_sums(torch.transpose(tensor, 0, 1).contiguous()), _numpy_sums(pixels), _correlation(pixels)]
    augmented.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return index, zlib.crc32(repr(sums).encode(), zlib.crc32(pixels)), augmented
