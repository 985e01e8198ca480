/* Candidates next to what runs, and who makes room for a model on demand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/memory/memory.h"

#define MB UINT64_C(1000000)

/* A model with a file of its own; its cache shrinks by a fifth per rung. */
static struct flo_memory_model model_of(const char *name, uint64_t file_mb, uint64_t private_mb,
                                        uint32_t weight)
{
    struct flo_memory_model model = {.weight = weight, .rungs = FLO_MEMORY_RUNGS, .n_files = 1};
    strcpy(model.name, name);
    memset(model.files[0].digest.bytes, name[0], FLO_DIGEST_BYTES);
    model.files[0].bytes = file_mb * MB;
    for (uint32_t i = 0; i < FLO_MEMORY_RUNGS; i++) {
        model.private_bytes[i] = private_mb * MB / 5 * (5 - i);
    }
    return model;
}

static struct flo_memory_plan plan_of(const struct flo_memory_model *models, size_t count,
                                      uint64_t budget_mb)
{
    struct flo_memory_plan plan;
    struct flo_err err = {0};
    if (flo_memory_plan(models, count, budget_mb * MB, &plan, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return plan;
}

/* ---- candidates ---- */

static const char *way_at(uint64_t budget_mb, bool pool_is_free)
{
    const struct flo_memory_model models[] = {model_of("alarm", 400, 100, 60),
                                              model_of("helpdesk", 600, 100, 50)};
    struct flo_memory_model candidate = model_of("new", 400, 100, 60);
    struct flo_memory_plan plan = plan_of(models, 2, budget_mb);
    uint64_t needed;
    enum flo_memory_way way =
        flo_memory_candidate(models, 2, &plan, 0, &candidate, pool_is_free, &needed);
    assert_true(needed <= budget_mb * MB);
    return flo_memory_way_word(way);
}

static void a_candidate_is_loaded_beside_where_there_is_room(void **state)
{
    (void)state;
    assert_string_equal(way_at(1700, true), "warm"); /* 1,200 run */
    assert_string_equal(way_at(1650, true), "small");
    assert_string_equal(way_at(1200, true), "stop-first");
}

static void models_that_idle_on_demand_leave_for_a_candidate(void **state)
{
    const struct flo_memory_model models[] = {model_of("alarm", 400, 100, 60),
                                              model_of("helpdesk", 600, 100, 50),
                                              model_of("side", 600, 100, 40)};
    struct flo_memory_model candidate = model_of("new", 400, 100, 60);
    struct flo_memory_plan plan = plan_of(models, 3, 1100);
    uint64_t needed;
    (void)state;
    assert_int_equal(plan.pool, 620 * MB);
    assert_int_equal(flo_memory_candidate(models, 3, &plan, 0, &candidate, true, &needed),
                     FLO_MEMORY_EVICT);
    assert_int_equal(needed, 960 * MB);
    assert_int_equal(flo_memory_candidate(models, 3, &plan, 0, &candidate, false, &needed),
                     FLO_MEMORY_STOP_FIRST);
}

static void a_candidate_counts_no_file_that_is_mapped(void **state)
{
    const struct flo_memory_model models[] = {model_of("alarm", 400, 100, 50)};
    struct flo_memory_model candidate = models[0];
    struct flo_memory_plan plan = plan_of(models, 1, 600);
    uint64_t needed;
    (void)state;
    assert_int_equal(flo_memory_candidate(models, 1, &plan, 0, &candidate, true, &needed),
                     FLO_MEMORY_WARM);
    assert_int_equal(needed, 600 * MB);
}

/* ---- the pool ---- */

/* A stays; b, c and d share a place of 120, the largest of 120, 70, 40. */
static const char *room_at(uint64_t now_ms, const struct flo_memory_host *hosts, size_t wanted,
                           bool is_soft)
{
    static char text[100];
    struct flo_memory_model models[] = {model_of("a", 100, 50, 90), model_of("b", 100, 100, 30),
                                        model_of("c", 50, 100, 20), model_of("d", 20, 100, 10)};
    struct flo_memory_room room;
    int chars = 0;
    models[0].is_pinned = true;
    struct flo_memory_plan plan = plan_of(models, 4, 235);
    assert_int_equal(plan.pool, 120 * MB);
    flo_memory_room(models, 4, &plan, hosts, wanted, is_soft, now_ms, &room);
    if (!room.has_room) {
        snprintf(text, sizeof(text), "wait %llu", (unsigned long long)room.wait_ms);
        return text;
    }
    text[0] = '\0';
    for (uint32_t i = 0; i < room.n_evict; i++) {
        chars += snprintf(text + chars, sizeof(text) - (size_t)chars, "%s%s", i > 0 ? " " : "",
                          models[room.evict[i]].name);
    }
    return text;
}

static void an_empty_pool_takes_any_of_its_models(void **state)
{
    const struct flo_memory_host hosts[4] = {{0}};
    (void)state;
    assert_string_equal(room_at(0, hosts, 1, false), "");
    assert_string_equal(room_at(0, hosts, 3, true), "");
}

static void two_small_models_stay_together(void **state)
{
    const struct flo_memory_host hosts[4] = {
        [2] = {.is_loaded = true, .loaded_ms = 1000, .used_ms = 1000}};
    (void)state;
    assert_string_equal(room_at(1001, hosts, 3, false), "");
}

static void the_one_that_was_not_used_for_longest_leaves_first(void **state)
{
    struct flo_memory_host hosts[4] = {
        [2] = {.is_loaded = true, .loaded_ms = 1000, .used_ms = 30000},
        [3] = {.is_loaded = true, .loaded_ms = 1000, .used_ms = 20000}};
    (void)state;
    assert_string_equal(room_at(40000, hosts, 1, false), "d c");
    hosts[3].used_ms = 35000;
    assert_string_equal(room_at(40000, hosts, 1, false), "c d");
}

static void a_model_serves_ten_seconds_or_three_loads_before_it_leaves(void **state)
{
    struct flo_memory_host hosts[4] = {
        [2] = {.is_loaded = true, .loaded_ms = 1000, .load_ms = 100}};
    (void)state;
    assert_string_equal(room_at(10999, hosts, 1, false), "wait 1");
    assert_string_equal(room_at(11000, hosts, 1, false), "c");
    hosts[2].load_ms = 5000;
    assert_string_equal(room_at(11000, hosts, 1, false), "wait 5000");
    assert_string_equal(room_at(16000, hosts, 1, false), "c");
}

static void a_model_with_a_request_never_leaves(void **state)
{
    const struct flo_memory_host hosts[4] = {
        [2] = {.is_loaded = true, .loaded_ms = 1000, .requests = 1}};
    (void)state;
    assert_string_equal(room_at(600000, hosts, 1, false), "wait 0");
}

static void a_soft_spec_waits_a_minute_after_the_last_use(void **state)
{
    const struct flo_memory_host hosts[4] = {
        [2] = {.is_loaded = true, .loaded_ms = 1000, .used_ms = 50000}};
    (void)state;
    assert_string_equal(room_at(109999, hosts, 1, true), "wait 1");
    assert_string_equal(room_at(110000, hosts, 1, true), "c");
    assert_string_equal(room_at(60000, hosts, 1, false), "c");
}

/* ---- times ---- */

static void a_load_takes_reading_and_the_last_load_and_the_drain(void **state)
{
    (void)state;
    assert_int_equal(flo_memory_load_ms(0, 0, 80, 0), 80);
    assert_int_equal(flo_memory_load_ms(500 * MB, 100 * MB, 80, 20), 5100);
    assert_int_equal(flo_memory_load_ms(UINT64_C(1) << 44, 1 << 20, 0, 0), 16777216000);
}

static void failed_loads_wait_twice_as_long_up_to_a_minute(void **state)
{
    static const uint64_t ms[] = {0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    (void)state;
    for (uint32_t i = 0; i < sizeof(ms) / sizeof(ms[0]); i++) {
        assert_int_equal(flo_memory_backoff_ms(i), ms[i]);
    }
    assert_int_equal(flo_memory_backoff_ms(UINT32_MAX), 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_candidate_is_loaded_beside_where_there_is_room),
        cmocka_unit_test(models_that_idle_on_demand_leave_for_a_candidate),
        cmocka_unit_test(a_candidate_counts_no_file_that_is_mapped),
        cmocka_unit_test(an_empty_pool_takes_any_of_its_models),
        cmocka_unit_test(two_small_models_stay_together),
        cmocka_unit_test(the_one_that_was_not_used_for_longest_leaves_first),
        cmocka_unit_test(a_model_serves_ten_seconds_or_three_loads_before_it_leaves),
        cmocka_unit_test(a_model_with_a_request_never_leaves),
        cmocka_unit_test(a_soft_spec_waits_a_minute_after_the_last_use),
        cmocka_unit_test(a_load_takes_reading_and_the_last_load_and_the_drain),
        cmocka_unit_test(failed_loads_wait_twice_as_long_up_to_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
