# SPDX-License-Identifier: Apache-2.0
"""Photographs that nobody took: a hilly landscape under a cloudy sky, with the fine texture and the grain of a camera's picture, so that a
JPEG of 14 megapixels has the 5-20 MB that it has from a camera. The same index and size make the same picture."""

import io

import numpy as np
from PIL import Image


_BAND = 32


def _enlarge(texture, width, height):
    return np.asarray(Image.fromarray(texture).resize((width, height), Image.BICUBIC))


def _texture(rng, width, height, coarsest, finest):
    """Noise in [0, 1] with features of all sizes from `coarsest` to `finest` pixels, the larger the stronger, as surfaces in nature."""
    texture, strength, cell = None, np.float32(1), coarsest
    while cell >= finest:
        rows, columns = max(2, height // cell + 1), max(2, width // cell + 1)
        layer = strength * rng.random((rows, columns), dtype=np.float32)
        texture = layer if texture is None else _enlarge(texture, columns, rows) + layer
        strength, cell = strength * np.float32(0.55), cell // 3
    texture = _enlarge(texture, width, height)
    return (texture - texture.min()) / np.float32(texture.max() - texture.min())


def _colours(rng):
    """Of the sky above and at the horizon, of clouds, and of the land far away and near."""
    sky = np.array([70, 120, 200]) + rng.normal(0, 15, 3)
    land = np.array([70, 95, 45]) + rng.normal(0, 20, 3)
    return [np.asarray(colour, np.float32) for colour in (sky, sky * 0.4 + 140, [250] * 3, land * 0.5 + sky * 0.4, land)]


def _rows(colours, height, hills, clouds, ground):
    """Some rows of the landscape: for each pixel the height in the picture, the horizon under it, and the two textures."""
    sky, haze, cloud, far, near = colours
    depth = np.clip((height - hills) / (1 - hills), 0, 1)[..., None]
    cover = np.clip(3 * clouds - 1.3, 0, 1)[..., None]
    above = (sky + (haze - sky) * height[..., None]) * (1 - cover) + cloud * cover
    below = (far + (near - far) * depth) * (0.5 + ground[..., None])
    return np.where(depth > 0, below, above)


def make(index, width, height):
    """The photograph number `index`, as the bytes of a JPEG file."""
    rng = np.random.Generator(np.random.Philox(key=index))
    colours = _colours(rng)
    hills = np.float32(rng.uniform(0.35, 0.6)) + 0.25 * (_texture(rng, width, 2, max(9, width // 5), 8)[:1] - 0.5)
    clouds = _texture(rng, width, height, max(9, width // 4), 24)
    ground = _texture(rng, width, height, max(9, width // 16), 1)
    heights = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    picture = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BAND):                     # so many rows at a time stay in the cache
        band = slice(top, top + _BAND)
        rows = _rows(colours, heights[band], hills, clouds[band], ground[band])
        rows += rng.standard_normal((*rows.shape[:2], 1), dtype=np.float32) * np.float32(9)
        picture[band] = np.clip(rows, 0, 255)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=93, subsampling=0)
    return file.getvalue()
