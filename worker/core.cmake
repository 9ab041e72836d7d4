# SPDX-License-Identifier: Apache-2.0
# The owner core: pure (common/world.h).
add_library(mob_owner STATIC owner.c task.c backoff.c body.c kind.c shape.c lease.c lineage.c rest.c lost.c stage.c near.c room.c push.c
    local.c remote.c answer.c object.c copies.c watch.c hold.c borrow.c orphan.c contents.c references.c explain.c event.c certificate.c
    slab.c stream.c)
target_link_libraries(mob_owner PUBLIC mob_common mob_proto PkgConfig::JANSSON)
