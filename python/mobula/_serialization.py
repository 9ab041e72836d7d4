# SPDX-License-Identifier: Apache-2.0
"""Pickling: protocol 5 with buffers out of band, cloudpickle for functions, closures and what ``__main__`` defines.

The C extension pickles objects of plain built-in types by itself, and comes here for all others. What numpy, pandas and pyarrow have goes
out of band by their own doing, but for numpy's dates, which have no buffer: here they go as the numbers that they are, those of pandas,
too. torch's tensors, PIL's images, array.array, numpy's subclasses, and parts of arrays whose elements do not lie one after the other
pickle their bytes in band, several copies long, and are helped here.
"""

import copyreg
import dataclasses
import functools
import inspect
import pickle
import sys

import cloudpickle

from mobula import _core

_SMALL = 4096                           # bytes of an array or a tensor that stay in the pickle
_BAND = 1 << 19                         # bytes of an image at a time
# By which dataclasses tells what a field is: a class of __main__ that comes back has to find them again.
_SENTINELS = {id(getattr(dataclasses, name)): name for name in ("MISSING", "KW_ONLY", "_FIELD", "_FIELD_CLASSVAR", "_FIELD_INITVAR",
                                                                "_HAS_DEFAULT_FACTORY") if hasattr(dataclasses, name)}
_CACHED = type(functools.lru_cache(id))
registered: dict = {}                    # class -> (what makes something else of it, what makes it of that): the user's
_DEPTH_MAX, _PARTS_MAX, _SHORT_MAX = 5, 1000, 120


def dumps(value, call=False):
    """(pieces of the pickle, buffers): large bytes objects of the value are pieces themselves, and the buffers stand out of band; both are
    copied by the caller. call: the value is the (args, kwargs, ...) of one."""
    buffers = []
    try:
        return _pickled(value, buffers), buffers
    except MemoryError:
        raise
    except Exception as e:
        raise TypeError(_why_not(value, call, e)) from e


class Function:
    """A function and its name: they arrive as a tuple. The name comes first, so that the worker knows it if the function does not arrive."""

    def __init__(self, function, name):
        self.function, self.name = function, name

    def __reduce__(self):
        return _function, (_Name(self.name), self.function)


class _Name:
    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        return _core.function_named, (self.name,)


def _function(name, function):
    return function, name


class _Pieces(list):
    """A file for a pickler, which hands large bytes objects over as they are."""

    write = list.append


class _Pickler(cloudpickle.CloudPickler):
    strided: dict = {}                      # id of a PickleBuffer -> the array whose elements stand in its place, one after the other

    def reducer_override(self, value):
        reduced = _reduce(value, self.strided)
        return super().reducer_override(value) if reduced is NotImplemented else reduced


def _pickled(value, buffers):
    strided = {}

    def take(buffer):
        buffers.append(strided.pop(id(buffer), buffer))
        return False

    pieces = _Pieces()
    pickler = _Pickler(pieces, protocol=5, buffer_callback=take)
    pickler.strided = strided
    pickler.dump(value)
    return pieces


class _Trial(_Pickler):
    def reducer_override(self, value):
        return (str, ()) if isinstance(value, _core.Ref) else super().reducer_override(value)


def try_dumps(value):
    """Raises what keeps the value from being pickled; a reference does not, though only what is sent can hold one."""
    pickler = _Trial(_Pieces(), protocol=5, buffer_callback=lambda buffer: False)
    pickler.strided = {}
    pickler.dump(value)


def _reduce(value, strided):
    """Of what libraries have that the program has loaded: without one there is no such value, either."""
    if type(value) in registered:
        to, back = registered[type(value)]
        return _restored, (back, to(value))
    if id(value) in _SENTINELS:
        return _SENTINELS[id(value)]        # its name: there is one of it
    numpy, torch, images, arrays = (sys.modules.get(name) for name in ("numpy", "torch", "PIL.Image", "array"))
    if numpy is not None and isinstance(value, numpy.ndarray):
        return _reduce_array(value, numpy, strided)
    if torch is not None and type(value) is getattr(torch, "Tensor", None):
        return _reduce_tensor(value, torch)
    if images is not None and isinstance(value, getattr(images, "Image", ())):
        return _reduce_image(value)
    if arrays is not None and type(value) is arrays.array and len(value) * value.itemsize > _SMALL:
        return _array, (value.typecode, pickle.PickleBuffer(value))
    if type(value) is functools.cached_property:
        return _cached_property, (value.func, value.attrname)           # without its lock
    if type(value) is _CACHED and (value.__module__ == "__main__" or "<locals>" in value.__qualname__):
        return _cached, (value.__wrapped__, value.cache_parameters())   # without what it remembers
    return NotImplemented


def _restored(back, reduced):
    return back(reduced)


def _cached_property(function, name):
    made = functools.cached_property(function)
    made.attrname = name
    return made


def _cached(function, parameters):
    return functools.lru_cache(**parameters)(function)


def _array(typecode, data):
    import array
    made = array.array(typecode)
    made.frombytes(data)
    return made


# -- numpy's: what it does not put out of band by itself -----------------------------------------------------------------------------

def _reduce_array(array, numpy, strided):
    if array.dtype.hasobject or array.size * array.itemsize <= _SMALL:
        return NotImplemented
    if type(array) is not numpy.ndarray:
        return _reduce_kind_of_array(array, numpy)
    if array.dtype.kind in "mM":
        return _dates, (array.view(numpy.int64), array.dtype)
    if array.flags.forc:
        return NotImplemented
    order = sorted(range(array.ndim), key=lambda i: abs(array.strides[i]), reverse=True)
    back = [order.index(i) for i in range(array.ndim)]
    dense = array.transpose(order)
    if dense.flags.c_contiguous:
        return _transposed, (dense, back)
    buffer = pickle.PickleBuffer(b"")       # pickle refuses one of a part of something
    strided[id(buffer)] = dense.view((numpy.void, array.itemsize))
    return _elements, (buffer, array.dtype, dense.shape, back)


def _transposed(dense, order):
    return dense.transpose(order)


def _elements(data, dtype, shape, order):
    import numpy
    return numpy.frombuffer(data, dtype).reshape(shape).transpose(order)


def _reduce_kind_of_array(array, numpy):
    """Of a subclass: masked ones, and those that numpy itself would pickle. They arrive as the reader's own."""
    kind, base = type(array), numpy.ndarray
    if kind is numpy.ma.MaskedArray and array.baseclass is base:
        return _masked, (array.data, numpy.ma.getmaskarray(array), array._fill_value, array.hardmask)
    if all(getattr(kind, name, None) is getattr(base, name) for name in ("__reduce__", "__reduce_ex__", "__setstate__")):
        return _kind_of_array, (kind, array.view(base))
    return NotImplemented


def _masked(data, mask, fill_value, hard):
    import numpy
    made = numpy.ma.MaskedArray(numpy.array(data), mask=numpy.array(mask), hard_mask=hard)
    made._fill_value = fill_value
    return made


def _kind_of_array(kind, array):
    return array.copy(order="K").view(kind)


def _dates(numbers, dtype):
    return numbers.view(dtype)


# -- torch's and PIL's ---------------------------------------------------------------------------------------------------------------

def _reduce_tensor(tensor, torch):
    """A dense tensor of the CPU by its elements, as numbers of their size, in the order in which they lie; those of a part of another one
    alone."""
    if (tensor.device.type != "cpu" or tensor.layout is not torch.strided or tensor.numel() * tensor.element_size() <= _SMALL
            or tensor.is_quantized or tensor.is_conj() or tensor.is_neg() or tensor.__dict__ or tensor._backward_hooks):
        return NotImplemented
    return _tensor, (tensor.detach().view(_numbers(tensor, torch)).numpy(), tensor.dtype, tensor.requires_grad)


def _numbers(tensor, torch):
    return {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.complex128}[tensor.element_size()]


def _tensor(elements, dtype, requires_grad):
    """A tensor of its own memory: unlike numpy's arrays torch's have no way of being read-only."""
    import torch
    order = sorted(range(elements.ndim), key=lambda i: elements.strides[i], reverse=True)
    dense = torch.empty([elements.shape[i] for i in order], dtype=dtype)
    tensor = dense.permute([order.index(i) for i in range(elements.ndim)])
    tensor.view(_numbers(tensor, torch)).numpy()[...] = elements
    return tensor.requires_grad_(requires_grad)


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
        _pickled(value, [])
    except Exception:
        return False
    return True


def parts(value):
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
    own = getattr(value, "__dict__", {}).items()
    if inspect.isclass(value):              # of __main__: it goes by what it is made of
        return [(f".{name}", part) for name, part in own if not name.startswith("__") and not inspect.isdatadescriptor(part)]
    if inspect.ismethod(value):
        return [(".__self__", value.__self__)]
    return [(f".{name}", part) for name, part in own]


def _culprit(value, depth):
    """(how it is reached, part): the innermost part that cannot be pickled, so far as that can be seen."""
    if depth < _DEPTH_MAX:
        for path, part in parts(value)[:_PARTS_MAX]:
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


def flat(buffer):
    """A buffer as it arrives."""
    view = memoryview(buffer)
    return view if view.contiguous else view.tobytes()


plain_dumps, loads = pickle.dumps, pickle.loads
