# SPDX-License-Identifier: Apache-2.0
"""Pickling: protocol 5 with buffers out of band, cloudpickle for functions, closures and what ``__main__`` defines.

The C extension pickles objects of plain built-in types by itself, and comes here for all others. What numpy, pandas and pyarrow have goes
out of band by their own doing, but for numpy's dates, which have no buffer: here they go as the numbers that they are, those of pandas,
too. torch's tensors and PIL's images pickle their bytes in band, several copies long, and are helped here.
"""

import copyreg
import inspect
import io
import pickle
import sys

import cloudpickle

_FEW = 512                              # dates that stay in the pickle
_SMALL = 4096                           # bytes of a tensor that stay in the pickle
_BAND = 1 << 19                         # bytes of an image at a time
_DEPTH_MAX, _PARTS_MAX, _SHORT_MAX = 5, 1000, 120


def dumps(value, call=False):
    """(pickle, buffers): the buffers are contiguous ones that stand out of band, and are copied by the caller. call: the value is
    the (args, kwargs, ...) of one."""
    buffers = []

    def take(buffer):
        try:
            buffer.raw()
        except BufferError:
            return True                     # not contiguous: pickle copies it
        buffers.append(buffer)
        return False

    try:
        return _pickled(value, take), buffers
    except MemoryError:
        raise
    except Exception as e:
        raise TypeError(_why_not(value, call, e)) from e


class Function:
    """A function and its name: they arrive as a tuple."""

    def __init__(self, function, name):
        self.function, self.name = function, name

    def __reduce__(self):
        return tuple, ((self.function, self.name),)


class _Pickler(cloudpickle.CloudPickler):
    def reducer_override(self, value):
        reduced = _reduce(value)
        return super().reducer_override(value) if reduced is NotImplemented else reduced


def _reduce(value):
    """Of what libraries have that the program has loaded: without one there is no such value, either."""
    numpy, torch, images = (sys.modules.get(name) for name in ("numpy", "torch", "PIL.Image"))
    if numpy is not None and type(value) is numpy.ndarray:
        return _reduce_dates(value, numpy)
    if torch is not None and type(value) is getattr(torch, "Tensor", None):
        return _reduce_tensor(value, torch)
    if images is not None and isinstance(value, getattr(images, "Image", ())):
        return _reduce_image(value)
    return NotImplemented


def _reduce_dates(array, numpy):
    if array.dtype.kind not in "mM" or array.size <= _FEW:
        return NotImplemented
    return _dates, (array.view(numpy.int64), array.dtype)


def _dates(numbers, dtype):
    return numbers.view(dtype)


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


def _pickled(value, take):
    file = io.BytesIO()
    _Pickler(file, protocol=5, buffer_callback=take).dump(value)
    return file.getvalue()


# -- what cannot be pickled ----------------------------------------------------------------------------------------------------

def _why_not(value, call, error):
    if isinstance(value, Function):
        what, culprit = "the function", value.function
    elif call:
        inner = [(f"the argument {name}", arg) for name, arg in [*enumerate(value[0]), *value[1].items()]]
        what, culprit = next((pair for pair in inner if not _is_picklable(pair[1])), ("the arguments", value))
    else:
        what, culprit = "the value", value
    path, part = _culprit(culprit, 0)
    inside = f": it holds {_short(part)} as {path.lstrip()}, and" if path else ":"
    return (f"Could not serialize {what} {_short(culprit)}{inside} {error}. Files, locks, sockets and what else is this process's alone "
            "cannot go to a task: open or make it inside the task, pass what it is made of, or leave it out by __getstate__().")


def _is_picklable(value):
    try:
        _pickled(value, lambda buffer: False)
    except Exception:
        return False
    return True


def _parts(value):
    """(how it is reached, part) of what a value is made of."""
    if isinstance(value, dict):
        return [(f"[{_short(key)}]", part) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{i}]", part) for i, part in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return [(" member", part) for part in value]
    if inspect.isfunction(value):
        captured = inspect.getclosurevars(value)
        return [(f" the captured {name}", part) for name, part in {**captured.globals, **captured.nonlocals}.items()]
    return [(f".{name}", part) for name, part in getattr(value, "__dict__", {}).items()] if not inspect.isclass(value) else []


def _culprit(value, depth):
    """(how it is reached, part): the innermost part that cannot be pickled, so far as that can be seen."""
    if depth < _DEPTH_MAX:
        for path, part in _parts(value)[:_PARTS_MAX]:
            if not _is_picklable(part):
                inner, culprit = _culprit(part, depth + 1)
                return path + inner, culprit
    return "", value


def _short(value):
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) < _SHORT_MAX else text[:_SHORT_MAX] + "..."


plain_dumps, loads = pickle.dumps, pickle.loads
