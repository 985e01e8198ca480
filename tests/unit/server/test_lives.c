/* Lives: each row is the order in which starts of agents spoke. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server-stub/core/device/lives.h"

#define MINUTE_MS UINT64_C(60000)

/* A capital letter is a life that speaks, a digit so many minutes without a
 * word, and `.` ten seconds.  Returns the seconds until two machines are told,
 * 0: never; *are_two tells whether they are at the end. */
static unsigned told(const char *trace, bool *are_two)
{
    struct flo_lives lives = {0};
    uint64_t now_ms = 100 * MINUTE_MS;
    unsigned first = 0;

    for (const char *at = trace; *at != '\0'; at++) {
        if (*at >= 'A') {
            (void)flo_lives_heard(&lives, (uint64_t)*at, now_ms);
        } else {
            now_ms += *at == '.' ? 10000 : (uint64_t)(*at - '0') * MINUTE_MS;
        }
        *are_two = flo_lives_are_two(&lives, now_ms);
        if (*are_two && first == 0) {
            first = (unsigned)(now_ms / 1000) - 6000;
        }
    }
    return first;
}

static void lives_that_alternate_are_two_machines(void **state)
{
    static const struct {
        const char *trace;
        unsigned told_s;
        bool are_two; /* at the end */
        const char *why;
    } rows[] = {
        {"A.A.A.A", 0, false, "one start that reports again"},
        {"A.B.B.C.D.E.F.G", 0, false, "restarts"},
        {"A9B9C9", 0, false, "a machine that was replaced twice"},
        {"A.A.B.B.A.A.A", 0, false, "a machine whose memory was restored with its disk"},
        {"A99B99A99B99A", 0, false, "snapshots that are put back by turns, each long after"},
        {"A.B.A.B", 30, true, "two machines"},
        {"A1B1A1B1A", 180, true, "two machines that wait a minute for each other"},
        {"A.B.A.C.A.D.A", 40, true, "two machines, one of which crashes"},
        {"A.B.C.A.B.C", 40, true, "three machines"},
        {"A.B.A.B.A.A9A9A", 30, false, "one of two machines was taken away"},
        {"A.B.A.B.C9C7C", 30, false, "both were set up anew"},
    };
    bool are_two;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        unsigned told_s = told(rows[i].trace, &are_two);
        if (told_s != rows[i].told_s || are_two != rows[i].are_two) {
            fail_msg("%s (%s): told after %u s, two at the end: %d", rows[i].why, rows[i].trace,
                     told_s, are_two);
        }
    }
}

static void a_hundred_restarts_are_one_machine(void **state)
{
    struct flo_lives lives = {0};

    (void)state;
    for (uint64_t id = 1; id <= 100; id++) {
        assert_false(flo_lives_heard(&lives, id, id * 1000));
        assert_false(flo_lives_heard(&lives, id, id * 1000 + 500));
        assert_false(flo_lives_are_two(&lives, id * 1000 + 500));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_that_alternate_are_two_machines),
        cmocka_unit_test(a_hundred_restarts_are_one_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
