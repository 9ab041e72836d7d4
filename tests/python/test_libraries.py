# SPDX-License-Identifier: Apache-2.0
"""Values of the libraries that people use with numpy: how torch's, PIL's, pandas's and pyarrow's travel, and how often they are copied."""

import array
import io
import os
import subprocess
import sys
import unittest
import warnings

import numpy
import pandas
import pyarrow
import torch
import torchvision
from PIL import Image

import mobula as ray
from mobula import _serialization

warnings.simplefilter("error")          # a view of read-only memory, for instance


@ray.remote
def same(value):
    return value


def in_band(value):
    """How many bytes of the value stand in its pickle, and how many are copied but once: beside it, or as a piece of their own."""
    pieces, buffers = _serialization.dumps(value)
    own = [piece for piece in pieces if len(piece) >= 1 << 16]
    return sum(map(len, pieces)) - sum(map(len, own)), sum(memoryview(buffer).nbytes for buffer in [*own, *buffers])


class Tensors(unittest.TestCase):
    def test_layouts_and_types(self):
        base = torch.arange(60000, dtype=torch.float32).reshape(30, 40, 50)
        for tensor in (base, base.permute(2, 0, 1), base.transpose(0, 1), base[::2, ::3], base[1:, 2], base.expand(2, 30, 40, 50),
                       base.to(torch.bfloat16), base > 7, base.to(torch.complex64), torch.tensor(5), torch.empty(0, 3),
                       torch.nn.Parameter(base.clone()), base.clone().requires_grad_(), base.to_sparse(), base.to(torch.complex64).conj()):
            for got in (ray.get(ray.put(tensor)), ray.get(same.remote(tensor))):
                self.assertIs(type(got), type(tensor))
                self.assertEqual((got.dtype, got.shape, got.requires_grad), (tensor.dtype, tensor.shape, tensor.requires_grad))
                self.assertTrue(torch.equal(got.to_dense(), tensor.to_dense()))
        got = ray.get(ray.put(base.permute(2, 0, 1)))
        self.assertEqual(got.stride(), base.permute(2, 0, 1).stride())

    def test_what_arrives_is_ones_own(self):
        tensor = torch.zeros(1 << 18)
        ref = ray.put(tensor)
        ray.get(ref).add_(1)
        self.assertTrue(torch.equal(ray.get(ref), tensor))

    def test_bytes_stand_beside_the_pickle(self):
        big = torch.zeros(1000, 1000)
        for tensor, size in ((big, 4000000), (big.T, 4000000), (big[:10], 40000), (big[:, :10], 40000)):
            pickled, beside = in_band(tensor)
            self.assertLess(pickled, 500)
            self.assertEqual(beside, size)

    def test_a_model(self):
        model = torchvision.models.resnet18(weights=None).eval()
        again = ray.get(same.remote(model))
        self.assertEqual(model.state_dict().keys(), again.state_dict().keys())
        for one, other in zip(model.state_dict().values(), again.state_dict().values()):
            self.assertTrue(torch.equal(one, other))
        pickled, beside = in_band(model)
        self.assertGreater(beside, 50 * pickled)

    def test_one_tensor_twice_is_one(self):
        tensor = torch.zeros(1 << 18)
        one, other = ray.get(ray.put([tensor, tensor]))
        self.assertIs(one, other)


class Arrays(unittest.TestCase):
    base = numpy.arange(120000.0).reshape(30, 40, 100)

    def same(self, value):
        for got in ray.get(ray.put(value)), ray.get(same.remote(value)):
            self.assertIs(type(got), type(value))
            self.assertEqual((got.dtype, got.shape), (value.dtype, value.shape))
            self.assertTrue(numpy.array_equal(numpy.asarray(got), numpy.asarray(value)))
        return got

    def test_parts_are_copied_once_in_the_order_of_their_elements(self):
        base, rows = self.base, numpy.zeros(9000, dtype=[("a", "i4"), ("b", "f8")])
        rows["a"] = numpy.arange(9000)
        for part in (base.transpose(2, 0, 1), base[:, ::2], base[::3, 5:20], base[1:, :, 3:], base[::-1], base[:, :, ::-1].T, rows["b"],
                     rows[::2], numpy.broadcast_to(numpy.arange(3000.0), (4, 3000)), (base + 1j)[:, ::2], (base > 7)[::2],
                     (base % 999).astype("f2")[:, ::3], base.astype(">f8")[:, ::2], numpy.array([f"w{i}" for i in range(9000)])[::2],
                     numpy.arange(20000).astype("M8[s]")[::2]):
            with self.subTest(str((part.dtype, part.shape, part.strides))):
                self.assertFalse(self.same(part).flags.writeable)
                pickled, beside = in_band(part)
                self.assertLess(pickled, 500)
                self.assertEqual(beside, part.nbytes)

    def test_subclasses_arrive_as_ones_own(self):
        path = f"/tmp/mobula-test-{os.getpid()}.array"
        self.base.tofile(path)
        self.addCleanup(os.unlink, path)
        mapped = numpy.memmap(path, dtype="f8", shape=(300, 400))
        records = numpy.zeros(5000, dtype=[("a", "i4"), ("b", "f8")]).view(numpy.recarray)
        for array in mapped, mapped.T, records, numpy.ma.masked_array(self.base), numpy.ma.masked_array(self.base, self.base > 7, fill_value=3):
            with self.subTest(type(array).__name__):
                self.assertTrue(self.same(array).flags.writeable)
                self.assertLess(in_band(array)[0], 500)
        got = self.same(array)
        self.assertEqual((got.fill_value, got.hardmask), (3, False))
        self.assertTrue(numpy.array_equal(got.mask, array.mask))

    def test_bytes_are_pieces_of_a_pickle(self):
        text = os.urandom(1 << 20)
        for value in text, bytearray(text), [text, {"a": bytearray(text)}], io.BytesIO(text), array.array("b", text), array.array("q", text):
            with self.subTest(type(value).__name__):
                got = ray.get(same.remote(value))
                self.assertIs(type(got), type(value))
                self.assertEqual(got.getvalue() if isinstance(got, io.BytesIO) else got, text if isinstance(got, io.BytesIO) else value)
                pickled, alone = in_band(value)
                self.assertLess(pickled, 200)
                self.assertGreaterEqual(alone, 1 << 20)
        one, other = ray.get(ray.put([text, text]))
        self.assertIs(one, other)


class Images(unittest.TestCase):
    def setUp(self):
        noise = numpy.random.default_rng(0).integers(0, 256, (999, 1001, 3), dtype=numpy.uint8)
        self.image = Image.fromarray(noise)

    def test_modes(self):
        small = self.image.crop((0, 0, 5, 7))
        modes = "RGB", "RGBA", "L", "1", "P", "F", "I", "CMYK", "YCbCr"
        images = [image.convert(mode) for image in (self.image, small) for mode in modes]
        images += [Image.new("RGB", (1, 1))]
        images[0].info["dpi"] = (72, 72)
        for image in images:
            for got in (ray.get(ray.put(image)), ray.get(same.remote(image))):
                self.assertEqual((got.mode, got.size, got.info, got.getpalette()), (image.mode, image.size, image.info, image.getpalette()))
                self.assertEqual(got.tobytes(), image.tobytes())

    def test_pixels_stand_beside_the_pickle(self):
        pickled, beside = in_band([self.image])
        self.assertLess(pickled, 500)
        self.assertEqual(beside, 999 * 1001 * 3)

    def test_of_a_file(self):
        path = f"/tmp/mobula-test-{os.getpid()}.png"
        try:
            self.image.save(path)
            with Image.open(path) as opened:
                got = ray.get(same.remote(opened))
        finally:
            os.unlink(path)
        self.assertEqual(got.tobytes(), self.image.tobytes())
        got.putpixel((0, 0), (1, 2, 3))
        self.assertEqual(got.resize((10, 20)).size, (10, 20))


class Tables(unittest.TestCase):
    def test_pandas_and_pyarrow_stand_beside_the_pickle(self):
        columns = {"number": numpy.arange(100000.0), "other": numpy.arange(100000)}
        frame, batch = pandas.DataFrame(columns), pyarrow.record_batch(columns)
        for value in (frame, batch, pyarrow.Table.from_batches([batch])):
            pickled, beside = in_band(value)
            self.assertLess(pickled, 2000)
            self.assertEqual(beside, 1600000)
            self.assertTrue(ray.get(same.remote(value)).equals(value))

    def test_batches_are_looked_at_where_they_lie(self):
        ref = ray.put(pyarrow.record_batch({"number": numpy.arange(100000.0)}))
        one, other = (ray.get(ref).column(0).buffers()[1].address for _ in range(2))
        self.assertEqual(one, other)


class Errors(unittest.TestCase):
    def test_one_that_holds_arrays_keeps_its_type(self):
        @ray.remote
        def fail():
            raise ValueError(numpy.arange(3), torch.zeros(10000))
        with self.assertRaises(ValueError) as caught:
            ray.get(fail.remote())
        self.assertEqual(caught.exception.args[1].shape, (10000,))


class Templates(unittest.TestCase):
    def test_they_can_be_loaded_by_a_process_that_forks_workers(self):
        """No thread, no connection, no child is left of their imports."""
        loads = ("from mobula import _template; before = _template._descriptors(); "
                 "_template._load(['torch', 'torchvision', 'pandas', 'pyarrow.parquet', 'PIL.Image', 'matplotlib.pyplot', 'tqdm']); "
                 "print(_template._obstacle(before))")
        self.assertEqual(subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True).stdout, "None\n")


if __name__ == "__main__":
    ray.init(num_cpus=2)
    unittest.main()
