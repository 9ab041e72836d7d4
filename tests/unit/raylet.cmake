# SPDX-License-Identifier: Apache-2.0
foreach(name wants demand withdraw head claim pool death questions stage rules proxy store pressure full drain random)
    mob_unit_test(raylet_${name} mob_raylet_core mob_store mob_common)
    target_sources(test_raylet_${name} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/raylet_fake.c)
endforeach()
mob_unit_test(victim mob_raylet_core mob_store mob_common)
