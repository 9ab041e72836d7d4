# SPDX-License-Identifier: Apache-2.0
# The daemons' cores are heard through the fakes of their unit tests.
set(head head node view placement demand job query)
list(TRANSFORM head REPLACE "(.+)" "head/\\1.c")
mob_fuzz_library(fuzzed_head ${head} tests/unit/head_fake.c)
set(raylet raylet dispatch membership report route process watch want demand node_resources lease pool recall borrowed proxy cancel death check)
list(TRANSFORM raylet REPLACE "(.+)" "raylet/\\1.c")
set(store alloc client store store_object store_room store_fetch store_receive)
list(TRANSFORM store REPLACE "(.+)" "objstore/\\1.c")
mob_fuzz_library(fuzzed_raylet ${raylet} ${store} common/loop.c common/doorbell.c common/channel.c common/channel_owner.c
    common/channel_worker.c tests/unit/raylet_fake.c)
foreach(name head raylet)
    target_include_directories(fuzzed_${name} BEFORE PUBLIC ${CMAKE_CURRENT_LIST_DIR}/instead)
    mob_fuzz_test(${name} 4096 fuzzed_${name} fuzzed_common)
endforeach()

mob_fuzz_library(fuzzed_raylet_shell raylet/options.c raylet/elf.c common/loop.c)
mob_fuzz_test(options 512 fuzzed_raylet_shell fuzzed_common)
mob_fuzz_test(elf 4096 fuzzed_raylet_shell fuzzed_common)
