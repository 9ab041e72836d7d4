/* SPDX-License-Identifier: Apache-2.0 */
/* test_fork.c -- templates that are real processes, and liars some of them: this program, as the interpreter of a script whose third line
 * says what the template does. Workers are found by their numbers, and by nobody else's. The core is played. */
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "played_core.h"
#include "raylet/family.h"
#include "raylet/template.h"
#include "unit.h"

#define JOB ((struct mob_address){ 2, 9 })

/* -- a template, and a worker -------------------------------------------------------------------------------------------------- */

static void say(int socket, const char *word)
{
    assert(send(socket, word, strlen(word), MSG_NOSIGNAL) == (ssize_t)strlen(word));
}

static void wait_for_file(const char *script, const char *what)
{
    char path[256];

    snprintf(path, sizeof path, "%s.%s", script, what);
    while (access(path, F_OK) < 0)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static pid_t fork_orphan(void)
{
    pid_t middle, worker;
    int pids[2];

    assert(pipe(pids) == 0);
    if ((middle = fork()) == 0) {
        worker = fork();
        if (worker == 0) {
            alarm(60);
            for (;;)
                pause();
        }
        setpgid(worker, worker);
        _exit(write(pids[1], &worker, sizeof worker) != sizeof worker);
    }
    waitpid(middle, NULL, 0);
    assert(read(pids[0], &worker, sizeof worker) == sizeof worker);
    return worker;
}

static void answer(int socket, const char *what, const char *script, int number)
{
    char word[64];

    if (strcmp(what, "silent") == 0) {
        close(socket);
        pause();
    }
    if (strcmp(what, "nonsense") == 0)
        say(socket, "good morning");
    snprintf(word, sizeof word, "forked %d %d", number, strcmp(what, "liar") == 0 ? 1 : fork_orphan());
    if (strcmp(what, "late") == 0)
        wait_for_file(script, "go");
    say(socket, word);
    if (strcmp(what, "talker") == 0)
        say(socket, word);
}

static int play_template(const char *script, int socket)
{
    char what[64] = "", word[1024];
    FILE *f = fopen(script, "r");
    ssize_t n;

    for (int i = 0; i < 3 && fgets(what, sizeof what, f) != NULL; i++)
        ;
    fclose(f);
    what[strcspn(what, "\n")] = '\0';
    say(socket, "begun");
    while ((n = recv(socket, word, sizeof word - 1, 0)) > 0) {
        word[n] = '\0';
        if (strcmp(word, "load") != 0)
            answer(socket, what, script, atoi(word + strlen("fork ")));
        else if (strcmp(what, "refuses") == 0)
            say(socket, "cannot it is not willing");
        else if (strcmp(what, "dies") == 0)
            _exit(3);
        else
            say(socket, "ready");
    }
    return 0;
}

/* -- a test's steps -------------------------------------------------------------------------------------------------------------- */

static struct mob_shell shell;
static char script[256], *folder;
static uint32_t last;                   /* the newest worker's number */

static int64_t tick(void *arg)
{
    (void)arg;
    return mob_forks_tick(shell.forks);
}

static void begin(const char *what)
{
    char self[256] = "";

    folder = unit_folder();
    ck_assert(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(script, sizeof script, "%s/program", folder);
    int fd = open(script, O_WRONLY | O_CREAT, 0700);
    dprintf(fd, "#!%s play\n# mobula: forks workers\n%s\n", self, what);
    close(fd);
    signal(SIGPIPE, SIG_IGN);
    played.program = script;
    played_shell_open(&shell, tick, folder);
    mob_reap_start(&shell);
}

static struct mob_resident *ask(void)
{
    struct mob_spawn ask = { .process = ++last, .job = JOB, .nonce = 5 };

    mob_spawn_worker(&shell, &ask);
    return mob_resident_find(&shell, last);
}

static void turn(void)
{
    mob_ticker_poke(shell.ticker);
    uv_run(mob_loop_uv(shell.loop), UV_RUN_NOWAIT);
    nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
}

#define TURN_UNTIL(condition)  while (!(condition)) turn()

static bool is_started(const struct mob_resident *r)
{
    return r->machine.now == MOB_RESIDENT_STARTED;
}

/* What is forked has the template's first answer; what is started anew is asked for by another nonce. */
static bool is_forked(const struct mob_resident *r)
{
    return is_started(r) && r->nonce == 5;
}

static bool lives(pid_t pid)
{
    return kill(pid, 0) == 0;
}

static void end(void)
{
    mob_forks_job_over(shell.forks, JOB);
    mob_reap_all(&shell);
    ck_assert_uint_eq(mob_forks_count(shell.forks), 0);
    ck_assert_uint_eq(shell.residents.count, 0);
    ck_assert_uint_eq(played.exits, last);
    while (waitpid(-1, NULL, WNOHANG) >= 0)     /* whom a template left behind when it was killed */
        mob_reap_strangers(&shell);
    unit_folder_remove(folder);
}

/* Ask one that is told at once of its end: `what` is no good, and the worker is started anew. */
static void expect_anew(const char *what)
{
    begin(what);
    struct mob_resident *r = ask();
    TURN_UNTIL(is_started(r));
    ck_assert(!is_forked(r));
    TURN_UNTIL(!mob_forks_busy(shell.forks));
    ck_assert(lives(r->pid));
    end();
}

/* The child that neither is the template nor `known`; 0: there is none yet. */
static pid_t stranger(pid_t known)
{
    size_t count;
    pid_t *children = mob_family_children(0, &count), found = 0;

    for (size_t i = 0; i < count; i++)
        if (children[i] != known && mob_fork_find(shell.forks, children[i]) == NULL)
            found = children[i];
    free(children);
    return found;
}

static pid_t start_stranger(bool ends)
{
    pid_t pid = fork();

    if (pid == 0 && ends)
        _exit(0);
    while (pid == 0)
        pause();
    return pid;
}

/* -- the tests ------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_those_that_ask_at_its_start_and_later)
{
    begin("good");
    struct mob_resident *a = ask(), *b = ask();
    ck_assert_uint_eq(mob_forks_count(shell.forks), 1);
    TURN_UNTIL(is_forked(a) && is_forked(b));
    struct mob_resident *c = NULL;      /* anew while it loads */
    while (c == NULL || !is_forked(c)) {
        c = ask();
        TURN_UNTIL(is_started(c));
    }
    ck_assert_int_eq(getpgid(c->pid), c->pid);
    ck_assert_uint_eq(mob_forks_count(shell.forks), 1);
    ck_assert_str_eq(played.told, "");
    ck_assert(mob_forks_use(shell.forks, script));
    ck_assert(!mob_forks_use(shell.forks, "another"));
    mob_forks_job_over(shell.forks, JOB);
    TURN_UNTIL(mob_forks_count(shell.forks) == 0);
    ck_assert(!mob_forks_use(shell.forks, script));
    end();
}
END_TEST

START_TEST(test_one_that_is_forked_is_no_stranger_before_it_is_told)
{
    pid_t worker, orphan, other;

    begin("late");
    struct mob_resident *r = ask();
    while ((worker = stranger(0)) == 0)
        turn();
    orphan = start_stranger(false);
    other = start_stranger(true);       /* its end makes us look for others */
    TURN_UNTIL(!lives(other));
    ck_assert(lives(worker) && lives(orphan));
    char *go = mob_printf("%s.go", script);
    close(open(go, O_WRONLY | O_CREAT, 0600));
    TURN_UNTIL(is_started(r));
    ck_assert(is_forked(r));
    ck_assert_int_eq(r->pid, worker);
    TURN_UNTIL(!lives(orphan));
    ck_assert(lives(worker));
    unlink(go);
    free(go);
    end();
}
END_TEST

START_TEST(test_one_that_nobody_needs_any_more)
{
    pid_t worker;

    begin("late");
    struct mob_resident *r = ask();
    while ((worker = stranger(0)) == 0)
        turn();
    mob_resident_kill(r, SIGKILL);
    TURN_UNTIL(played.exits == 1);
    ck_assert(mob_forks_busy(shell.forks));
    char *go = mob_printf("%s.go", script);
    close(open(go, O_WRONLY | O_CREAT, 0600));
    TURN_UNTIL(!lives(worker));
    unlink(go);
    free(go);
    end();
}
END_TEST

START_TEST(test_one_that_lies)
{
    expect_anew("liar");                /* process 1, no child of ours */
}
END_TEST

START_TEST(test_one_that_talks_nonsense)
{
    expect_anew("nonsense");
}
END_TEST

START_TEST(test_one_that_hangs_up)
{
    expect_anew("silent");
}
END_TEST

START_TEST(test_one_that_answers_twice)
{
    begin("talker");
    struct mob_resident *r = ask();
    TURN_UNTIL(is_started(r) && mob_forks_count(shell.forks) == 0);
    ck_assert(is_forked(r) && lives(r->pid));
    end();
}
END_TEST

START_TEST(test_those_that_cannot)
{
    static const struct { const char *what, *why; } cases[] = {
        { "refuses", "it cannot be forked: it is not willing\n" },
        { "dies", "it ended, with code 3, before it had imported the driver's modules\n" },
    };

    begin(cases[_i].what);
    struct mob_resident *a = ask();
    TURN_UNTIL(is_started(a) && mob_forks_count(shell.forks) == 0);
    ck_assert_ptr_nonnull(strstr(played.told, cases[_i].why));
    struct mob_resident *b = ask();
    ck_assert(is_started(b));           /* anew, at once */
    ck_assert_uint_eq(mob_forks_count(shell.forks), 0);
    end();
}
END_TEST

static bool prepare(void)
{
    return mob_spawn_prepare(&shell, &(struct mob_spawn){ .job = JOB });
}

START_TEST(test_before_anybody_asks)
{
    begin("good");
    ck_assert(prepare());
    TURN_UNTIL(played.prepared == 1);
    ck_assert(!prepare());              /* it is there */
    struct mob_resident *r = ask();
    TURN_UNTIL(is_started(r));
    ck_assert(is_forked(r));
    ck_assert_uint_eq(played.prepared, 1);
    end();
}
END_TEST

START_TEST(test_one_that_will_not_be_prepared)
{
    begin(_i == 0 ? "dies" : "refuses");
    ck_assert(prepare());
    TURN_UNTIL(played.prepared == 1);
    ck_assert_uint_eq(mob_forks_count(shell.forks), 0);
    ck_assert(!prepare());
    end();
}
END_TEST

START_TEST(test_its_job_ends)
{
    begin("good");
    struct mob_resident *r = ask();
    TURN_UNTIL(is_started(r));
    mob_forks_job_over(shell.forks, (struct mob_address){ 3, 0 });
    ck_assert_uint_eq(mob_forks_count(shell.forks), 1);
    mob_forks_job_over(shell.forks, (struct mob_address){ 2, 0 });
    TURN_UNTIL(mob_forks_count(shell.forks) == 0);
    ck_assert(lives(r->pid));           /* the core ends it */
    ck_assert_str_eq(played.told, "");
    end();
}
END_TEST

static void tests(TCase *tcase)
{
    UNIT_TESTS(tcase, test_those_that_ask_at_its_start_and_later, test_one_that_is_forked_is_no_stranger_before_it_is_told,
               test_one_that_nobody_needs_any_more, test_one_that_lies, test_one_that_talks_nonsense, test_one_that_hangs_up,
               test_one_that_answers_twice, test_before_anybody_asks, test_its_job_ends);
    tcase_add_loop_test(tcase, test_those_that_cannot, 0, 2);
    tcase_add_loop_test(tcase, test_one_that_will_not_be_prepared, 0, 2);
}

int main(int argc, char **argv)
{
    const char *socket = getenv("MOBULA_TEMPLATE");

    if (argc == 3 && strcmp(argv[1], "play") == 0 && socket != NULL)
        return play_template(argv[2], atoi(socket));
    if (argc == 3)
        for (;;)
            pause();                    /* a worker that was started anew */
    return unit_run("fork", tests);
}
