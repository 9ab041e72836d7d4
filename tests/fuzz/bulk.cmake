# SPDX-License-Identifier: Apache-2.0
mob_fuzz_library(fuzzed_bulk objstore/bulk_wire.c)
mob_fuzz_test(bulk 4096 fuzzed_bulk fuzzed_common)
