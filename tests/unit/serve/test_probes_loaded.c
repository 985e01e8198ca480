/* Probes under load: streams and busy neighbours change no verdict.  It takes
 * half a minute of every CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/probe.h>

#include "unit/serve/probing.h"

static void a_slow_candidate_fails_and_an_equal_one_passes_under_load(void **state)
{
    static struct client clients[STREAMS];
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* its times are the sanitizer's */
#endif
    world_open();
    open_current(V2, "2.0.0");
    streams_start(clients);
    for (int i = 0; i < 2; i++) {
        expect_verdict(SLOW, FLO_E_PROBE_SPEED, 26);
        assert_non_null(strstr(result.what, "at most 1.50"));
        expect_verdict(V2, 0, 26);
    }
    streams_end(clients);
    world_close();
}

/* Processes that compute, one for each CPU, next to two streams. */
enum { NEIGHBOURS_MAX = 64 };

static unsigned neighbours_start(pid_t pids[NEIGHBOURS_MAX])
{
    unsigned count = flo_cpus_allowed();
    count = count < NEIGHBOURS_MAX ? count : NEIGHBOURS_MAX;
    for (unsigned i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (volatile uint64_t n = 0;; n++) {
            }
        }
        assert_true(pids[i] > 0);
    }
    return count;
}

/* How many probes of each: FLOTILLA_PROBES (1).  A few may end unsure, and more
 * would be needed to count those. */
static void busy_neighbours_change_no_verdict(void **state)
{
    static struct client clients[2];
    pid_t pids[NEIGHBOURS_MAX];
    const char *wanted = getenv("FLOTILLA_PROBES");
    int probes = wanted != NULL ? atoi(wanted) : 1;
    int equal_good = 0, equal_bad = 0, slow_good = 0, slow_bad = 0;
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* its times are the sanitizer's */
#endif
    world_open();
    open_current(V2, "2.0.0");
    unsigned count = neighbours_start(pids);
    for (size_t i = 0; i < FLO_COUNT(clients); i++) {
        client_start(&clients[i], "/v1/chat/completions", CHAT_STREAM, true);
    }
    for (int i = 0; i < probes; i++) {
        probe(V2, GOLDEN, &usual);
        equal_good += result.error == 0;
        equal_bad += result.error == FLO_E_PROBE_SPEED;
        probe(SLOW, GOLDEN, &usual);
        slow_good += result.error == FLO_E_PROBE_SPEED;
        slow_bad += result.error == 0;
    }
    for (size_t i = 0; i < FLO_COUNT(clients); i++) {
        client_end(&clients[i]);
        assert_int_equal(clients[i].bad, 0);
    }
    for (unsigned i = 0; i < count; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    print_message("%d probes of an equal release: %d passed, %d too slow; of "
                  "one that takes 2.9 times as long: %d passed, %d too slow\n",
                  probes, equal_good, equal_bad, slow_bad, slow_good);
    assert_int_equal(equal_bad + slow_bad, 0);
    if (probes >= 10) {
        assert_true(equal_good * 10 >= probes * 9);
        assert_true(slow_good * 10 >= probes * 9);
    }
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_candidate_fails_and_an_equal_one_passes_under_load),
        cmocka_unit_test(busy_neighbours_change_no_verdict),
    };
    signal(SIGPIPE, SIG_IGN);
    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
