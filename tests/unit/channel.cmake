# SPDX-License-Identifier: Apache-2.0
mob_unit_test(channel mob_common)
mob_unit_test(channel_threads mob_common)

# The sources under test are compiled anew, with their atomic operations turned into steps: `header` is included before all else.
function(mob_interleave_test name header)
    if(MOB_SANITIZE)            # it switches stacks by itself, and has one thread
        return()
    endif()
    list(TRANSFORM ARGN PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE sources)
    add_library(${name}_steps OBJECT ${sources})
    add_executable(test_${name} test_${name}.c interleave.c)
    target_compile_options(${name}_steps PRIVATE -include ${CMAKE_CURRENT_SOURCE_DIR}/${header})
    target_compile_options(test_${name} PRIVATE -include ${CMAKE_CURRENT_SOURCE_DIR}/interleave.h)
    target_link_libraries(${name}_steps PRIVATE mob_common)
    target_link_libraries(test_${name} PRIVATE ${name}_steps mob_common PkgConfig::CHECK Threads::Threads)
    add_test(NAME unit/${name} COMMAND test_${name})
    set_tests_properties(unit/${name} PROPERTIES TIMEOUT 300 LABELS unit)
endfunction()
mob_interleave_test(interleave interleave.h common/doorbell.c common/channel.c common/channel_owner.c common/channel_worker.c)
get_target_property(store mob_store SOURCES)
list(TRANSFORM store PREPEND objstore/)
mob_interleave_test(interleave_pins interleave_store.h common/mem.c common/map.c ${store})
