# SPDX-License-Identifier: Apache-2.0
"""Pickling: protocol 5 with buffers out of band, cloudpickle for functions, closures and what ``__main__`` defines.

The C extension pickles objects of plain built-in types by itself, and comes here for all others. What numpy, pandas and pyarrow have goes
out of band by their own doing; torch's tensors and PIL's images pickle their bytes in band, several copies long, and are helped here.
"""

import copyreg
import io
import pickle
import sys

import cloudpickle


_SMALL = 4096                           # bytes of a tensor that stay in the pickle
_BAND = 1 << 19                         # bytes of an image at a time


class _Pickler(cloudpickle.CloudPickler):
    def reducer_override(self, value):
        torch, images = sys.modules.get("torch"), sys.modules.get("PIL.Image")      # None: there is no such value, either
        if torch is not None and type(value) is getattr(torch, "Tensor", None):
            reduced = _reduce_tensor(value, torch)
        elif images is not None and isinstance(value, getattr(images, "Image", ())):
            reduced = _reduce_image(value)
        else:
            return super().reducer_override(value)
        return super().reducer_override(value) if reduced is NotImplemented else reduced


def _reduce_tensor(tensor, torch):
    """A dense tensor of the CPU by its bytes, in the order in which they lie; the elements of a part of another one alone."""
    if (tensor.device.type != "cpu" or tensor.layout is not torch.strided or tensor.numel() * tensor.element_size() <= _SMALL
            or tensor.is_quantized or tensor.is_conj() or tensor.is_neg() or tensor.__dict__ or tensor._backward_hooks):
        return NotImplemented
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    dense = tensor.detach().permute(order)
    if not dense.is_contiguous():
        order, dense = list(range(tensor.dim())), tensor.detach().contiguous()
    data = pickle.PickleBuffer(dense.view(-1).view(torch.uint8).numpy())
    return _tensor, (data, tensor.dtype, tuple(dense.shape), order, tensor.requires_grad)


def _tensor(data, dtype, shape, order, requires_grad):
    """A tensor of its own memory: unlike numpy's arrays torch's have no way of being read-only."""
    import numpy
    import torch
    dense = torch.empty(shape, dtype=dtype)
    dense.view(-1).view(torch.uint8).numpy()[:] = numpy.frombuffer(data, numpy.uint8)
    return dense.permute([order.index(i) for i in range(len(order))]).requires_grad_(requires_grad)


def _reduce_image(image):
    """As PIL pickles it, with the pixels, which are the last of its state, out of band."""
    make, kind, state = (*image.__reduce_ex__(5), None, None)[:3]
    if make is not copyreg.__newobj__ or kind != (type(image),) or not isinstance(state, list) or type(state[-1]) is not bytes:
        return NotImplemented
    return _image, (type(image), state[:-1], pickle.PickleBuffer(state[-1]))


def _image(kind, described, data):
    image = kind.__new__(kind)
    image.frombytes = lambda pixels: _fill(image, pixels)               # what __setstate__ calls at last
    image.__setstate__([*described, data])
    del image.frombytes
    return image


def _fill(image, pixels):
    """PIL wants bytes, and no view of the store: so many rows at a time, so that what is copied does not leave the cache."""
    import PIL.Image
    pixels = memoryview(pixels)
    row = len(pixels) // max(1, image.size[1])
    if row * image.size[1] != len(pixels) or len(pixels) <= _BAND or not hasattr(PIL.Image, "_getdecoder"):
        return PIL.Image.Image.frombytes(image, bytes(pixels))
    decoder = PIL.Image._getdecoder(image.mode, "raw", (image.mode,))
    decoder.setimage(image.im)
    band = max(1, _BAND // row) * row
    for at in range(0, len(pixels), band):
        decoder.decode(bytes(pixels[at:at + band]))


def dumps(value):
    """(pickle, buffers): the buffers are contiguous ones that stand out of band, and are copied by the caller."""
    buffers = []

    def take(buffer):
        try:
            buffer.raw()
        except BufferError:
            return True                     # not contiguous: pickle copies it
        buffers.append(buffer)
        return False

    file = io.BytesIO()
    try:
        _Pickler(file, protocol=5, buffer_callback=take).dump(value)
    except (TypeError, pickle.PicklingError, AttributeError) as e:
        raise TypeError(f"Could not serialize the value {_short(value)}: {e}. Check that it holds no open files, locks or sockets, and "
                        "that a task does not capture one from outside.") from e
    return file.getvalue(), buffers


def _short(value):
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "..."


plain_dumps, loads = pickle.dumps, pickle.loads
