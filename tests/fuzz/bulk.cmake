# SPDX-License-Identifier: Apache-2.0
add_executable(fuzz_bulk fuzz_bulk.c ../../objstore/bulk_wire.c ../../common/token.c ../../common/paths.c ../../common/error.c
    ../../common/mem.c)
target_compile_options(fuzz_bulk PRIVATE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
target_link_options(fuzz_bulk PRIVATE -fsanitize=fuzzer,address,undefined)
target_link_libraries(fuzz_bulk PRIVATE PkgConfig::CRYPTO)
add_test(NAME fuzz/bulk COMMAND fuzz_bulk -max_total_time=20 -max_len=4096)
set_tests_properties(fuzz/bulk PROPERTIES TIMEOUT 120 LABELS fuzz)
