/* SPDX-License-Identifier: Apache-2.0
 *
 * mobula.h -- run C functions on the machines of a cluster.  pkg-config mobula; libmobula.so.1.
 *
 * Calls return 0 or -1 (pointers: NULL) and then fill *err, which may be NULL; on failure no ret_ is touched. Any thread may
 * call, except where a task is said to be needed. Times are milliseconds; MOB_FOREVER waits without end. A struct whose first
 * field is `size` starts as { .size = sizeof x }: fields are only ever appended. After fork() the child may call nothing here:
 * each call answers MOB_ERR_INVALID and says so.
 */
#ifndef MOBULA_H
#define MOBULA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define MOB_FOREVER INT64_C(-1)
#define MOB_NO_RETRY INT32_MIN

enum mob_code {
    MOB_OK,
    MOB_ERR_INVALID,            /* the call's words are wrong; the text says which */
    MOB_ERR_TIMEOUT,
    MOB_ERR_TASK,               /* the task itself failed: user_code and text are its own */
    MOB_ERR_CANCELLED,
    MOB_ERR_WORKER_CRASHED,     /* the worker died more often than max_retries; the text says how */
    MOB_ERR_NODE_DIED,
    MOB_ERR_OBJECT_LOST,        /* no copy is left, and it cannot be made again: user_code is an enum mob_lost */
    MOB_ERR_OWNER_DIED,
    MOB_ERR_NO_SPACE,           /* a store, or memory, is too small for it; user_code may be MOB_NO_SPACE_HERE */
    MOB_ERR_INFEASIBLE,         /* no node can ever run the task: the one it asks for is gone, or the program is for another machine */
    MOB_ERR_DENIED,             /* wrong token, or a file of another user */
    MOB_ERR_VERSION,            /* the peer speaks another protocol version */
    MOB_ERR_UNREACHABLE,
    MOB_ERR_PROTOCOL,           /* a peer sent what it must not: its connection was ended */
    MOB_ERR_SYSTEM,             /* the operating system refused; the text has its reason */
    MOB_ERR_OUT_OF_MEMORY       /* the worker was ended because its node ran short of memory; the text says who had how much */
};

/* user_code of MOB_ERR_OBJECT_LOST: why the object was not made again by running its task again. */
enum mob_lost {
    MOB_LOST_UNKNOWN,
    MOB_LOST_PUT,               /* no task made it: it was put */
    MOB_LOST_MAX_ATTEMPTS,      /* its task ran as often as its max_retries allows */
    MOB_LOST_RETRIES_DISABLED,  /* its task's max_retries is 0 */
    MOB_LOST_LINEAGE_EVICTED,   /* what was kept of its task had to make room (MOBULA_LINEAGE_BYTES) */
    MOB_LOST_LINEAGE_DISABLED,  /* nothing is kept: MOBULA_LINEAGE_BYTES is 0 */
    MOB_LOST_TASK_CANCELLED,
    MOB_LOST_REF_NOT_FOUND,     /* its owner knows it no more: nobody held a reference to it */
    MOB_LOST_STREAM             /* it is an item of a stream, whose task did not yield it when it ran again */
};

/* user_code of MOB_ERR_NO_SPACE, in a task: the store of this node is full, and its disk; other nodes may have room. A task that ends with
 * this error is tried again, most likely on another one: 3 times, which cost it none of its max_retries, unless that is 0. */
#define MOB_NO_SPACE_HERE 1

/* 1 KiB for ever, on the caller's stack. text is a sentence that says what to do. function, node, pid and attempt are set when
 * the error is a task's: where it ran last. */
struct mob_error {
    int32_t code, user_code, pid, attempt;
    char function[64], node[64], text[880];
};

/* What ended a process in the middle of a task. Numbers are never given another meaning. */
enum mob_killed_by {
    MOB_KILLED_BY_UNKNOWN,
    MOB_KILLED_BY_EXIT,         /* itself: it exited; exit_code */
    MOB_KILLED_BY_CRASH,        /* itself: a fault, or abort(); signal */
    MOB_KILLED_BY_SIGNAL,       /* a signal that Mobula did not send */
    MOB_KILLED_BY_CANCEL,       /* the cancel of its task, forced or after the grace */
    MOB_KILLED_BY_MEMORY,       /* the memory monitor of its node */
    MOB_KILLED_BY_KERNEL_MEMORY,        /* the kernel, for want of memory */
    MOB_KILLED_BY_NODE,         /* nobody knows: its node died, or cannot be reached */
    MOB_KILLED_BY_START,        /* it could not be started */
    MOB_KILLED_BY_JOB,          /* the end of its job, or of who had submitted its task */
    MOB_KILLED_BY_RAYLET        /* its raylet: it broke its socket, or did not obey */
};

/* The death certificate of one attempt of a task, see mob_death(). Of a node that was lost only killed_by, attempt and the names are
 * known; of one that had an object, or was the driver's own, only killed_by, node and ip. What is not known is 0 or "". */
struct mob_death {
    size_t size;
    int32_t killed_by, attempt, pid;
    int32_t signal, exit_code;  /* 0: none; -1: it did not exit */
    char worker[40], node[40], ip[64], host[64];        /* "2.5", "2" */
    int64_t peak_memory, cpu_ns, lived_ns;      /* bytes, at most; of user and system */
    char core[512];             /* file of its core dump on that host, without a folder: where it worked; or "|program ..." that got it;
                                 * "": none was written */
    char last_lines[4097];      /* of its stderr, at most 20 */
};

/* Read-only bytes, valid until mob_view_release(); of a big object they are the node's shared memory itself. A value may carry
 * references beside its bytes: mob_view_ref() makes refs of them. */
struct mob_view {
    const void *data;
    size_t size, ref_count;
    void *pin;                  /* the library's */
};

/* An argument or result: bytes, copied by the call, and references that they carry (whoever reads the value gets them as refs); or a
 * reference whose value it is (as an argument: the task waits for it, and sees the value). */
struct mob_ref;
struct mob_value {
    const void *data;
    size_t size;
    const struct mob_ref *ref;
    struct mob_ref *const *refs;
    size_t ref_count;
};
#ifdef __cplusplus
static inline struct mob_value mob_value_bytes(const void *p, size_t n, struct mob_ref *const *refs, size_t count)
{
    struct mob_value v = { p, n, 0, refs, count };
    return v;
}
static inline struct mob_value mob_value_ref(const struct mob_ref *r) { struct mob_value v = { 0, 0, r, 0, 0 }; return v; }
#define MOB_BYTES(p, n) mob_value_bytes((p), (n), 0, 0)
#define MOB_BYTES_REFS(p, n, r, k) mob_value_bytes((p), (n), (r), (k))
#define MOB_REF(r) mob_value_ref(r)
#else
#define MOB_BYTES(p, n) ((struct mob_value){ .data = (p), .size = (n) })
#define MOB_BYTES_REFS(p, n, r, k) ((struct mob_value){ .data = (p), .size = (n), .refs = (r), .ref_count = (k) })
#define MOB_REF(r) ((struct mob_value){ .ref = (r) })
#endif

struct mob_fn;
struct mob_task;
struct mob_buffer;
struct mob_items;
struct mob_waitset;

struct mob_init_options {
    size_t size;
    const char *address;        /* NULL: $MOBULA_ADDRESS, else a private cluster; "auto": this machine's; "host:port" */
    const char *token_file;     /* NULL: $MOBULA_TOKEN_FILE, else ~/.mobula/token */
    const char *resources;      /* of a private cluster, refused with an address: "CPU=8,licence=3"; NULL: what the machine has */
    const char *name;           /* of the job, for people; NULL: the program's name */
    int64_t object_store_bytes; /* of a private cluster, refused with an address; 0: 30 % of memory */
    int quiet;                  /* do not print the output of tasks */
    const void *program;        /* NULL: workers run this program's executable; else the bytes of what they run instead, a script that
                                 * starts with "#!" and calls mob_init(): for front ends of interpreted languages */
    size_t program_size;
    int interrupts;             /* in a worker: send it SIGINT when a task is cancelled; its handler asks mob_cancelled() whether it is the
                                 * one that runs */
    int fold_ms;                /* lines that several workers print within so many ms are printed once, and counted; 0: each is printed */
    const char *fold_not, *fold_away;   /* extended regular expressions of lines that are never folded, or not printed at all; NULL */
    int (*stop)(void);          /* NULL, or asked ten times a second by a thread that waits for room in the store; not 0: its call fails
                                 * with MOB_ERR_TIMEOUT, and leaves nothing behind */
};

/* Join a cluster, or start a private one that ends with this process. Call it first in main(): in a worker process (the same
 * executable, started by a raylet) it runs tasks and never returns. So what runs before it, constructors of the program and of its
 * libraries included, runs in every worker, too. Other nodes get the executable, and the libraries that it finds by $ORIGIN in its own
 * folder or below; all others must be installed there: while one is missing the program warns, and tasks that may run only there wait.
 * A second call fails until mob_shutdown(). */
int mob_init(int argc, char **argv, const struct mob_init_options *opt, struct mob_error *err);

/* Leave: cancels what runs, drops every ref and view of this process. Without mob_init(): no-op. */
void mob_shutdown(void);

/* -- Tasks ------------------------------------------------------------------------------------------------------------- */

/* A task: reads its arguments, sets its results, returns 0; or -1 with *err filled (mob_fail()): the caller's get fails with it. */
typedef int mob_task_fn(struct mob_task *t, struct mob_error *err);

/* Register at file scope, before mob_init(). Two functions of one name end the program at start (status 2), naming the places of both. A
 * function that only the driver registers, later or from a library that it loads itself, is not known to workers: its tasks fail. */
#define MOB_TASK(fn) \
    __attribute__((constructor)) static void mob_register_##fn(void) { mob_register_at(#fn, fn, __FILE__, __LINE__); }
void mob_register(const char *name, mob_task_fn *fn);           /* under another name; in a constructor of yours */
void mob_register_at(const char *name, mob_task_fn *fn, const char *file, int line);    /* what MOB_TASK() calls; strings live on */

/* Inside a task, on the task's own thread. */
size_t mob_arg_count(const struct mob_task *t);
int mob_arg(const struct mob_task *t, size_t i, struct mob_view *ret_view, struct mob_error *err);  /* lives as long as the task */
/* Its bytes alone, yours to release, also after the task: it is taken once. */
int mob_arg_take(struct mob_task *t, size_t i, struct mob_view *ret_view, struct mob_error *err);
int mob_arg_copy(const struct mob_task *t, size_t i, void *ret_value, size_t size, struct mob_error *err); /* refuses another size */
int mob_return(struct mob_task *t, size_t i, struct mob_value value, struct mob_error *err);        /* a ref: returned, not fetched */
int mob_return_buffer(struct mob_task *t, size_t i, struct mob_buffer *b, struct mob_error *err);   /* consumes b: no copy */
int mob_cancelled(const struct mob_task *t);    /* poll it in long loops; after the grace comes SIGTERM, then SIGKILL */
void mob_raised(struct mob_task *t);            /* its results will say that it failed: the record does, too, but a get returns them */
int mob_fail(struct mob_error *err, int user_code, const char *format, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 3, 4)))
#endif
    ;                                           /* fills a MOB_ERR_TASK and returns -1 */

/* What the running task knows of itself. gpus: `gpu_count` indices, also in CUDA_VISIBLE_DEVICES. resources: "CPU=1,GPU=2". */
struct mob_task_self {
    size_t size;
    char id[64], name[64], node[40], ip[64];
    int attempt;
    unsigned gpu_count;
    uint32_t gpus[64];
    char resources[256];
};
int mob_task_self(const struct mob_task *t, struct mob_task_self *ret_self, struct mob_error *err);
/* What it prints is told under this name instead of its function's: for functions that run others, which they find by themselves. The name
 * stays, in this worker, for further tasks of the same function: a function that sets one sets one in each of its tasks. */
void mob_task_set_name(struct mob_task *t, const char *name);

struct mob_options {
    size_t size;
    const char *resources;      /* NULL: "CPU=1"; "CPU=0.5,GPU=1,memory=2GiB,licence=1"; "" asks for nothing */
    const char *strategy;       /* NULL: pack here first; "spread"; "node=ID" (only there); "node~=ID" (there if it fits) */
    const char *labels;         /* "disk=ssd,zone=!a,rack=in(1,2)": what the node's labels must be; !in(1,2): neither. A node that has no
                                 * such label meets the conditions with '!' alone */
    const char *name;           /* for people; NULL: the function's */
    uint32_t returns;           /* results, at most 8192; 0: 1 */
    int32_t max_retries;        /* after deaths of worker or node, and to make again a result that is lost (MOB_LOST_...); 0: the default,
                                 * 3; MOB_NO_RETRY; -1: for ever. So a task may start more
                                 * than once: what it does to the world outside must bear that. An attempt that was ended because a node
                                 * ran short of memory is no death: it is repeated after a pause of 1 s, which doubles each time to 60 s,
                                 * without end unless MOB_NO_RETRY. One that ended with MOB_NO_SPACE_HERE rests in the same way, 3 times */
    uint32_t unread_max;        /* of a stream: items that may wait to be read, then mob_yield() waits; 0: as many as take 64 MiB */
    const char *infeasible;     /* of what no node could serve, not even an idle one: NULL, "wait": one line says so, and it waits for a
                                 * node that can; "fail": the call fails, MOB_ERR_INFEASIBLE, and so do tasks that wait when the last such
                                 * node is gone. The text says what each node lacks */
    const int32_t *retry_codes; /* user codes of mob_fail(): after these the task is tried again, too, as one of its max_retries */
    size_t retry_code_count;    /* of them; retry_codes NULL and not 0 here: after any */
    int64_t retry_delay_ms;     /* before it is tried again: doubled each time, to 60 s, a quarter less or more by chance; 0: at once */
};

/* A function with options, checked once. Threads may share it. Destroy it when no call needs it any more; running tasks do not. */
struct mob_fn *mob_fn(const char *name, const struct mob_options *opt, struct mob_error *err);
void mob_fn_destroy(struct mob_fn *fn);

/* Submit: `returns` refs are yours at once. Bytes are copied, refs are held until the task has ended. Never waits for the task. */
int mob_call(struct mob_fn *fn, const struct mob_value *args, size_t count, struct mob_ref **ret_refs, struct mob_error *err);

/* Stop the task that makes `ref`, whoever called it: not started: never runs; running: mob_cancelled() says so, 5 s later SIGTERM, 5 s
 * later SIGKILL. Its refs answer MOB_ERR_CANCELLED, and so do those of the tasks that it called and that have not ended, wherever these
 * are, and of those that they called; its waits end with that code, and it can call no more. Ended already: no-op. how: 0, or the sum
 * of: */
#define MOB_CANCEL_FORCE 1      /* SIGKILL at once. What it called ends with its process, and what earlier tasks there have put */
#define MOB_CANCEL_ALONE 2      /* what it called runs on */
int mob_cancel(struct mob_ref *ref, int how, struct mob_error *err);

/* -- Streams ----------------------------------------------------------------------------------------------------------- */

/* Call a task whose items can be read while it runs. The stream is yours to close. `returns` must be 1: that is the stream's end. */
struct mob_items *mob_call_items(struct mob_fn *fn, const struct mob_value *args, size_t count, struct mob_error *err);
/* 1: the next item, whose value or error is there; its ref is yours to drop. 0: there is none any more. -1: an error of the call, such
 * as MOB_ERR_TIMEOUT. A task that failed, died too often or was cancelled shows that as the last item: the get of its ref fails. One
 * that is tried again goes on after the items that came: it must yield the same ones in the same order. Threads may share a stream;
 * each item goes to one of them. */
int mob_items_next(struct mob_items *s, int64_t timeout_ms, struct mob_ref **ret_ref, struct mob_error *err);
/* A ref of what mob_items_next() will return, or of the end, before it has come: for mob_wait() and waitsets. Yours to drop. */
struct mob_ref *mob_items_peek(struct mob_items *s, struct mob_error *err);
/* A ref of the end: what the task returns, or its error. Yours to drop; mob_cancel() takes it. While somebody waits for it, the items that
 * come are not bounded, unless by unread_max. */
struct mob_ref *mob_items_end(struct mob_items *s, struct mob_error *err);
/* 1: all was read, and mob_items_next() will return 0; 0: it will not, or it is not known yet; -1. */
int mob_items_over(struct mob_items *s, struct mob_error *err);
/* Nobody will read: unread items are freed, and those that would come, too. The task runs on to its end. NULL is fine. */
void mob_items_close(struct mob_items *s);

/* Inside a task that was called so, on its own thread: the next item, as mob_return() has it. Returns when another may follow: it waits
 * while too many are unread. MOB_ERR_CANCELLED: the task is cancelled; return soon. */
int mob_yield(struct mob_task *t, struct mob_value value, struct mob_error *err);
int mob_yield_buffer(struct mob_task *t, struct mob_buffer *b, struct mob_error *err);      /* consumes b: no copy */

/* -- Objects ----------------------------------------------------------------------------------------------------------- */

/* The ref of mob_put() and mob_seal() is yours to drop. One copy of the bytes is made. */
struct mob_ref *mob_put(const void *data, size_t size, struct mob_error *err);
/* Write in place, then publish. A buffer is one thread's at a time, and ends by mob_seal(), mob_return_buffer() or mob_abandon(): from
 * then on it is refused by name. */
struct mob_buffer *mob_create(size_t size, struct mob_error *err);
/* The same of values that carry references, at most 16,384: those objects live as long as the new one does. */
struct mob_ref *mob_put_refs(const void *data, size_t size, struct mob_ref *const *refs, size_t count, struct mob_error *err);
struct mob_buffer *mob_create_refs(size_t size, struct mob_ref *const *refs, size_t count, struct mob_error *err);
void *mob_buffer_data(struct mob_buffer *b);                /* `size` writable bytes, all yours until the buffer ends; NULL for NULL */
struct mob_ref *mob_seal(struct mob_buffer *b, struct mob_error *err);      /* consumes b, also if it fails; the bytes change no more */
void mob_abandon(struct mob_buffer *b);                     /* NULL is fine */

/* Wait for the value; with 0, have it if it is ready and on this node. The error of its task arrives here, at every get. Each view is
 * yours to release; the ref stays yours. */
int mob_get(struct mob_ref *ref, int64_t timeout_ms, struct mob_view *ret_view, struct mob_error *err);
/* A value of another size is MOB_ERR_INVALID, and says both sizes; ret_value is not touched. No view is kept. */
int mob_get_copy(struct mob_ref *ref, int64_t timeout_ms, void *ret_value, size_t size, struct mob_error *err);
/* All or none: the first error, or the timeout (of the whole call), and no view is held. */
int mob_get_many(struct mob_ref *const *refs, size_t count, int64_t timeout_ms, struct mob_view *ret_views, struct mob_error *err);
/* What of it is in this process, at once: 1 and the value, which lives as long as the ref; 0: it is not ready, or stored; -1: its error. */
int mob_peek(const struct mob_ref *ref, const void **ret_data, size_t *ret_size, struct mob_error *err);
void mob_view_release(struct mob_view *view);               /* NULL, or one released before: no-op */
/* The i-th reference that the value carries: a ref of its own, yours to drop, which may outlive the view. Of an argument: on the task's
 * thread, before it returns; what is kept longer stays valid as long as it is kept. */
struct mob_ref *mob_view_ref(const struct mob_view *view, size_t i, struct mob_error *err);

/* How the attempts of the task of `ref` ended that a death ended, where its error says so; also of a task whose argument was such a ref. Of
 * MOB_ERR_OWNER_DIED: how the owner ended, if that is known still.
 * back: 0 is the last one, 1 the one before; four are kept. 1: filled; 0: there is none, or the value is there, or not yet; -1. */
int mob_death(const struct mob_ref *ref, size_t back, struct mob_death *ret_death, struct mob_error *err);
const char *mob_killed_by_name(int killed_by);              /* "crash", "kernel memory" ...: as `mobula` prints it; lives for ever */

/* Wait until `wanted` of the refs are ready (a value or an error). ret_ready[i] becomes 1 or 0; it may be NULL, where the number
 * is enough. Returns how many are ready: fewer than wanted after the timeout; -1 on error. */
int mob_wait(struct mob_ref *const *refs, size_t count, size_t wanted, int64_t timeout_ms, unsigned char *ret_ready,
             struct mob_error *err);

/* The same pointer counts once more, and must be dropped once more: the object lives until the last drop. NULL for a bad ref. */
struct mob_ref *mob_ref_clone(const struct mob_ref *ref);
void mob_ref_drop(struct mob_ref *ref);                     /* NULL is fine */
/* The name of its object, "o-2.5-117.0", the same in every process of the cluster: size >= 80 is enough. */
int mob_ref_id(const struct mob_ref *ref, char *ret_id, size_t size, struct mob_error *err);

/* Waitsets: like epoll, cost per ready ref, never per waiting one. A set clones the refs it waits for; each is handed out once
 * and then left the set. Add: the ref stays yours, and may be added again. next: 1 and the ref (yours to drop) and its user pointer; 0
 * when the set is empty; -1 on timeout. Any thread may add, also while one waits in next; a second one in next is refused. destroy
 * drops the refs that are left; no thread may use the set any more. */
struct mob_waitset *mob_waitset_create(struct mob_error *err);
int mob_waitset_add(struct mob_waitset *w, struct mob_ref *ref, void *user, struct mob_error *err);
int mob_waitset_next(struct mob_waitset *w, int64_t timeout_ms, struct mob_ref **ret_ref, void **ret_user, struct mob_error *err);
int mob_waitset_fd(const struct mob_waitset *w);        /* readable while one is ready: poll it in your own loop; -1 for NULL */
void mob_waitset_destroy(struct mob_waitset *w);

/* -- Telling ----------------------------------------------------------------------------------------------------------- */

struct mob_node {
    size_t size;
    char id[40], host[64], address[64];
    int alive;
    char resources[512], available[512];        /* "CPU=4,GPU=2" */
};
int mob_nodes(struct mob_node *ret_nodes, size_t *count, struct mob_error *err);    /* count in: room; out: how many there are */
/* Wait until `count` nodes serve tasks (the node of a driver that lends nothing does not count). Else MOB_ERR_TIMEOUT. */
int mob_wait_nodes(size_t count, int64_t timeout_ms, struct mob_error *err);
/* What this process is: "2.5", "2", "1.1" (its driver); the cluster's address. In a worker, too, whether a task runs or not. */
struct mob_self {
    size_t size;
    char process[40], node[40], job[40], ip[64], head[80];
    int64_t explain_ms;         /* a get that has waited so long prints why; 0: none does */
};
int mob_self(struct mob_self *ret_self, struct mob_error *err);
/* Any question that `mobula` asks the head: "status", "nodes", "jobs", "tasks", "timeline", "memory". argument: JSON, or "". The answer is
 * JSON, yours to free(). NULL: *err. */
char *mob_ask(const char *question, const char *argument, int64_t timeout_ms, struct mob_error *err);
/* Of the cluster: "CPU=16,GPU=2"; either may be NULL. */
int mob_resources(char *ret_total, char *ret_available, size_t size, struct mob_error *err);
/* Why the value of `ref` is not there, in words for a terminal, cut to `size`: its task's state, what it waits for and who has that; as
 * `mobula explain` says it. A get of a driver on a terminal prints it after 30 s ($MOBULA_EXPLAIN_SECONDS; 0: never). */
int mob_explain(const struct mob_ref *ref, char *ret_text, size_t size, struct mob_error *err);
const char *mob_version(void);              /* of the library that is loaded: "1.2.3"; lives for ever */

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
