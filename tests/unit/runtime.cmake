# SPDX-License-Identifier: Apache-2.0
mob_unit_test(executor mob_owner)
mob_unit_test(fold mobula_static)
mob_unit_test(heap mobula_static)
foreach(name runtime_life runtime_api)
    mob_unit_test(${name} mobula_static)
    target_sources(test_${name} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/played_raylet.c)
endforeach()

# The shared library exports what mobula.h declares and nothing else; the header is C++, too.
mob_unit_test(runtime_symbols mobula ${CMAKE_DL_LIBS})
target_compile_definitions(test_runtime_symbols PRIVATE MOB_HEADER="${CMAKE_SOURCE_DIR}/include/mobula.h"
    MOB_LIBRARY="$<TARGET_FILE:mobula>" MOB_SCRATCH="${CMAKE_CURRENT_BINARY_DIR}")
