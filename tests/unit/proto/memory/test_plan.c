/* The memory planner: the table of examples, and what holds for any models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/memory.h>

#include "proto/memory/memory.h"

#define MB UINT64_C(1000000)
#define HALF_FILE (400 * MB)

/* ---- models of the table ---- */

static struct flo_digest digest_of(char name)
{
    struct flo_digest digest;
    memset(digest.bytes, name, sizeof(digest.bytes));
    return digest;
}

/* Cache of a rung: 34 bytes of q8_0 hold what 64 of f16 do. */
static struct flo_memory_model native(const char *name, char file, uint64_t file_bytes,
                                      uint64_t cache_per_token, uint64_t fixed)
{
    struct flo_memory_model model = {.weight = FLO_MEMORY_WEIGHT_STANDARD,
                                     .rungs = FLO_MEMORY_RUNGS,
                                     .n_files = 1,
                                     .files = {{digest_of(file), file_bytes}}};
    struct flo_memory_rung rungs[FLO_MEMORY_RUNGS];
    strcpy(model.name, name);
    flo_memory_rungs(0, 0, rungs);
    for (size_t i = 0; i < FLO_MEMORY_RUNGS; i++) {
        uint64_t cache = cache_per_token * rungs[i].context * rungs[i].sessions;
        model.private_bytes[i] =
            fixed + (rungs[i].cache == FLO_MEMORY_CACHE_Q8_0 ? cache / 64 * 34 : cache);
    }
    return model;
}

static struct flo_memory_model alarm_model(bool is_pinned)
{
    struct flo_memory_model model = native("alarm", 'h', HALF_FILE, 12288, 70 * MB);
    model.is_pinned = is_pinned;
    return model;
}

static struct flo_memory_model site_model(void)
{
    struct flo_memory_model model = native("site", 'h', HALF_FILE, 12288, 85 * MB);
    model.weight = 40;
    return model;
}

static struct flo_memory_model helpdesk_model(uint32_t weight)
{
    struct flo_memory_model model = native("helpdesk", 'o', 669 * MB, 32768, 75 * MB);
    model.weight = weight;
    return model;
}

static struct flo_memory_model vision_model(void)
{
    return (struct flo_memory_model){
        .name = "vision", .weight = 60, .rungs = 1, .private_bytes = {300 * MB}};
}

/* ---- a plan as text ---- */

static const char *text_of(const struct flo_memory_model *models, size_t count, uint64_t budget)
{
    static char text[400];
    struct flo_memory_plan plan;
    struct flo_err err = {0};
    int rv = flo_memory_plan(models, count, budget, &plan, &err);
    int chars = 0;
    text[0] = '\0';
    assert_int_equal(rv, plan.fits ? 0 : FLO_E_MEMORY_BUDGET);
    if (rv < 0) {
        snprintf(text, sizeof(text), "%s %llu", flo_error_id(rv),
                 (unsigned long long)((plan.planned + MB / 2) / MB));
        return text;
    }
    for (size_t i = 0; i < count; i++) {
        chars += plan.models[i].is_resident
                     ? snprintf(text + chars, sizeof(text) - (size_t)chars, "%s R%u, ",
                                models[i].name, plan.models[i].rung)
                     : snprintf(text + chars, sizeof(text) - (size_t)chars, "%s on demand, ",
                                models[i].name);
    }
    if (plan.pool > 0) {
        chars += snprintf(text + chars, sizeof(text) - (size_t)chars, "pool %llu, ",
                          (unsigned long long)((plan.pool + MB / 2) / MB));
    }
    snprintf(text + chars, sizeof(text) - (size_t)chars, "%llu",
             (unsigned long long)((plan.planned + MB / 2) / MB));
    return text;
}

#define SMALL_BUDGET (770 * MB)
#define MIDDLE_BUDGET (1540 * MB)
#define LARGE_BUDGET (3100 * MB)

static void plans_are(const struct flo_memory_model *models, size_t count, const char *small,
                      const char *middle, const char *large)
{
    assert_string_equal(text_of(models, count, SMALL_BUDGET), small);
    assert_string_equal(text_of(models, count, MIDDLE_BUDGET), middle);
    assert_string_equal(text_of(models, count, LARGE_BUDGET), large);
}

/* ---- the table ---- */

static void one_small_model_fits_whole_everywhere(void **state)
{
    const struct flo_memory_model models[] = {alarm_model(true)};
    (void)state;
    plans_are(models, 1, "alarm R0, 571", "alarm R0, 571", "alarm R0, 571");
}

static void one_large_model_gets_its_last_rung_on_a_small_device(void **state)
{
    const struct flo_memory_model models[] = {helpdesk_model(50)};
    (void)state;
    plans_are(models, 1, "helpdesk R4, 753", "helpdesk R0, 1012", "helpdesk R0, 1012");
}

static void two_models_on_one_base_count_its_file_once(void **state)
{
    const struct flo_memory_model models[] = {alarm_model(false), site_model()};
    (void)state;
    plans_are(models, 2, "alarm R0, site R0, 756", "alarm R0, site R0, 756",
              "alarm R0, site R0, 756");
}

static void a_pinned_model_does_not_give_way(void **state)
{
    const struct flo_memory_model models[] = {alarm_model(true), helpdesk_model(50)};
    (void)state;
    plans_are(models, 2, "memory.budget 1226", "alarm R0, helpdesk R1, 1457",
              "alarm R0, helpdesk R0, 1583");
}

static void unpinned_models_become_on_demand_where_no_rung_fits(void **state)
{
    const struct flo_memory_model models[] = {alarm_model(false), helpdesk_model(50)};
    (void)state;
    plans_are(models, 2, "alarm on demand, helpdesk on demand, pool 753, 753",
              "alarm R0, helpdesk R1, 1457", "alarm R0, helpdesk R0, 1583");
}

static void four_models_share_a_device_by_weight_and_pin(void **state)
{
    const struct flo_memory_model models[] = {alarm_model(true), site_model(), helpdesk_model(45),
                                              vision_model()};
    (void)state;
    plans_are(models, 4, "memory.budget 1226",
              "alarm R3, site on demand, helpdesk on demand, vision R0, pool "
              "753, 1536",
              "alarm R0, site R0, helpdesk R0, vision R0, 2069");
}

static void a_refusal_names_every_model_and_its_bytes(void **state)
{
    const struct flo_memory_model models[] = {alarm_model(true), helpdesk_model(50)};
    struct flo_memory_plan plan;
    struct flo_err err = {0};
    (void)state;
    assert_int_equal(flo_memory_plan(models, 2, SMALL_BUDGET, &plan, &err), FLO_E_MEMORY_BUDGET);
    assert_non_null(strstr(err.what, "the budget is 770000000"));
    assert_non_null(strstr(err.what, "alarm 473 MB pinned"));
    assert_non_null(strstr(err.what, "helpdesk 752 MB on demand"));
    assert_false(plan.fits);
}

/* ---- rungs and budgets ---- */

static void a_smaller_spec_bounds_every_later_rung(void **state)
{
    struct flo_memory_rung rungs[FLO_MEMORY_RUNGS];
    (void)state;
    flo_memory_rungs(1024, 1, rungs);
    assert_int_equal(rungs[0].context, 1024);
    assert_int_equal(rungs[0].cache, FLO_MEMORY_CACHE_F16);
    assert_int_equal(rungs[1].context, 1024);
    assert_int_equal(rungs[1].sessions, 1);
    assert_int_equal(rungs[1].cache, FLO_MEMORY_CACHE_Q8_0);
    assert_int_equal(rungs[4].context, 512);
    flo_memory_rungs(8192, 8, rungs);
    assert_int_equal(rungs[0].context, 8192);
    assert_int_equal(rungs[0].sessions, 8);
    assert_int_equal(rungs[1].context, 2048);
    assert_int_equal(rungs[1].sessions, 4);
}

static void the_budget_is_the_smallest_of_three_limits(void **state)
{
    (void)state;
    assert_int_equal(flo_memory_budget(0, 1000, 0), 800);
    assert_int_equal(flo_memory_budget(900, 1000, 0), 900);
    assert_int_equal(flo_memory_budget(0, 1000, 500), 450);
    assert_int_equal(flo_memory_budget(400, 1000, 500), 400);
}

/* ---- what holds for any models ---- */

static uint64_t seed = 7;

static uint64_t below(uint64_t count)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % count;
}

static size_t any_models(struct flo_memory_model *models)
{
    size_t count = 1 + below(8);
    for (size_t i = 0; i < count; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        uint32_t rungs = below(4) == 0 ? 1 : FLO_MEMORY_RUNGS;
        models[i] =
            (struct flo_memory_model){.is_pinned = below(4) == 0,
                                      .weight = (uint32_t)below(4) * 25,
                                      .rungs = rungs,
                                      .rung_min = (uint32_t)below(8) == 0 ? (uint32_t)below(5) : 0,
                                      .is_demoted = below(10) == 0,
                                      .n_files = (uint32_t)below(4)};
        strcpy(models[i].name, name);
        uint64_t bytes = 1 + below(500 * MB);
        for (uint32_t rung = 0; rung < rungs; rung++) {
            models[i].private_bytes[rung] = bytes;
            bytes -= below(bytes / 2 + 1);
        }
        for (uint32_t file = 0; file < models[i].n_files; file++) {
            char which = (char)('A' + below(6)); /* bytes go by the digest */
            models[i].files[file] =
                (struct flo_memory_file){digest_of(which), (uint64_t)(which - 'A' + 1) * 50 * MB};
        }
    }
    return count;
}

/* Counted in another way than the planner does. */
static uint64_t count_again(const struct flo_memory_model *models, size_t count,
                            const struct flo_memory_plan *plan, size_t guest)
{
    bool has_file[6] = {false};
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (!plan->models[i].is_resident && i != guest) {
            continue;
        }
        bytes += models[i].private_bytes[plan->models[i].rung];
        for (uint32_t file = 0; file < models[i].n_files; file++) {
            has_file[models[i].files[file].digest.bytes[0] - 'A'] = true;
        }
    }
    for (size_t i = 0; i < 6; i++) {
        bytes += has_file[i] ? (i + 1) * 50 * MB : 0;
    }
    return bytes;
}

static void a_plan_that_fits_stays_within_the_budget_with_any_guest(void **state)
{
    (void)state;
    size_t fitting = 0;
    for (int round = 0; round < 20000; round++) {
        struct flo_memory_model models[FLO_MEMORY_MODELS_MAX];
        struct flo_memory_plan plan;
        size_t count = any_models(models);
        uint64_t budget = 1 + below(3000 * MB);
        uint64_t most = 0;
        if (flo_memory_plan(models, count, budget, &plan, NULL) < 0) {
            continue;
        }
        fitting++;
        for (size_t guest = 0; guest < count; guest++) {
            uint64_t bytes = count_again(models, count, &plan, guest);
            assert_true(bytes <= budget);
            most = bytes > most ? bytes : most;
            assert_true(plan.models[guest].is_resident || !models[guest].is_pinned);
            assert_true(plan.models[guest].rung < models[guest].rungs);
        }
        assert_int_equal(most, plan.planned);
    }
    assert_true(fitting > 2000);
}

static void the_order_of_the_models_changes_no_plan(void **state)
{
    (void)state;
    for (int round = 0; round < 5000; round++) {
        struct flo_memory_model models[FLO_MEMORY_MODELS_MAX];
        struct flo_memory_model mixed[FLO_MEMORY_MODELS_MAX];
        size_t at[FLO_MEMORY_MODELS_MAX];
        struct flo_memory_plan plan, other;
        size_t count = any_models(models);
        uint64_t budget = 1 + below(3000 * MB);
        for (size_t i = 0; i < count; i++) {
            size_t place = below(i + 1);
            at[i] = at[place];
            at[place] = i;
        }
        for (size_t i = 0; i < count; i++) {
            mixed[i] = models[at[i]];
        }
        int rv = flo_memory_plan(models, count, budget, &plan, NULL);
        assert_int_equal(flo_memory_plan(mixed, count, budget, &other, NULL), rv);
        assert_int_equal(plan.planned, other.planned);
        assert_int_equal(plan.pool, other.pool);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(plan.models[at[i]].is_resident, other.models[i].is_resident);
            assert_int_equal(plan.models[at[i]].rung, other.models[i].rung);
        }
    }
}

static void more_budget_never_needs_a_refusal(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct flo_memory_model models[FLO_MEMORY_MODELS_MAX];
        struct flo_memory_plan plan;
        size_t count = any_models(models);
        uint64_t budget = 1 + below(3000 * MB);
        if (flo_memory_plan(models, count, budget, &plan, NULL) < 0) {
            assert_true(plan.planned > budget);
            assert_int_equal(flo_memory_plan(models, count, plan.planned, &plan, NULL), 0);
        } else {
            assert_int_equal(flo_memory_plan(models, count, budget + 1, &plan, NULL), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_small_model_fits_whole_everywhere),
        cmocka_unit_test(one_large_model_gets_its_last_rung_on_a_small_device),
        cmocka_unit_test(two_models_on_one_base_count_its_file_once),
        cmocka_unit_test(a_pinned_model_does_not_give_way),
        cmocka_unit_test(unpinned_models_become_on_demand_where_no_rung_fits),
        cmocka_unit_test(four_models_share_a_device_by_weight_and_pin),
        cmocka_unit_test(a_refusal_names_every_model_and_its_bytes),
        cmocka_unit_test(a_smaller_spec_bounds_every_later_rung),
        cmocka_unit_test(the_budget_is_the_smallest_of_three_limits),
        cmocka_unit_test(a_plan_that_fits_stays_within_the_budget_with_any_guest),
        cmocka_unit_test(the_order_of_the_models_changes_no_plan),
        cmocka_unit_test(more_budget_never_needs_a_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
