# SPDX-License-Identifier: Apache-2.0
mob_unit_test(launch mob_common)
mob_unit_test(cli mob_common)
target_sources(test_cli PRIVATE ${CMAKE_SOURCE_DIR}/cli/args.c ${CMAKE_SOURCE_DIR}/cli/print.c)
target_link_libraries(test_cli PRIVATE PkgConfig::JANSSON)
