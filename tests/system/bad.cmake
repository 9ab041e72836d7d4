# SPDX-License-Identifier: Apache-2.0
# Programs that do what one must not do; the scripts 3*.sh run them.
function(mob_bad_program name)
    add_executable(bad_${name} ${CMAKE_CURRENT_LIST_DIR}/bad_${name}.c)
    target_link_libraries(bad_${name} PRIVATE ${ARGN} Threads::Threads)
endfunction()
mob_bad_program(words mobula)
mob_bad_program(tasks mobula)
mob_bad_program(bystander mobula)
mob_bad_program(bytes mob_common mob_proto)
mob_bad_program(link mob_rpc mob_common mob_proto mob_grpc)
mob_bad_program(peer mob_rpc mob_common mob_proto mob_grpc)
mob_bad_program(parent mobula)
mob_bad_program(bomb mobula)
mob_bad_program(program mobula ${CMAKE_DL_LIBS})
mob_bad_program(box)
foreach(name clock reap)                # to be preloaded
    add_library(bad_${name} MODULE ${CMAKE_CURRENT_LIST_DIR}/bad_${name}.c)
    set_target_properties(bad_${name} PROPERTIES C_VISIBILITY_PRESET default COMPILE_OPTIONS -fvisibility=default
        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests PREFIX "")
endforeach()
