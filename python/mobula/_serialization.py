# SPDX-License-Identifier: Apache-2.0
"""Pickling: protocol 5 with buffers out of band, cloudpickle for functions, closures and what ``__main__`` defines.

The C extension pickles objects of plain built-in types by itself, and comes here for all others.
"""

import io
import pickle

import cloudpickle


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
        cloudpickle.CloudPickler(file, protocol=5, buffer_callback=take).dump(value)
    except (TypeError, pickle.PicklingError, AttributeError) as e:
        raise TypeError(f"Could not serialize the value {_short(value)}: {e}. Check that it holds no open files, locks or sockets, and "
                        "that a task does not capture one from outside.") from e
    return file.getvalue(), buffers


def _short(value):
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "..."


plain_dumps, loads = pickle.dumps, pickle.loads
