# SPDX-License-Identifier: Apache-2.0
# The raylet's core: pure state machines behind struct mob_world; and that of templates, which its shell runs.
add_library(mob_raylet_core STATIC
    ${CMAKE_CURRENT_LIST_DIR}/raylet.c
    ${CMAKE_CURRENT_LIST_DIR}/dispatch.c
    ${CMAKE_CURRENT_LIST_DIR}/membership.c
    ${CMAKE_CURRENT_LIST_DIR}/report.c
    ${CMAKE_CURRENT_LIST_DIR}/outbox.c
    ${CMAKE_CURRENT_LIST_DIR}/explain.c
    ${CMAKE_CURRENT_LIST_DIR}/memory.c
    ${CMAKE_CURRENT_LIST_DIR}/poll.c
    ${CMAKE_CURRENT_LIST_DIR}/route.c
    ${CMAKE_CURRENT_LIST_DIR}/process.c
    ${CMAKE_CURRENT_LIST_DIR}/question.c
    ${CMAKE_CURRENT_LIST_DIR}/near.c
    ${CMAKE_CURRENT_LIST_DIR}/stage.c
    ${CMAKE_CURRENT_LIST_DIR}/want.c
    ${CMAKE_CURRENT_LIST_DIR}/demand.c
    ${CMAKE_CURRENT_LIST_DIR}/claim.c
    ${CMAKE_CURRENT_LIST_DIR}/node_resources.c
    ${CMAKE_CURRENT_LIST_DIR}/lease.c
    ${CMAKE_CURRENT_LIST_DIR}/pool.c
    ${CMAKE_CURRENT_LIST_DIR}/pressure.c
    ${CMAKE_CURRENT_LIST_DIR}/victim.c
    ${CMAKE_CURRENT_LIST_DIR}/full.c
    ${CMAKE_CURRENT_LIST_DIR}/template.c
    ${CMAKE_CURRENT_LIST_DIR}/recall.c
    ${CMAKE_CURRENT_LIST_DIR}/drain.c
    ${CMAKE_CURRENT_LIST_DIR}/move.c
    ${CMAKE_CURRENT_LIST_DIR}/seek.c
    ${CMAKE_CURRENT_LIST_DIR}/borrowed.c
    ${CMAKE_CURRENT_LIST_DIR}/proxy.c
    ${CMAKE_CURRENT_LIST_DIR}/cancel.c
    ${CMAKE_CURRENT_LIST_DIR}/certificate.c
    ${CMAKE_CURRENT_LIST_DIR}/death.c
    ${CMAKE_CURRENT_LIST_DIR}/check.c)
target_link_libraries(mob_raylet_core PUBLIC mob_common mob_store)
