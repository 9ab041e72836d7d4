# SPDX-License-Identifier: Apache-2.0
mob_unit_test(local mob_raylet_shell)
mob_unit_test(output mob_raylet_shell)
mob_unit_test(logs mob_raylet_shell)
mob_unit_test(elf mob_raylet_shell)
mob_unit_test(bundle mob_raylet_shell)
mob_unit_test(raylet_options mob_raylet_shell)
mob_unit_test(guard mob_raylet_shell)
mob_unit_test(family mob_raylet_shell)
mob_unit_test(template mob_raylet_shell)
mob_unit_test(resident mob_raylet_shell mob_store)
target_sources(test_resident PRIVATE ${PROJECT_SOURCE_DIR}/raylet/resident.c ${PROJECT_SOURCE_DIR}/raylet/spawn.c
    ${PROJECT_SOURCE_DIR}/raylet/reap.c ${PROJECT_SOURCE_DIR}/raylet/fork.c)
