/* SPDX-License-Identifier: Apache-2.0 */
/* template.c -- a template: this process forks workers when its raylet asks (docs/protocol.md), and does nothing else.
 *
 *   template --vfork()--> middle --fork()--> worker
 *
 * The middle ends at once, so that the raylet, and not the template, becomes the worker's parent: the next that adopts orphans. It lends
 * the template's memory as long as it lives, so that the memory is copied once and not twice; in it runs fork() alone, with what libraries
 * have registered for it. The worker waits until the template has told the raylet of it, and ends if the template ends before: it is
 * nobody's then. From there on it dies with the raylet. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core.h"

#define REQUEST_MAX 8192

struct request {
    char text[REQUEST_MAX + 1];         /* "fork 12", and variables "NAME=value", each ended by a NUL */
    size_t size;
    int output[2];                      /* -1: there are none */
};

/* -- words --------------------------------------------------------------------------------------------------------------------- */

static void say(int socket, const char *word)
{
    while (send(socket, word, strlen(word), MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
}

/* template_say(socket, word) */
PyObject *core_template_say(PyObject *self, PyObject *args)
{
    const char *word;
    int socket;

    (void)self;
    if (!PyArg_ParseTuple(args, "is:template_say", &socket, &word))
        return NULL;
    say(socket, word);
    Py_RETURN_NONE;
}

/* False: the raylet has closed its end. */
static bool receive(int socket, struct request *r)
{
    char space[CMSG_SPACE(2 * sizeof(int))];
    struct iovec bytes = { r->text, REQUEST_MAX };
    struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
    struct cmsghdr *c;
    ssize_t n;

    while ((n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (n <= 0)
        return false;
    r->size = (size_t)n;
    r->text[n] = '\0';
    r->output[0] = r->output[1] = -1;
    c = CMSG_FIRSTHDR(&m);
    if (c != NULL && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(2 * sizeof(int)))
        memcpy(r->output, CMSG_DATA(c), 2 * sizeof(int));
    return true;
}

/* -- forking --------------------------------------------------------------------------------------------------------------------- */

static unsigned count_threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned count = 0;

    while (folder != NULL && (entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    if (folder != NULL)
        closedir(folder);
    return count;
}

/* 0 in the worker; its pid in the template; -1: errno. */
static pid_t fork_orphan(void)
{
    volatile int error = 0;
    volatile pid_t worker = -1;
    pid_t middle;

    PyOS_BeforeFork();
    middle = vfork();
    if (middle == 0) {                  /* in the template's memory, which waits */
        worker = fork();
        if (worker == 0) {              /* in a memory of its own */
            PyOS_AfterFork_Child();
            return 0;
        }
        error = errno;
        if (worker > 0)
            setpgid(worker, worker);    /* before anybody knows it: it is killed by its group */
        _exit(0);
    }
    if (middle < 0)
        error = errno;
    PyOS_AfterFork_Parent();
    while (middle > 0 && waitpid(middle, NULL, 0) < 0 && errno == EINTR)
        ;
    errno = error;
    return worker;
}

/* Known from here on; see above. */
static void become_worker(int go, pid_t raylet, const int output[2])
{
    ssize_t n;
    char word;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    while ((n = read(go, &word, 1)) < 0 && errno == EINTR)
        ;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (n != 1 || getppid() != raylet)
        _exit(1);
    dup2(output[0], STDOUT_FILENO);
    dup2(output[1], STDERR_FILENO);
}

/* True in the worker. */
static bool fork_worker(int socket, const struct request *r)
{
    pid_t raylet = getppid(), pid = -1;
    unsigned long number = strtoul(r->text + strlen("fork "), NULL, 10);
    unsigned threads = count_threads();
    char answer[256];
    int go[2];

    if (threads != 1) {
        snprintf(answer, sizeof answer, "failed %lu %u threads run in the template", number, threads);
    } else if (r->output[1] < 0 || pipe2(go, O_CLOEXEC) < 0) {
        snprintf(answer, sizeof answer, "failed %lu no descriptors: %s", number, strerror(errno));
    } else if ((pid = fork_orphan()) == 0) {
        close(go[1]);
        close(socket);
        become_worker(go[0], raylet, r->output);
        close(go[0]);
    } else if (pid < 0) {
        snprintf(answer, sizeof answer, "failed %lu %s", number, strerror(errno));
        close(go[0]);
        close(go[1]);
    } else {
        snprintf(answer, sizeof answer, "forked %lu %d", number, (int)pid);
    }
    for (int i = 0; i < 2 && r->output[i] >= 0; i++)
        close(r->output[i]);
    if (pid == 0)
        return true;
    say(socket, answer);
    if (pid > 0) {
        close(go[0]);
        (void)!write(go[1], "", 1);     /* dead meanwhile: the raylet will see */
        close(go[1]);
    }
    return false;
}

static PyObject *variables(const struct request *r)
{
    PyObject *list = PyList_New(0), *one;

    for (size_t at = strlen(r->text) + 1; list != NULL && at < r->size; at += strlen(r->text + at) + 1) {
        one = PyUnicode_DecodeFSDefault(r->text + at);
        if (one == NULL || PyList_Append(list, one) < 0)
            Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

/* template_serve(socket, after): fork a worker for each request, and call after(). Returns in each worker, the variables "NAME=value" of
 * its environment; in the template None, when it is to load. The raylet's end is the template's. */
PyObject *core_template_serve(PyObject *self, PyObject *args)
{
    static struct request r;
    static char name[16];
    PyObject *after, *done;
    int fd;

    (void)self;
    if (!PyArg_ParseTuple(args, "iO:template_serve", &fd, &after))
        return NULL;
    if (name[0] == '\0')
        prctl(PR_GET_NAME, name);
    prctl(PR_SET_NAME, "mobula-template");      /* for ps and top: its command line is that of its workers */
    while (receive(fd, &r)) {
        if (strcmp(r.text, "load") == 0)
            Py_RETURN_NONE;
        if (strncmp(r.text, "fork ", 5) == 0 && fork_worker(fd, &r)) {
            prctl(PR_SET_NAME, name);
            return variables(&r);
        }
        if ((done = PyObject_CallNoArgs(after)) == NULL)
            return NULL;
        Py_DECREF(done);
    }
    _exit(0);
}
