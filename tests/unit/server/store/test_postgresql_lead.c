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
    struct flo_lead_self self = {.holder = holder,
                                 .name = holder,
                                 .people = people,
                                 .devices = "",
                                 .lost = lost};
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

static const struct flo_lead_member *member_of(const struct flo_lead_view *view,
                                               const char *holder)
{
    for (size_t i = 0; i < view->member_count; i++) {
        if (strcmp(view->members[i].holder, holder) == 0) {
            return &view->members[i];
        }
    }
    return NULL;
}

/* As the leader knows it in the end. */
static void view_until(struct flo_lead *lead, size_t members,
                       struct flo_lead_view *out)
{
    for (int i = 0; i < 6000; i++) {
        flo_lead_view(lead, out);
        if (out->member_count == members && out->change_count > 0) {
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    fail_msg("the leader knows %zu controllers, not %zu", out->member_count,
             members);
}

static void the_leader_knows_who_stands_by_and_who_led(void **state)
{
    struct flo_lead *first = open_lead("one", "10.0.0.1:8080");
    struct flo_lead_view view;

    (void)state;
    assert_true(leads_within(first, 60000));
    struct flo_lead *second = open_lead("two", "10.0.0.2:8080");
    view_until(first, 2, &view);
    assert_true(view.leads);
    assert_int_equal(view.epoch, 1);
    assert_true(member_of(&view, "one")->is_holder);
    assert_false(member_of(&view, "two")->is_holder);
    assert_string_equal(member_of(&view, "two")->people, "10.0.0.2:8080");
    assert_string_equal(member_of(&view, "two")->version, FLO_VERSION);
    assert_in_range(flo_wall_ms() - member_of(&view, "two")->heard_at_ms, 0,
                    600000);

    /* It ended in good order: nobody misses it. */
    flo_lead_close(first);
    assert_true(leads_within(second, 60000));
    view_until(second, 1, &view);
    assert_true(member_of(&view, "two")->is_holder);
    assert_int_equal(view.changes_hour, 2);
    assert_int_equal(view.change_count, 2);
    assert_string_equal(view.changes[0].name, "two");
    assert_int_equal(view.changes[0].epoch, 2);
    assert_string_equal(view.changes[1].name, "one");
    flo_lead_close(second);
}

static void who_is_gone_for_a_day_is_forgotten(void **state)
{
    struct flo_lead *lead = open_lead("one", "");
    struct flo_lead_view view;

    (void)state;
    assert_true(leads_within(lead, 60000));
    cluster_tell(&cluster,
                 "INSERT INTO flotilla_controller SELECT h, h, '', '', '1', 0,"
                 " (extract(epoch from now()) * 1000)::bigint - age FROM"
                 " (VALUES ('hour', 3600000), ('day', 90000000)) AS t(h, age)");
    view_until(lead, 2, &view);
    assert_non_null(member_of(&view, "hour"));
    assert_in_range(flo_wall_ms() - member_of(&view, "hour")->heard_at_ms,
                    3600000 - 60000, 3600000 + 600000);
    assert_int_equal(cluster_number(&cluster,
                                    "SELECT count(*) FROM flotilla_controller"
                                    " WHERE holder = 'day'"),
                     0);
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
        LEAD(the_leader_knows_who_stands_by_and_who_led),
        LEAD(who_is_gone_for_a_day_is_forgotten),
    };
    int rv = cluster_start(&cluster);

    if (rv == 0) {
        rv = cmocka_run_group_tests(tests, NULL, NULL);
    }
    cluster_stop(&cluster);
    return rv;
}
