# SPDX-License-Identifier: Apache-2.0
mob_unit_test(channel mob_common)
mob_unit_test(channel_threads mob_common)

# The sources under test are compiled anew, with their atomic operations turned into steps (interleave.h).
set(common ${CMAKE_SOURCE_DIR}/common)
add_executable(test_interleave test_interleave.c interleave.c
    ${common}/doorbell.c ${common}/channel.c ${common}/channel_owner.c ${common}/channel_worker.c)
target_compile_options(test_interleave PRIVATE -include ${CMAKE_CURRENT_SOURCE_DIR}/interleave.h)
target_link_libraries(test_interleave PRIVATE mob_common PkgConfig::CHECK Threads::Threads)
if(NOT MOB_SANITIZE)        # it switches stacks by itself, and has one thread
    add_test(NAME unit/interleave COMMAND test_interleave)
    set_tests_properties(unit/interleave PROPERTIES TIMEOUT 300 LABELS unit)
endif()
