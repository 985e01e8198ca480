/* Ticks of the controller through two hours, as a golden trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server-stub/core/tick.h"
#include "unit/server/golden.h"

#define HOUR_MS UINT64_C(3600000)

static struct flo_buf text;

static void say(bool is_so, const char *word)
{
    if (is_so) {
        flo_buf_printf(&text, ", %s", word);
    }
}

static void tick(struct flo_tick *tick, const char *scene, struct flo_tick_now now)
{
    struct flo_tick_due due;

    now.wall_ms = now.wall_ms == 0 ? now.now_ms : now.wall_ms;
    flo_tick_next(tick, &now, &due);
    flo_buf_printf(&text, "%8llu ms  %s: %s", (unsigned long long)now.now_ms, scene,
                   due.steps || due.is_hourly ? "opens" : "rests");
    say(due.steps, due.is_stalled ? "rollouts listen" : "rollouts step");
    say(due.hears, "the connected count as heard");
    say(due.is_hourly, "orders are renewed");
    flo_buf_text(&text, "\n");
    if (due.hears) {
        flo_tick_heard(tick, now.now_ms);
    }
    if (due.is_hourly) {
        flo_tick_took_hour(tick, now.wall_ms);
    }
}

static void each_part_comes_in_its_time(void **state)
{
    struct flo_tick it = {.ticked_ms = 1000};
    const struct flo_tick_now busy = {.listens = true, .has_active = true};
    struct flo_tick_now now = busy;

    (void)state;
    tick(&it, "nobody listens", (struct flo_tick_now){.now_ms = 2000, .has_active = true});
    tick(&it, "no rollout", (struct flo_tick_now){.now_ms = 3000, .listens = true});
    for (uint64_t ms = 4000; ms <= 66000; ms += ms == 5000 ? 58000 : 1000) {
        now.now_ms = it.ticked_ms = ms;
        tick(&it, "a rollout", now);
    }
    now.now_ms = 3 * 66000;
    tick(&it, "the machine slept", now);
    now.now_ms = it.ticked_ms = HOUR_MS;
    now.is_making = true;
    tick(&it, "an hour, and a large order", now);
    now.now_ms += 1000;
    now.is_making = false;
    tick(&it, "the order is made", now);
    now.now_ms += 1000;
    tick(&it, "the same hour", now);
    tick(&it, "the clock went back by an hour",
         (struct flo_tick_now){.now_ms = now.now_ms + 1000, .wall_ms = 5000});
    golden_check("tick", text.data);
    flo_buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_part_comes_in_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
