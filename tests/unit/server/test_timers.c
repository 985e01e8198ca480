/* Timers of the controller: each scene is a golden trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server-stub/core/timers.h"
#include "unit/server/golden.h"

static void tell_ends(struct flo_buf *text, const char *scene, const uint64_t *lives_ms,
                      size_t count)
{
    uint64_t retry_ms = 0;

    flo_buf_printf(text, "%s\n", scene);
    for (size_t i = 0; i < count; i++) {
        retry_ms = flo_broker_retry_ms(retry_ms, lives_ms[i]);
        flo_buf_printf(text, "  lived %llu ms: starts after %llu ms\n",
                       (unsigned long long)lives_ms[i], (unsigned long long)retry_ms);
    }
}

/* A controller is there in the first `from_ms`, and again from `to_ms` on. */
static void tell_alone(struct flo_buf *text, uint64_t from_ms, uint64_t to_ms)
{
    struct flo_alone alone = {0};
    uint64_t now_ms = 1000;

    while (now_ms < 300000 &&
           !flo_alone_is_over(&alone, now_ms < from_ms || now_ms >= to_ms, 60000, now_ms)) {
        now_ms += 200;
    }
    flo_buf_printf(text, "no controller from %llu to %llu ms: ", (unsigned long long)from_ms,
                   (unsigned long long)to_ms);
    if (now_ms >= 300000) {
        flo_buf_text(text, "the broker stays\n");
    } else {
        flo_buf_printf(text, "the broker ends at %llu ms\n", (unsigned long long)now_ms);
    }
}

static void each_pause_is_as_its_trace_says(void **state)
{
    static const uint64_t unwell[] = {100, 100, 100, 100, 100, 100, 100, 100};
    static const uint64_t mixed[] = {100, 100, 5001, 100, 5000};
    struct flo_buf text = {0};
    (void)state;

    tell_ends(&text, "a broker that ends at once", unwell, FLO_COUNT(unwell));
    tell_ends(&text, "a broker that recovers", mixed, FLO_COUNT(mixed));
    flo_buf_printf(&text, "after a start that failed: %llu ms\n",
                   (unsigned long long)flo_broker_retry_ms_max());
    for (uint64_t devices = 1; devices <= 1000000; devices *= 100) {
        flo_buf_printf(&text, "%llu devices come back within %llu ms\n",
                       (unsigned long long)devices, (unsigned long long)flo_reconnect_ms(devices));
    }
    tell_alone(&text, 10000, UINT64_MAX);
    tell_alone(&text, 10000, 69000);
    tell_alone(&text, 10000, 71000);
    for (uint64_t ms = 4999; ms <= 5001; ms++) {
        flo_buf_printf(&text, "%llu ms between two ticks: %s\n", (unsigned long long)ms,
                       flo_ticks_stalled(1000, 1000 + ms) ? "no silence of devices"
                                                          : "silence counts");
    }

    golden_check("timers", text.data);
    flo_buf_deinit(&text);
}

static void order_after_order_puts_no_document_off(void **state)
{
    uint64_t due_ms = flo_quiet_due_ms(0, 10000, 1000);
    (void)state;

    assert_int_equal(due_ms, 1000 + flo_reconnect_ms(10000));
    for (uint64_t now_ms = 2000; now_ms < due_ms; now_ms += 1000) {
        assert_int_equal(flo_quiet_due_ms(due_ms, 10000, now_ms), due_ms);
    }
    assert_true(flo_quiet_due_ms(0, 10000, due_ms) > due_ms);
}

static void a_token_is_written_down_once_an_hour(void **state)
{
    struct flo_refusals refusals = {0};
    (void)state;

    assert_true(flo_refusals_is_first(&refusals, "t-1", 1000));
    assert_false(flo_refusals_is_first(&refusals, "t-1", 3600999));
    assert_true(flo_refusals_is_first(&refusals, "t-2", 3600999));
    assert_true(flo_refusals_is_first(&refusals, "t-1", 3601000));
}

static void strangers_cannot_fill_the_audit(void **state)
{
    struct flo_refusals refusals = {0};
    unsigned written = 0;
    char id[16];
    (void)state;

    for (unsigned i = 0; i < 1000; i++) {
        snprintf(id, sizeof(id), "t-%u", i);
        written += flo_refusals_is_first(&refusals, id, 1000 + i);
    }

    assert_int_equal(written, FLO_REFUSALS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pause_is_as_its_trace_says),
        cmocka_unit_test(order_after_order_puts_no_document_off),
        cmocka_unit_test(a_token_is_written_down_once_an_hour),
        cmocka_unit_test(strangers_cannot_fill_the_audit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
