# SPDX-License-Identifier: Apache-2.0
# Programs that do what one must not do; the scripts 3*.sh run them.
foreach(name words tasks bytes bystander)
    if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/bad_${name}.c)
        add_executable(bad_${name} ${CMAKE_CURRENT_LIST_DIR}/bad_${name}.c)
        target_link_libraries(bad_${name} PRIVATE mobula Threads::Threads)
    endif()
endforeach()
