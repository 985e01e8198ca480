/* The lease in a real PostgreSQL: who leads, who follows, who is told. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/store/lead.h"
#include "tests/unit/server/store/cluster.h"

static struct cluster cluster = {.fsync = "off"};
static atomic_int lost_count;

static void lost(void *context)
{
    (void)context;
    lost_count++;
}

static struct flo_lead *open_lead(const char *holder, const char *people)
{
    struct flo_lead_self self = {
        .holder = holder, .people = people, .devices = "", .lost = lost};
    struct flo_lead *lead = NULL;
    struct flo_err err = {0};

    if (flo_lead_open(cluster.address, &self, &lead, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return lead;
}

static bool leads_within(struct flo_lead *lead, uint64_t ms)
{
    uint64_t until_ms = flo_now_ms() + ms;

    while (!flo_lead_leads(lead, NULL) && flo_now_ms() < until_ms) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return flo_lead_leads(lead, NULL);
}

static int clean(void **state)
{
    (void)state;
    flo_log_level_set(FLO_LOG_ERROR);
    lost_count = 0;
    cluster_clean(&cluster);
    return 0;
}

static void one_leads_and_the_other_takes_what_it_gives_back(void **state)
{
    struct flo_lead *first = open_lead("one", "10.0.0.1:8080");
    struct flo_lead_row row;
    uint64_t epoch = 0;

    (void)state;
    assert_true(leads_within(first, 60000));
    struct flo_lead *second = open_lead("two", "10.0.0.2:8080");
    flo_lead_seen(second, &row);
    assert_string_equal(row.people, "10.0.0.1:8080");
    assert_true(row.lease.is_held);
    assert_false(leads_within(second, 1500));
    flo_lead_close(first);
    assert_true(leads_within(second, 60000));
    assert_true(flo_lead_leads(second, &epoch));
    assert_int_equal(epoch, 2);
    flo_lead_close(second);
}

/* The folder's lock says that the process before is gone. */
static void a_restart_in_the_same_folder_waits_for_nothing(void **state)
{
    struct flo_lead *before = open_lead("one", "");
    uint64_t begin_ms;

    (void)state;
    assert_true(leads_within(before, 60000));
    cluster_tell(&cluster,
                 "UPDATE flotilla_lease SET epoch = 7, beat = beat + 1");
    begin_ms = flo_now_ms();
    struct flo_lead *again = open_lead("one", "");
    assert_true(leads_within(again, 60000));
    assert_in_range(flo_now_ms() - begin_ms, 0, FLO_LEASE_MS - 1);
    flo_lead_close(again);
    flo_lead_close(before);
}

static void a_leader_whose_sessions_end_leads_on(void **state)
{
    struct flo_lead *lead = open_lead("one", "");
    uint64_t epoch = 0;

    (void)state;
    assert_true(leads_within(lead, 60000));
    cluster_tell(&cluster,
                 "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                 " WHERE pid <> pg_backend_pid() AND"
                 " application_name = 'flotilla-controller'");
    nanosleep(&(struct timespec){.tv_sec = 4, .tv_nsec = 500000000}, NULL);
    assert_true(leads_within(lead, 60000));
    assert_true(flo_lead_leads(lead, &epoch));
    assert_int_equal(epoch, 1);
    assert_int_equal(lost_count, 0);
    flo_lead_close(lead);
}

static void a_leader_that_was_superseded_is_told_once(void **state)
{
    struct flo_lead *lead = open_lead("one", "");

    (void)state;
    assert_true(leads_within(lead, 60000));
    cluster_tell(&cluster,
                 "UPDATE flotilla_lease SET epoch = epoch + 1, beat = beat + 1,"
                 " holder = 'two'");
    for (int i = 0; i < 6000 && lost_count == 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    assert_int_equal(lost_count, 1);
    assert_false(flo_lead_leads(lead, NULL));
    flo_lead_close(lead); /* gives nothing back */
    struct flo_lead *other = open_lead("three", "");
    assert_false(leads_within(other, 1000));
    flo_lead_close(other);
}

static void the_authority_is_told_with_a_beat(void **state)
{
    struct flo_lead *lead = open_lead("one", "");
    struct flo_lead *other;
    struct flo_lead_row row = {.authority = ""};

    (void)state;
    assert_true(leads_within(lead, 60000));
    flo_lead_authority(lead, "abc");
    other = open_lead("two", "");
    for (int i = 0; i < 6000 && row.authority[0] == '\0'; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        flo_lead_seen(other, &row);
    }
    assert_string_equal(row.authority, "abc");
    flo_lead_close(other);
    flo_lead_close(lead);
}

#define LEAD(test)                                                             \
    {                                                                          \
#test, test, clean, NULL, NULL                                         \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEAD(one_leads_and_the_other_takes_what_it_gives_back),
        LEAD(a_restart_in_the_same_folder_waits_for_nothing),
        LEAD(a_leader_whose_sessions_end_leads_on),
        LEAD(a_leader_that_was_superseded_is_told_once),
        LEAD(the_authority_is_told_with_a_beat),
    };
    int rv = cluster_start(&cluster);

    if (rv == 0) {
        rv = cmocka_run_group_tests(tests, NULL, NULL);
    }
    cluster_stop(&cluster);
    return rv;
}
