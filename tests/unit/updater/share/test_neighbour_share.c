/* The budget of bytes for neighbours, and the agent's lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/meta.h>

#include "updater/share/share.h"

static void a_day_ends_what_is_given_and_the_next_begins_anew(void **state)
{
    struct flo_share_budget budget = {.limit_bytes = 100, .began_ms = 5};
    uint64_t left_ms;

    (void)state;
    assert_true(flo_share_budget_has(&budget, 5, &left_ms));
    assert_int_equal(left_ms, FLO_SHARE_DAY_MS);
    assert_true(flo_share_budget_spend(&budget, 99, 6));
    assert_false(flo_share_budget_spend(&budget, 1, 7));
    assert_false(flo_share_budget_has(&budget, FLO_SHARE_DAY_MS + 4, &left_ms));
    assert_int_equal(left_ms, 1);
    assert_true(flo_share_budget_has(&budget, FLO_SHARE_DAY_MS + 5, &left_ms));
    assert_int_equal(budget.used_bytes, 0);
}

static void without_a_limit_it_counts_and_never_ends(void **state)
{
    struct flo_share_budget budget = {0};

    (void)state;
    assert_true(flo_share_budget_spend(&budget, UINT64_MAX - 1, 0));
    assert_true(flo_share_budget_spend(&budget, 7, 0));
    assert_int_equal(budget.used_bytes, UINT64_MAX);
}

#define JOB(device, transfers)                                                                     \
    "{\"v\":1,\"state_dir\":\"/s\",\"device\":\"" device "\","                                     \
    "\"listen\":\"127.0.0.1:0\",\"ca_file\":\"/c\",\"cert_file\":\"/d\","                          \
    "\"key_file\":\"/k\",\"revoked_file\":\"/r\",\"rate_bytes_per_s\":3,"                          \
    "\"budget_bytes\":1,\"used_bytes\":0,\"used_ms\":0,"                                           \
    "\"transfers_max\":" transfers ",\"time_ms\":0,\"sandbox\":\"required\"}"
#define DEVICE "1ff53d56-16b5-4c8e-8d1e-8f6c3a1b2c3d"

static int parse_job(const char *text, struct flo_share_job *job)
{
    return flo_share_job_parse(text, strlen(text), job, NULL);
}

static void a_job_says_everything_or_is_refused(void **state)
{
    struct flo_share_job job;

    (void)state;
    assert_int_equal(parse_job(JOB(DEVICE, "8"), &job), 0);
    assert_string_equal(job.device, DEVICE);
    assert_int_equal(job.rate_bytes_per_s, 3);
    flo_share_job_deinit(&job);
    assert_int_equal(parse_job(JOB("somebody", "8"), &job), FLO_E_META_SCHEMA);
    assert_int_equal(parse_job(JOB(DEVICE, "0"), &job), FLO_E_META_SCHEMA);
    assert_int_equal(parse_job("{\"v\":1}", &job), FLO_E_META_SCHEMA);
    assert_int_equal(parse_job("{", &job), FLO_E_META_JSON);
}

static void what_is_fetched_is_a_list_of_digests(void **state)
{
    static struct flo_share_fetched fetched;
    const char good[] = "{\"fetched\":[\"sha256:"
                        "803792f668684f02f09ab4c7975db40de40054deef6c8c94f472b56d805c519e\"],"
                        "\"moves\":true}";
    const char bad[] = "{\"fetched\":[\"sha256:80\"],\"moves\":true}";

    (void)state;
    assert_int_equal(flo_share_fetched_parse(good, sizeof(good) - 1, &fetched, NULL), 0);
    assert_int_equal(fetched.count, 1);
    assert_true(fetched.moves);
    /* The line before holds. */
    assert_int_equal(flo_share_fetched_parse(bad, sizeof(bad) - 1, &fetched, NULL),
                     FLO_E_META_SCHEMA);
    assert_int_equal(fetched.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_day_ends_what_is_given_and_the_next_begins_anew),
        cmocka_unit_test(without_a_limit_it_counts_and_never_ends),
        cmocka_unit_test(a_job_says_everything_or_is_refused),
        cmocka_unit_test(what_is_fetched_is_a_list_of_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
