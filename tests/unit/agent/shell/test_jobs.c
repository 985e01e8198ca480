/* Updater processes that end slowly: the agent goes on, the next job waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/rest.h>
#include <flotilla/errors/state.h>

#include "agent/shell/derived/derived.h"
#include "agent/shell/neighbours/neighbours.h"
#include "agent/shell/update/update.h"
#include "tests/shell_rooms.h"
#include "unit/child.h"
#include "unit/held_clock.h"
#include "unit/remove_tree.h"

static struct flo_shell shell;
static char dir[64];
static struct flo_agent_event failed; /* the job */
static unsigned collects;             /* looks at what waits */

/* ---- the shell around it ---- */

void flo_shell_memory_refuse(struct flo_shell *unused, uint32_t model,
                             const struct flo_digest *release, const struct flo_err *why)
{
    (void)unused;
    (void)model;
    (void)release;
    (void)why;
}

int flo_shell_memory_check(struct flo_shell *unused, uint32_t model,
                           const struct flo_digest *release, struct flo_err *err)
{
    (void)unused, (void)model, (void)release, (void)err;
    return 0;
}

bool flo_shell_fits_both(struct flo_shell *unused, uint32_t model, const struct flo_digest *beside)
{
    (void)unused, (void)model, (void)beside;
    return true;
}

const char *flo_shell_variant_wanted(const struct flo_shell *unused, uint32_t place)
{
    (void)unused, (void)place;
    return NULL;
}

bool flo_shell_make_room(struct flo_shell *unused, uint32_t job, const struct flo_digest *release)
{
    (void)unused, (void)job, (void)release;
    return false;
}

uint64_t flo_shell_clock_ms(const struct flo_shell *unused)
{
    (void)unused;
    return 1;
}

bool flo_shell_packs(const struct flo_shell *unused)
{
    (void)unused;
    return false;
}

void flo_neighbours_job_add(const struct flo_shell *unused,
                            const struct flo_agent_execution *execution, json_t *job)
{
    (void)unused;
    (void)execution;
    (void)job;
}

void flo_neighbours_job_said(struct flo_shell *unused, const char *word, const json_t *json)
{
    (void)unused;
    (void)word;
    (void)json;
}

void flo_neighbours_job_ended(struct flo_shell *unused)
{
    (void)unused;
}

void flo_shell_prefix_hold(struct flo_shell *unused, bool is_held)
{
    (void)unused, (void)is_held;
}

bool flo_shell_keeps_prefixes(const struct flo_shell *unused)
{
    (void)unused;
    return false;
}

json_t *flo_machine_json(const struct flo_settings *settings, const struct flo_machine *machine,
                         uint64_t disk_free_bytes)
{
    (void)settings, (void)machine, (void)disk_free_bytes;
    return json_object();
}

/* Events that the core is told. */
static void take_event(void)
{
    struct flo_agent_event event;

    if (flo_queue_take(&shell.queue, &event)) {
        assert_int_equal(event.kind, FLO_AGENT_JOB_FAILED);
        failed = event;
    }
}

static void on_collect(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events, (void)context;
    collects++;
    (void)flo_shell_job_again(&shell);
}

/* ---- given ---- */

/* A device whose updater does not end before its tracer does. */
static int begin(void **state)
{
    static const char *const nowhere[] = {NULL};
    const struct flo_serve_options options = {
        .engine_path = SLOW_WORKER, .listen = nowhere, .sandbox = FLO_SANDBOX_PREFERRED};
    char path[96];

    (void)state;
    shell_empty(&shell);
    memset(&failed, 0, sizeof(failed));
    collects = 0;
    held_clock_hold(); /* a minute passes when a test says so */
    snprintf(dir, sizeof(dir), "/tmp/flo-jobs-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/flotilla-updater", dir);
    assert_int_equal(symlink(SLOW_WORKER, path), 0);
    setenv("FLOTILLA_BIN", dir, 1);
    setenv("FLO_SLOW", "end", 1);
    shell.base = event_base_new();
    shell.update->collect = evtimer_new(shell.base, on_collect, NULL);
    assert_int_equal(flo_settings_load(NULL, dir, &shell.settings, NULL), 0);
    assert_int_equal(flo_store_open(dir, true, &shell.store, NULL), 0);
    return flo_serve_open(shell.base, &options, NULL, &shell.serve, NULL);
}

static int end(void **state)
{
    (void)state;
    held_clock_release();
    flo_shell_job_cancel(&shell, 0);
    flo_serve_close(shell.serve);
    flo_store_close(shell.store);
    flo_settings_deinit(&shell.settings);
    event_free(shell.update->collect);
    event_base_free(shell.base);
    return remove_tree(dir);
}

static void start_of(uint32_t model, uint32_t number, pid_t *pid, pid_t *tracer)
{
    flo_shell_job_start(&shell, model, number);
    *pid = child_first();
    *tracer = *pid == 0 ? 0 : child_tracer(*pid);
    if (*tracer == 0) {
        skip(); /* this machine shows no children, or lets nobody trace them */
    }
}

static void start(uint32_t number, pid_t *pid, pid_t *tracer)
{
    start_of(0, number, pid, tracer);
}

static void turn(void)
{
    event_base_loop(shell.base, EVLOOP_ONCE);
}

/* ---- tests ---- */

static void nobody_waits_for_an_updater_that_syncs_when_it_is_cancelled(void **state)
{
    pid_t pid, tracer;

    (void)state;
    start(1, &pid, &tracer);
    flo_shell_job_cancel(&shell, 1);
    assert_int_equal(kill(pid, 0), 0);

    kill(tracer, SIGKILL);
    child_run_until_reaped(shell.base, pid);
    assert_int_equal(child_first(), 0);
}

static void the_next_job_waits_until_it_has_ended(void **state)
{
    pid_t pid, tracer;

    (void)state;
    start(1, &pid, &tracer);
    flo_shell_job_start(&shell, 0, 2);
    WAIT_TURNING(collects >= 10, turn());
    assert_null(shell.update->job);
    assert_int_equal(kill(pid, 0), 0);

    kill(tracer, SIGKILL);
    WAIT_TURNING(shell.update->job != NULL, {
        take_event();
        assert_int_equal(failed.job, 0);
        turn();
    });
    assert_int_equal(kill(pid, 0), -1);
    tracer = child_tracer(child_first());
    assert_int_not_equal(tracer, 0);
    flo_shell_job_cancel(&shell, 2);
    kill(tracer, SIGKILL);
}

static void a_job_that_waits_for_a_minute_fails_and_says_why(void **state)
{
    pid_t pid, tracer;
    char what[64];

    (void)state;
    start(1, &pid, &tracer);
    flo_shell_job_start(&shell, 0, 2);
    assert_false(shell.update->waiting_is_told);
    shell.update->waiting_since_ms -= 1000;
    WAIT_TURNING(shell.update->waiting_is_told, turn());
    shell.update->waiting_since_ms -= 60000;
    WAIT_TURNING(failed.job != 0, {
        turn();
        take_event();
    });
    snprintf(what, sizeof(what), "process %ld still writes", (long)pid);

    assert_int_equal(kill(pid, 0), 0);
    assert_int_equal(failed.job, 2);
    assert_true(failed.is_passing);
    assert_int_equal(failed.error.code, FLO_E_STATE_LOCKED);
    assert_string_equal(failed.error.what, what);
    assert_int_equal(shell.update->waiting_job, 0);

    flo_shell_job_start(&shell, 0, 2); /* the core tries again */
    assert_int_equal(shell.update->waiting_job, 2);
    kill(tracer, SIGKILL);
}

static void a_job_that_waits_can_be_cancelled(void **state)
{
    pid_t pid, tracer;

    (void)state;
    start(1, &pid, &tracer);
    flo_shell_job_start(&shell, 0, 2);
    flo_shell_job_cancel(&shell, 2);
    assert_int_equal(shell.update->waiting_job, 0);

    kill(tracer, SIGKILL);
    child_run_until_reaped(shell.base, pid);
    WAIT_TURNING(!event_pending(shell.update->collect, EV_TIMEOUT, NULL), turn());
    assert_null(shell.update->job); /* and nothing is left that would start it */
    assert_int_equal(child_first(), 0);
}

/* ---- certificates ---- */

static const char refusal[] = "{\"event\":\"failed\",\"error\":{\"id\":\"rest.auth\"},"
                              "\"passing\":false}\n";

static void begin_refused(const char *line)
{
    setenv("FLO_SLOW", "says", 1);
    setenv("FLO_SLOW_LINE", line, 1);
    shell.identity.pairs.list[0].number = 1;
    shell.identity.pairs.list[1].number = 2;
    flo_shell_job_start(&shell, 0, 1);
    assert_non_null(shell.update->job);
}

static void wait_for_failure(void)
{
    WAIT_TURNING(failed.job != 0, {
        turn();
        take_event();
    });
}

static void a_refusal_of_the_certificate_in_use_is_no_passing_one(void **state)
{
    (void)state;
    begin_refused(refusal);
    wait_for_failure();
    assert_int_equal(failed.error.code, FLO_E_REST_AUTH);
    assert_false(failed.is_passing);
}

static void a_refusal_of_a_certificate_that_was_replaced_meanwhile_passes(void **state)
{
    (void)state;
    begin_refused(refusal);
    shell.identity.pair = 1;
    wait_for_failure();
    assert_int_equal(failed.error.code, FLO_E_REST_AUTH);
    assert_true(failed.is_passing);
}

static void a_failure_that_no_certificate_causes_stays_one_after_a_renewal(void **state)
{
    (void)state;
    begin_refused("{\"event\":\"failed\",\"error\":{\"id\":\"sig.invalid\"},\"passing\":false}\n");
    shell.identity.pair = 1;
    wait_for_failure();
    assert_false(failed.is_passing);
}

/* ---- a guest ---- */

static unsigned left;    /* times that the guest was asked to leave */
static char told[2][16]; /* what its job said last, and before */

static void on_leave(struct flo_shell *unused)
{
    (void)unused;
    left++;
}

static void on_said(struct flo_shell *unused, const char *word, const json_t *line)
{
    (void)unused, (void)line;
    memcpy(told[1], told[0], sizeof(told[0]));
    snprintf(told[0], sizeof(told[0]), "%s", word);
}

static void begin_guest(pid_t *pid, pid_t *tracer)
{
    left = 0;
    memset(told, 0, sizeof(told));
    shell.update->guest = (struct flo_guest){.leave = on_leave, .said = on_said};
    start_of(FLO_NO_MODEL, FLO_JOB_GUEST, pid, tracer);
}

static void a_job_of_an_execution_ends_that_of_the_guest_and_waits_for_it(void **state)
{
    pid_t pid, tracer;

    (void)state;
    begin_guest(&pid, &tracer);
    assert_int_equal(left, 0);
    flo_shell_job_start(&shell, 0, 2);

    assert_int_equal(left, 1);
    assert_int_equal(shell.update->waiting_job, 2);
    assert_string_equal(told[0], ""); /* who was asked to leave needs no more words */
    kill(tracer, SIGKILL);
}

static void a_guest_whose_job_is_lost_hears_it_and_the_core_does_not(void **state)
{
    pid_t pid, tracer;

    (void)state;
    begin_guest(&pid, &tracer);
    kill(tracer, SIGKILL);
    kill(pid, SIGKILL);
    WAIT_TURNING(told[0][0] != '\0', turn());

    assert_string_equal(told[0], "lost");
    assert_false(flo_shell_job_is_open(&shell));
    take_event();
    assert_int_equal(failed.kind, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(nobody_waits_for_an_updater_that_syncs_when_it_is_cancelled),
        TEST(the_next_job_waits_until_it_has_ended),
        TEST(a_job_that_waits_for_a_minute_fails_and_says_why),
        TEST(a_job_that_waits_can_be_cancelled),
        TEST(a_refusal_of_the_certificate_in_use_is_no_passing_one),
        TEST(a_refusal_of_a_certificate_that_was_replaced_meanwhile_passes),
        TEST(a_failure_that_no_certificate_causes_stays_one_after_a_renewal),
        TEST(a_job_of_an_execution_ends_that_of_the_guest_and_waits_for_it),
        TEST(a_guest_whose_job_is_lost_hears_it_and_the_core_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
