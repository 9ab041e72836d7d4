# SPDX-License-Identifier: Apache-2.0
# The driver of the system tests. Its name begins as our daemons' do, so that lib.sh finds what it leaves.
if(TARGET mobula)
    add_executable(test_system_tasks helpers.c tasks.c scenes_calls.c scenes_failures.c scenes_places.c scenes_cancel.c scenes_deaths.c scenes_refs.c
                   scenes_taken.c scenes_transfer.c scenes_streams.c scenes_memory.c)
    set_target_properties(test_system_tasks PROPERTIES OUTPUT_NAME mobula-tasks RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_link_libraries(test_system_tasks PRIVATE mobula Threads::Threads)
endif()
if(TARGET mobula)
    add_executable(test_system_store store.c)
    set_target_properties(test_system_store PROPERTIES OUTPUT_NAME mobula-store RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_link_libraries(test_system_store PRIVATE mobula Threads::Threads)
endif()
if(TARGET mobula)
    add_executable(test_system_chaos chaos.c chaos_seed.c)
    set_target_properties(test_system_chaos PROPERTIES OUTPUT_NAME mobula-chaos RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_link_libraries(test_system_chaos PRIVATE mobula Threads::Threads)
endif()
# What stands for netem in the lab where the kernel has none.
add_executable(lab_cable ${CMAKE_CURRENT_LIST_DIR}/../hosts/cable.c)
set_target_properties(lab_cable PROPERTIES OUTPUT_NAME lab-cable RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
