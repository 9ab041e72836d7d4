#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 300-words.sh -- a program calls with wrong words, at wrong times, on wrong refs (bad_words.c): it is told, and nobody else is disturbed.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bad.sh"
in_lab 1 "$@"

cluster_start 1 --num-cpus 2
bystander_start
said=$(driver_on h0 bad_words 2>&1)
expect_eq $? 0 "bad_words: $said"
[[ $said == *"CPU=1000"* ]] || fail "nobody said that no node has 1000 CPUs: $said"
bystander_end
expect on h0 mobula health
