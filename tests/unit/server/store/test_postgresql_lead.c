/* The lease in a real PostgreSQL: who leads, who follows, who is told.
 *
 * Each controller has a clock that stands still until its test moves it. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/keys.h>

#include "server-stub/store/lead.h"
#include "tests/unit/server/store/store.h"

struct node {
    struct flo_lead *lead;
    atomic_ullong now_ms;
    atomic_ullong wall_ms; /* 0: the machine's */
    atomic_int lost;       /* how often it was told */
    atomic_int asked;      /* how often it was to be fit */
};

static void lost(void *context)
{
    ((struct node *)context)->lost++;
}

static uint64_t now_of(void *context)
{
    return ((struct node *)context)->now_ms;
}

static uint64_t wall_of(void *context)
{
    return ((struct node *)context)->wall_ms;
}

static void pass(struct node *node, uint64_t ms)
{
    node->now_ms += ms;
}

typedef int (*fit_fn)(void *context, const char *digest, const char *document, size_t bytes,
                      struct flo_err *err);

static void begin_with(struct node *node, const char *holder, const char *people, fit_fn fit,
                       uint64_t wall_ms)
{
    struct flo_lead_self self = {.holder = holder,
                                 .name = holder,
                                 .people = people,
                                 .devices = "",
                                 .fit = fit,
                                 .lost = lost,
                                 .now_ms = now_of,
                                 .wall_ms = wall_ms != 0 ? wall_of : NULL,
                                 .context = node,
                                 .limits = &patient_limits};
    struct flo_err err = {0};

    *node = (struct node){.now_ms = 1000000, .wall_ms = wall_ms};
    if (flo_lead_open(cluster.address, &self, &node->lead, &err) < 0) {
        fail_msg("%s", err.what);
    }
}

static void begin_lead(struct node *node, const char *holder, const char *people)
{
    begin_with(node, holder, people, NULL, 0);
}

static void begin_fit_lead(struct node *node, const char *holder, fit_fn fit)
{
    begin_with(node, holder, "", fit, 0);
}

static bool leads(const struct node *node)
{
    return flo_lead_leads(node->lead, NULL);
}

static uint64_t beat_seen(const struct node *node)
{
    struct flo_lead_row row;

    flo_lead_seen(node->lead, &row);
    return row.lease.beat;
}

static uint64_t number(const char *what)
{
    char sql[96];

    snprintf(sql, sizeof(sql), "SELECT %s FROM flotilla_lease", what);
    return (uint64_t)cluster_number(&cluster, sql);
}

/* A beat says that it looked: two looks may have the same time. */
static void looks_again(struct node *node, uint64_t after_ms)
{
    uint64_t beat = (uint64_t)cluster_number(
        &cluster, "UPDATE flotilla_lease SET beat = beat + 1 RETURNING beat");

    pass(node, after_ms);
    WAIT_UNTIL(beat_seen(node) == beat);
}

static int clean(void **state)
{
    (void)state;
    flo_log_level_set(FLO_LOG_ERROR);
    cluster_empty(&cluster);
    return 0;
}

/* A leader from the future signs what nobody takes yet. */
static void a_wrong_clock_lets_others_lead_first(void **state)
{
    const uint64_t year_2100_ms = 4102444800000ULL, year_1970_ms = 1;
    struct node first, wrong, right;

    (void)state;
    begin_lead(&first, "one", "");
    WAIT_UNTIL(leads(&first));
    begin_with(&wrong, "two", "", NULL, year_2100_ms);
    begin_lead(&right, "three", "");
    flo_lead_close(first.lead);
    pass(&wrong, FLO_LEASE_MS);
    pass(&right, FLO_LEASE_LOOK_MS);
    WAIT_UNTIL(leads(&right));
    assert_false(leads(&wrong));

    /* Alone it leads, and a clock behind is wrong as well. */
    wrong.wall_ms = year_1970_ms;
    flo_lead_close(right.lead);
    looks_again(&wrong, FLO_LEASE_LOOK_MS);
    looks_again(&wrong, FLO_LEASE_LOOK_MS);
    assert_false(leads(&wrong));
    pass(&wrong, FLO_LEASE_LATE_MS);
    WAIT_UNTIL(leads(&wrong));
    flo_lead_close(wrong.lead);
}

static void one_leads_and_the_other_takes_what_it_gives_back(void **state)
{
    struct node first, second;
    struct flo_lead_row row;
    uint64_t epoch = 0;

    (void)state;
    begin_lead(&first, "one", "10.0.0.1:8080");
    WAIT_UNTIL(leads(&first));
    begin_lead(&second, "two", "10.0.0.2:8080");
    flo_lead_seen(second.lead, &row);
    assert_string_equal(row.people, "10.0.0.1:8080");
    assert_true(row.lease.is_held);
    for (int i = 0; i < 4; i++) { /* by its clock more than a lease in all */
        uint64_t beat = number("beat");
        pass(&first, FLO_LEASE_BEAT_MS);
        WAIT_UNTIL(number("beat") > beat);
        pass(&second, FLO_LEASE_MS / 2);
        WAIT_UNTIL(beat_seen(&second) > beat);
        assert_false(leads(&second));
        assert_true(leads(&first));
    }
    flo_lead_close(first.lead);
    pass(&second, FLO_LEASE_LOOK_MS);
    WAIT_UNTIL(leads(&second));
    assert_true(flo_lead_leads(second.lead, &epoch));
    assert_int_equal(epoch, 2);
    flo_lead_close(second.lead);
}

/* The folder's lock says that the process before is gone. */
static void a_restart_in_the_same_folder_waits_for_nothing(void **state)
{
    struct node before, again;

    (void)state;
    begin_lead(&before, "one", "");
    WAIT_UNTIL(leads(&before));
    cluster_tell(&cluster, "UPDATE flotilla_lease SET epoch = 7, beat = beat + 1");
    begin_lead(&again, "one", "");
    WAIT_UNTIL(leads(&again)); /* no time has passed on its clock */
    flo_lead_close(again.lead);
    flo_lead_close(before.lead);
}

static void a_leader_whose_sessions_end_leads_on(void **state)
{
    struct node one;
    uint64_t epoch = 0, before, passed_ms = 0;

    (void)state;
    begin_lead(&one, "one", "");
    WAIT_UNTIL(leads(&one));
    cluster_end_sessions(&cluster, "flotilla-controller");
    before = number("beat");
    /* Longer than it leads by its last beat. */
    WAIT_TURNING(passed_ms > FLO_LEASE_MS && number("beat") >= before + 2,
                 (pass(&one, 100), passed_ms += 100, waits_pause()));
    WAIT_UNTIL(leads(&one));
    assert_true(flo_lead_leads(one.lead, &epoch));
    assert_int_equal(epoch, 1);
    assert_int_equal(one.lost, 0);
    flo_lead_close(one.lead);
}

static void a_leader_that_was_superseded_is_told_once(void **state)
{
    struct node one, other;

    (void)state;
    begin_lead(&one, "one", "");
    WAIT_UNTIL(leads(&one));
    cluster_tell(&cluster, "UPDATE flotilla_lease SET epoch = epoch + 1, beat = beat + 1,"
                           " holder = 'two'");
    pass(&one, FLO_LEASE_BEAT_MS);
    WAIT_UNTIL(one.lost > 0);
    assert_false(leads(&one));
    flo_lead_close(one.lead); /* gives nothing back */
    assert_int_equal(one.lost, 1);
    begin_lead(&other, "three", "");
    for (int i = 0; i < 3; i++) {
        looks_again(&other, FLO_LEASE_MS / 2);
        assert_false(leads(&other));
    }
    assert_int_equal(number("held"), 1);
    pass(&other, FLO_LEASE_MS); /* without a beat */
    WAIT_UNTIL(leads(&other));
    flo_lead_close(other.lead);
}

/* The document is what the digest says, or is not there yet. */
static int fit(void *context, const char *digest, const char *document, size_t bytes,
               struct flo_err *err)
{
    struct node *node = context;

    node->asked++;
    return bytes == strlen(digest) && memcmp(digest, document, bytes) == 0
               ? 0
               : flo_fail(err, FLO_E_KEYS_ABSENT, "not %s", digest);
}

static void put_keyring(const char *body)
{
    char sql[96];

    cluster_tell(&cluster, "CREATE TABLE IF NOT EXISTS keyring"
                           " (number bigint, digest text, body text)");
    cluster_tell(&cluster, "DELETE FROM keyring");
    snprintf(sql, sizeof(sql), "INSERT INTO keyring VALUES (1, 'abc', '%s')", body);
    cluster_tell(&cluster, sql);
    cluster_tell(&cluster, "UPDATE flotilla_lease SET needs = 'abc'");
}

static void who_lacks_what_a_leader_must_have_does_not_lead(void **state)
{
    struct node one;
    struct flo_err lacks;
    uint64_t passed_ms = 0;

    (void)state;
    begin_lead(&one, "before", ""); /* makes the row */
    WAIT_UNTIL(leads(&one));
    flo_lead_close(one.lead);
    put_keyring("other");
    begin_fit_lead(&one, "one", fit);
    WAIT_TURNING(passed_ms > 2 * FLO_LEASE_MS && one.asked > 3,
                 (pass(&one, 100), passed_ms += 100, waits_pause()));
    assert_false(leads(&one));
    assert_true(flo_lead_lacks(one.lead, &lacks));
    assert_int_equal(lacks.code, FLO_E_KEYS_ABSENT);
    assert_int_equal(cluster_number(&cluster, "SELECT count(*) FROM flotilla_controller"
                                              " WHERE lacks = 'keys.absent: not abc'"),
                     1);

    put_keyring("abc");
    WAIT_TURNING(leads(&one), (pass(&one, 100), waits_pause()));
    assert_false(flo_lead_lacks(one.lead, &lacks));
    flo_lead_close(one.lead);
}

static const struct flo_lead_member *member_of(const struct flo_lead_view *view, const char *holder)
{
    for (size_t i = 0; i < view->member_count; i++) {
        if (strcmp(view->members[i].holder, holder) == 0) {
            return &view->members[i];
        }
    }
    return NULL;
}

static bool knows(const struct node *node, size_t members, struct flo_lead_view *out)
{
    flo_lead_view(node->lead, out);
    return out->member_count == members && out->change_count > 0;
}

/* As the leader knows it in the end. */
static void view_until(struct node *node, size_t members, struct flo_lead_view *out)
{
    WAIT_TURNING(knows(node, members, out), (pass(node, 100), waits_pause()));
    WAIT_UNTIL(leads(node)); /* its beat may be due */
    flo_lead_view(node->lead, out);
}

/* Rows have the server's ages, rounded. */
#define ROUNDED_MS 2

static void the_leader_knows_who_stands_by_and_who_led(void **state)
{
    struct node first, second;
    struct flo_lead_view view;
    uint64_t begin_ms = waits_wall_ms();

    (void)state;
    begin_lead(&first, "one", "10.0.0.1:8080");
    WAIT_UNTIL(leads(&first));
    begin_lead(&second, "two", "10.0.0.2:8080");
    view_until(&first, 2, &view);
    assert_true(view.leads);
    assert_int_equal(view.epoch, 1);
    assert_true(member_of(&view, "one")->is_holder);
    assert_false(member_of(&view, "two")->is_holder);
    assert_string_equal(member_of(&view, "two")->people, "10.0.0.2:8080");
    assert_string_equal(member_of(&view, "two")->version, FLO_VERSION);
    assert_in_range(member_of(&view, "two")->heard_at_ms, begin_ms - ROUNDED_MS,
                    waits_wall_ms() + ROUNDED_MS);

    /* It ended in good order: nobody misses it. */
    flo_lead_close(first.lead);
    pass(&second, FLO_LEASE_LOOK_MS);
    WAIT_UNTIL(leads(&second));
    view_until(&second, 1, &view);
    assert_true(member_of(&view, "two")->is_holder);
    assert_int_equal(view.changes_hour, 2);
    assert_int_equal(view.change_count, 2);
    assert_string_equal(view.changes[0].name, "two");
    assert_int_equal(view.changes[0].epoch, 2);
    assert_string_equal(view.changes[1].name, "one");
    flo_lead_close(second.lead);
}

static void who_is_gone_for_a_day_is_forgotten(void **state)
{
    struct node one;
    struct flo_lead_view view;
    uint64_t begin_ms;

    (void)state;
    begin_lead(&one, "one", "");
    WAIT_UNTIL(leads(&one));
    begin_ms = waits_wall_ms();
    cluster_tell(&cluster, "INSERT INTO flotilla_controller SELECT h, h, '', '', '1', 0,"
                           " (extract(epoch from now()) * 1000)::bigint - age FROM"
                           " (VALUES ('hour', 3600000), ('day', 90000000)) AS t(h, age)");
    view_until(&one, 2, &view);
    assert_non_null(member_of(&view, "hour"));
    assert_in_range(member_of(&view, "hour")->heard_at_ms, begin_ms - 3600000 - ROUNDED_MS,
                    waits_wall_ms() - 3600000 + ROUNDED_MS);
    assert_int_equal(cluster_number(&cluster, "SELECT count(*) FROM flotilla_controller"
                                              " WHERE holder = 'day'"),
                     0);
    flo_lead_close(one.lead);
}

#define LEAD(test)                                                                                 \
    {                                                                                              \
#test, test, clean, NULL, NULL                                                             \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEAD(a_wrong_clock_lets_others_lead_first),
        LEAD(one_leads_and_the_other_takes_what_it_gives_back),
        LEAD(a_restart_in_the_same_folder_waits_for_nothing),
        LEAD(a_leader_whose_sessions_end_leads_on),
        LEAD(a_leader_that_was_superseded_is_told_once),
        LEAD(who_lacks_what_a_leader_must_have_does_not_lead),
        LEAD(the_leader_knows_who_stands_by_and_who_led),
        LEAD(who_is_gone_for_a_day_is_forgotten),
    };

    return run_over_all("lead", tests, FLO_COUNT(tests));
}
