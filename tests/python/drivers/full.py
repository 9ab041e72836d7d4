# SPDX-License-Identifier: Apache-2.0
"""COUNT blocks of BYTES, of which the driver puts PUTS: so tasks on its node find no room, and are tried again elsewhere."""

import sys

import mobula as ray


@ray.remote(num_returns=2)
def block(i, size):
    return bytes([i]) * size, ray.get_runtime_context().get_attempt_number()


@ray.remote
def first(data):
    return data[0], len(data)


puts, count, size = map(int, sys.argv[1:])
ray.init()
blocks = [ray.put(bytes([i]) * size) for i in range(puts)]
made = [block.remote(i, size) for i in range(puts, count)]
attempts = ray.get([attempt for _, attempt in made])
blocks += [data for data, _ in made]
assert ray.get([first.remote(b) for b in blocks]) == [(i, size) for i in range(count)]
print(count, "blocks, some at a second attempt" if max(attempts) > 0 else "blocks")
