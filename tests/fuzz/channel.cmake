# SPDX-License-Identifier: Apache-2.0
# Small rings, so that a short play goes round them.
add_executable(fuzz_channel fuzz_channel.c
    ../../common/doorbell.c ../../common/channel.c ../../common/channel_owner.c ../../common/channel_worker.c
    ../../common/error.c ../../common/mem.c)
target_compile_definitions(fuzz_channel PRIVATE MOB_CHANNEL_SLOTS=8 MOB_CHANNEL_BYTES=16384u)
target_include_directories(fuzz_channel PRIVATE ${CMAKE_SOURCE_DIR}/tests)
target_compile_options(fuzz_channel PRIVATE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
target_link_options(fuzz_channel PRIVATE -fsanitize=fuzzer,address,undefined)
add_test(NAME fuzz/channel COMMAND fuzz_channel -max_total_time=20 -max_len=2000)
set_tests_properties(fuzz/channel PROPERTIES TIMEOUT 120 LABELS fuzz)
