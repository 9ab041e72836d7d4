# SPDX-License-Identifier: Apache-2.0
# The daemons' cores are heard through the fakes of their unit tests.
mob_sources_of(head head/CMakeLists.txt "mob_head_core STATIC")
mob_fuzz_library(fuzzed_head ${head} tests/unit/head_fake.c)
mob_sources_of(raylet raylet/core.cmake "mob_raylet_core STATIC")
mob_sources_of(store objstore/CMakeLists.txt "mob_store STATIC")
mob_fuzz_library(fuzzed_raylet ${raylet} ${store} common/loop.c common/doorbell.c common/channel.c common/channel_owner.c
    common/channel_worker.c tests/unit/raylet_fake.c)
foreach(name head raylet)
    target_include_directories(fuzzed_${name} BEFORE PUBLIC ${CMAKE_CURRENT_LIST_DIR}/instead)
    mob_fuzz_test(${name} 4096 fuzzed_${name} fuzzed_common)
endforeach()

mob_fuzz_library(fuzzed_raylet_shell raylet/options.c raylet/asked.c raylet/elf.c raylet/bundle.c common/loop.c)
mob_fuzz_test(options 512 fuzzed_raylet_shell fuzzed_common)
mob_fuzz_test(elf 4096 fuzzed_raylet_shell fuzzed_common)

mob_sources_of(events head/CMakeLists.txt "mob_head_events STATIC")
mob_fuzz_library(fuzzed_events ${events} common/loop.c)
mob_fuzz_test(events 4096 fuzzed_events fuzzed_common)
mob_fuzz_library(fuzzed_stream raylet/stream.c worker/socket.c common/loop.c)
mob_fuzz_test(stream 4096 fuzzed_stream fuzzed_common)
mob_fuzz_library(fuzzed_hello raylet/hello.c raylet/resident.c raylet/family.c raylet/stream.c common/loop.c common/doorbell.c)
target_link_libraries(fuzzed_hello PRIVATE mob_grpc)     # its headers
mob_fuzz_test(hello 4096 fuzzed_hello fuzzed_common)
mob_fuzz_library(fuzzed_store ${store})
target_include_directories(fuzzed_store BEFORE PUBLIC ${CMAKE_CURRENT_LIST_DIR}/instead)
mob_fuzz_test(pins 4096 fuzzed_store fuzzed_common)
mob_fuzz_test(bundle 4096 fuzzed_raylet_shell fuzzed_common)
