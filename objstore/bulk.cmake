# SPDX-License-Identifier: Apache-2.0
add_library(mob_bulk STATIC bulk.c bulk_stream.c bulk_serve.c bulk_listen.c bulk_fetch.c bulk_peer.c bulk_incoming.c bulk_wire.c bulk_sum.c)
target_link_libraries(mob_bulk PUBLIC mob_common PRIVATE PkgConfig::XXHASH)
