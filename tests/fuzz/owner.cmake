# SPDX-License-Identifier: Apache-2.0
# The core is compiled again, instrumented.
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    get_target_property(sources mob_owner SOURCES)
    list(FILTER sources EXCLUDE REGEX executor|function)
    list(TRANSFORM sources PREPEND ${CMAKE_SOURCE_DIR}/worker/)
    add_executable(fuzz_answer fuzz_answer.c ${sources})
    target_compile_options(fuzz_answer PRIVATE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
    target_link_options(fuzz_answer PRIVATE -fsanitize=fuzzer,address,undefined)
    target_link_libraries(fuzz_answer PRIVATE mob_common mob_proto)
    add_test(NAME fuzz/answer COMMAND fuzz_answer -max_total_time=20 -max_len=4096)
    set_tests_properties(fuzz/answer PROPERTIES TIMEOUT 120 LABELS fuzz)
endif()
