# SPDX-License-Identifier: Apache-2.0
mob_unit_test(placement mob_head_core mob_common)
foreach(name membership demand claim query explain head_state head_drain state_file)
    mob_unit_test(${name} mob_head_core mob_common PkgConfig::JANSSON)
    target_sources(test_${name} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/head_fake.c)
endforeach()
target_link_libraries(test_state_file PRIVATE mob_head_state PkgConfig::SQLITE)
mob_unit_test(events mob_head_events mob_common PkgConfig::JANSSON)
