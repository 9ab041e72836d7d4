# SPDX-License-Identifier: Apache-2.0
# libmobula: the runtime around the owner core. Shared, with only mob_* of mobula.h visible; and static.
set(MOB_RUNTIME_SOURCES
    runtime.c pump.c inbox.c socket.c store_call.c world.c output.c fold.c
    init.c join.c worker_main.c heap.c
    function.c call_api.c carried.c object_api.c get_api.c waitset.c task_api.c stream_api.c cluster_api.c explain_api.c)
set(MOB_RUNTIME_LIBRARIES mob_owner mob_store mob_common mob_proto PkgConfig::JANSSON Threads::Threads ${CMAKE_DL_LIBS})

add_library(mobula SHARED ${MOB_RUNTIME_SOURCES})
target_link_libraries(mobula PRIVATE ${MOB_RUNTIME_LIBRARIES})
# --as-needed: common's archive is linked with the daemons' event loop; nothing here uses it, so it is not loaded.
target_link_options(mobula PRIVATE
    -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/mobula.map -Wl,--as-needed -Wl,--exclude-libs,ALL)
set_target_properties(mobula PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 1
    LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/mobula.map)
if(MOB_WHEEL)
    set_target_properties(mobula PROPERTIES VERSION 1)       # a wheel has no links: one file, by the name that loaders ask for
endif()
target_include_directories(mobula INTERFACE ${CMAKE_SOURCE_DIR}/include)

add_library(mobula_static STATIC ${MOB_RUNTIME_SOURCES})
target_link_libraries(mobula_static PUBLIC ${MOB_RUNTIME_LIBRARIES})

# libmobula.a: the library and its parts in one archive. A program takes of it what it needs, which is neither libuv nor libcrypto.
set(MOB_ARCHIVE ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/libmobula.a)
set(script "create ${MOB_ARCHIVE}\n")
foreach(part mobula_static mob_owner mob_store mob_common mob_proto)
    string(APPEND script "addlib $<TARGET_FILE:${part}>\n")
endforeach()
file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/libmobula.mri CONTENT "${script}save\nend\n")
add_custom_command(OUTPUT ${MOB_ARCHIVE} COMMAND ${CMAKE_AR} -M < ${CMAKE_CURRENT_BINARY_DIR}/libmobula.mri
    DEPENDS mobula_static mob_owner mob_store mob_common mob_proto ${CMAKE_CURRENT_BINARY_DIR}/libmobula.mri)
add_custom_target(mobula_archive ALL DEPENDS ${MOB_ARCHIVE})

# pkg-config, for what is installed and (./run env) for the build tree.
function(mob_pkgconfig to prefix libdir includedir)
    set(MOB_PC_PREFIX ${prefix})
    set(MOB_PC_LIBDIR ${libdir})
    set(MOB_PC_INCLUDEDIR ${includedir})
    configure_file(${CMAKE_CURRENT_SOURCE_DIR}/mobula.pc.in ${to} @ONLY)
endfunction()
mob_pkgconfig(${CMAKE_BINARY_DIR}/pkgconfig/mobula.pc ${CMAKE_BINARY_DIR} ${CMAKE_LIBRARY_OUTPUT_DIRECTORY} ${CMAKE_SOURCE_DIR}/include)
# What is installed may be moved: its paths are told from where the file stands.
mob_pkgconfig(${CMAKE_BINARY_DIR}/install/mobula.pc "\${pcfiledir}/../.." "\${prefix}/${CMAKE_INSTALL_LIBDIR}"
    "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")

install(TARGETS mobula LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT run NAMELINK_COMPONENT develop)
install(FILES ${MOB_ARCHIVE} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${CMAKE_SOURCE_DIR}/include/mobula.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_BINARY_DIR}/install/mobula.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
