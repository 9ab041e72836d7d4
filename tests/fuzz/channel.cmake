# SPDX-License-Identifier: Apache-2.0
mob_fuzz_test(channel 2000 fuzzed_channel fuzzed_common)
