#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# pure.sh NM CORE.a... -- a core decides, and nothing else: it needs no clock, random number, socket, process or file of its own. Fails
# with the name of the core, its object and the symbol. What cores do need besides their own code: memory, strings, and common/. The
# library of the store has files that are no part of its core: its memory (store_memory.c, span.c), and the client's half.
set -eu
nm=$1
shift
forbidden='time|clock_gettime|gettimeofday|clock|nanosleep|clock_nanosleep|usleep|sleep|timerfd_create|timerfd_settime|alarm
|random|rand|rand_r|srand|random_r|drand48|erand48|getrandom|getentropy|uuid_generate|uuid_generate_random
|socket|socketpair|connect|bind|listen|accept|accept4|send|sendto|sendmsg|recv|recvfrom|recvmsg|getaddrinfo|poll|ppoll|select|epoll_.*
|fork|vfork|clone|execv|execve|execvp|posix_spawn|posix_spawnp|system|popen|kill|waitpid|wait4|waitid|pidfd_.*|pipe|pipe2
|madvise|fcntl|ftruncate|sysconf|open|open64|openat|openat64|creat|fopen|fopen64|opendir|unlink|rename|mkdir|stat|fstat|read|write|pread|pwrite|mmap|munmap|memfd_create
|pthread_create|pthread_mutex_lock|signal|sigaction|getenv|getpid|syscall|eventfd
|uv_.*|grpc_.*|mob_now_ns|mob_wall_ns|mob_random|mob_loop_.*|mob_ticker_.*|mob_rpc_.*|mob_spawn_.*|mob_paths_.*'
forbidden=$(printf '%s' "$forbidden" | tr -d '\n')
impure='\[(store_memory|span|client)\.c\.o\]'
status=0
for core in "$@"; do
    [ -f "$core" ] || { echo "pure.sh: $core is not there"; exit 1; }
    found=$("$nm" -u --format=posix -A "$core" | awk '{ print $1, $2 }' | sed 's/@.*//' | grep -Ev "$impure" | grep -E " ($forbidden)\$" ||
        true)
    [ -z "$found" ] || { printf '%s\n' "$found" | sed 's/$/: a core may not use this; ask struct mob_world/'; status=1; }
done
exit $status
