# SPDX-License-Identifier: Apache-2.0
# What can be tested alone (mob_raylet_shell), and the executable.
add_library(mob_raylet_shell STATIC
    ${CMAKE_CURRENT_LIST_DIR}/stream.c
    ${CMAKE_CURRENT_LIST_DIR}/local.c
    ${CMAKE_CURRENT_LIST_DIR}/asked.c
    ${CMAKE_CURRENT_LIST_DIR}/elf.c
    ${CMAKE_CURRENT_LIST_DIR}/script.c
    ${CMAKE_CURRENT_LIST_DIR}/bundle.c
    ${CMAKE_CURRENT_LIST_DIR}/output.c
    ${CMAKE_CURRENT_LIST_DIR}/logs.c
    ${CMAKE_CURRENT_LIST_DIR}/options.c
    ${CMAKE_CURRENT_LIST_DIR}/gauge.c
    ${CMAKE_CURRENT_LIST_DIR}/weight.c
    ${CMAKE_CURRENT_LIST_DIR}/family.c
    ${CMAKE_CURRENT_LIST_DIR}/coroner.c
    ${CMAKE_CURRENT_LIST_DIR}/lag.c
    ${CMAKE_CURRENT_LIST_DIR}/guard.c)
target_link_libraries(mob_raylet_shell PUBLIC mob_common)
add_executable(mobula-raylet
    ${CMAKE_CURRENT_LIST_DIR}/main.c
    ${CMAKE_CURRENT_LIST_DIR}/shell.c
    ${CMAKE_CURRENT_LIST_DIR}/world.c
    ${CMAKE_CURRENT_LIST_DIR}/spill.c
    ${CMAKE_CURRENT_LIST_DIR}/session.c
    ${CMAKE_CURRENT_LIST_DIR}/hello.c
    ${CMAKE_CURRENT_LIST_DIR}/resident.c
    ${CMAKE_CURRENT_LIST_DIR}/program.c
    ${CMAKE_CURRENT_LIST_DIR}/spawn.c
    ${CMAKE_CURRENT_LIST_DIR}/fork.c
    ${CMAKE_CURRENT_LIST_DIR}/channels.c
    ${CMAKE_CURRENT_LIST_DIR}/reap.c)
target_link_libraries(mobula-raylet PRIVATE
    mob_raylet_shell mob_raylet_core mob_store mob_disk mob_bulk mob_rpc mob_common PkgConfig::JANSSON)
install(TARGETS mobula-raylet RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT run)
