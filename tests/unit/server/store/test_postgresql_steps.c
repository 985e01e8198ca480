/* PostgreSQL: databases of older and newer programs.
 *
 * postgresql_step_1.sql has the tables of the first build, with rows. */
#include <pthread.h>
#include <stdatomic.h>

#include <flotilla/errors/db.h>
#include <flotilla/errors/state.h>

#include "server-stub/store/lead.h"
#include "server-stub/store/postgresql/connection.h"
#include "tests/unit/server/store/store.h"

static void make_step_1(void)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    struct flo_pg *pg = cluster_connect(&cluster);
    struct flo_err err = {0};
    size_t bytes;
    char *rest = NULL;

    assert_int_equal(
        flo_file_read("tests/unit/server/store/postgresql_step_1.sql", 65536, &text, &bytes, NULL),
        0);
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (flo_pg_run(pg, line, FLO_DB_NONE, NULL, &err) < 0) {
            fail_msg("%.80s: %s", line, err.what);
        }
    }
    flo_pg_close(pg);
}

/* Tables, fields with type, default and collation, keys and indexes. */
static void shape(struct flo_buf *out)
{
    static const char sql[] =
        "SELECT format('%s.%s %s %s %s %s %s', table_name, column_name,"
        " data_type, is_nullable, column_default, collation_name, is_identity)"
        " AS line FROM information_schema.columns WHERE table_schema = 'public'"
        " UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " UNION ALL SELECT format('schema step %s', step) FROM flotilla_schema"
        " ORDER BY line";
    struct flo_pg *pg = cluster_connect(&cluster);
    struct flo_pg_rows *rows = NULL;

    assert_int_equal(flo_pg_query(pg, sql, FLO_DB_NONE, &rows, NULL), 0);
    assert_true(flo_pg_rows_count(rows) > 100);
    for (uint64_t i = 0; i < flo_pg_rows_count(rows); i++) {
        flo_buf_printf(out, "%s\n", flo_pg_text(rows, i, 0));
    }
    flo_pg_rows_free(rows);
    flo_pg_close(pg);
}

static struct flo_fleet_store *open_now(void)
{
    struct flo_fleet_store *store = NULL;
    struct flo_err err = {0};

    if (open_engine(cluster.address, &store, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return store;
}

static int clean(void **state)
{
    (void)state;
    flo_log_level_set(FLO_LOG_ERROR);
    cluster_clean(&cluster);
    return 0;
}

static void a_database_of_the_first_build_becomes_one_that_is_new(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) fresh = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) upgraded = {0};

    (void)state;
    flo_fleet_close(open_now());
    shape(&fresh);
    cluster_clean(&cluster);
    make_step_1();

    flo_fleet_close(open_now());

    shape(&upgraded);
    size_t same = 0; /* to the line that differs */
    for (size_t i = 0; upgraded.data[i] == fresh.data[i] && upgraded.data[i] != '\0'; i++) {
        same = upgraded.data[i] == '\n' ? i + 1 : same;
    }
    assert_string_equal(upgraded.data + same, fresh.data + same);
}

static void rows_of_the_first_build_are_kept_and_filled_in(void **state)
{
    struct flo_err err = {0};
    uint64_t rev = 0;

    (void)state;
    make_step_1();

    struct flo_fleet_store *store = open_now();

    assert_false(is_online(store, DEVICE));
    assert_int_equal(flo_fleet_desired_rev(store, DEVICE, &rev, &err), 0);
    assert_int_equal(rev, 7);
    flo_fleet_close(store);
    assert_int_equal(cluster_number(&cluster, "SELECT count(*) FROM fleet_group"
                                              " WHERE name = 'north' AND priority = 100"),
                     1);
    assert_int_equal(cluster_number(&cluster, "SELECT count(*) FROM fleet_group"), 1);
    assert_int_equal(cluster_number(&cluster, "SELECT count(*) FROM offer WHERE device ="
                                              " '" DEVICE "' AND release = 'sha256:r'"),
                     1);
    assert_int_equal(cluster_number(&cluster, "SELECT count(*) FROM artifact WHERE digest IN"
                                              " ('sha256:f', 'sha256:b', 'sha256:d')"),
                     3);
}

static int take_line(void *context, const char *text)
{
    flo_buf_printf(context, "%s\n", text);
    return 0;
}

/* As in SQLite: nothing of an event is lost, and one form is enough for two. */
static void events_of_older_builds_are_shown_as_before(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) found = {0};
    struct flo_err err = {0};
    uint64_t oldest = 0;

    (void)state;
    make_step_1();
    cluster_tell(&cluster, "INSERT INTO event VALUES (105,'d-1','b-1',1,100,101,"
                           "'{\"from\":1,\"type\":\"execution\",\"rollout\":\"r-1\",\"end\":false,"
                           "\"v\":1,\"boot\":\"b-1\",\"seq\":1,\"at_ms\":100}'),"
                           "(106,'d-2','b-2',1,100,101,"
                           "'{\"from\":1,\"type\":\"execution\",\"rollout\":\"r-1\",\"end\":false,"
                           "\"v\":1,\"boot\":\"b-2\",\"seq\":1,\"at_ms\":100}'),"
                           "(107,'d-1','b-1',2,200,201,"
                           "'{\"type\":\"execution\",\"detail\":{\"n\":1},\"v\":1,"
                           "\"boot\":\"b-1\",\"seq\":2,\"at_ms\":200}'),"
                           "(109,'d-1','b-3',1,300,301,'no object')");

    struct flo_fleet_store *store = open_now();

    assert_int_equal(
        flo_fleet_event_list(store, "d-1", FLO_FLEET_ALL, 9, take_line, &found, &oldest, &err), 0);
    flo_fleet_close(store);
    assert_string_equal(found.data, "{\"type\":\"execution\",\"rollout\":\"r-1\",\"end\":false,"
                                    "\"v\":1,\"from\":1,\"boot\":\"b-1\",\"seq\":1,"
                                    "\"at_ms\":100}\n"
                                    "{\"type\":\"execution\",\"detail\":{\"n\":1},\"v\":1,"
                                    "\"boot\":\"b-1\",\"seq\":2,\"at_ms\":200}\n"
                                    "no object\n");
    assert_int_equal(cluster_number(&cluster, "SELECT count(*) FROM event_form"
                                              " WHERE text LIKE '%r-1%'"),
                     1);
}

/* Builds that did not count left any state between the first and this one. */
static void a_database_that_was_not_counted_keeps_its_fields(void **state)
{
    (void)state;
    flo_fleet_close(open_now());
    cluster_tell(&cluster, "DROP TABLE flotilla_schema");
    cluster_tell(&cluster, "ALTER TABLE device DROP COLUMN pins");
    cluster_tell(&cluster, "INSERT INTO device (id, name, note) VALUES ('" DEVICE "', 'a', 'b')");

    flo_fleet_close(open_now());

    assert_int_equal(cluster_number(&cluster, "SELECT count(*) FROM device"
                                              " WHERE note = 'b' AND pins = ''"),
                     1);
}

static void lost(void *context)
{
    (void)context;
}

/* Time of the lease: it stands still until a test moves it. */
static atomic_ullong clock_ms = 1000000;

static uint64_t now_of(void *context)
{
    (void)context;
    return clock_ms;
}

static const struct flo_lead_self self = {.holder = "one",
                                          .people = "",
                                          .devices = "",
                                          .lost = lost,
                                          .now_ms = now_of,
                                          .limits = &patient_limits};

static bool saw_beat(struct flo_lead *lead, int64_t beat)
{
    struct flo_lead_row row;

    flo_lead_seen(lead, &row);
    return row.lease.beat == (uint64_t)beat;
}

static void a_database_of_a_newer_program_is_refused(void **state)
{
    struct flo_fleet_store *store = NULL;
    struct flo_lead *lead = NULL;
    struct flo_err err = {0};

    (void)state;
    flo_fleet_close(open_now());
    cluster_tell(&cluster, "UPDATE flotilla_schema SET step = 99");
    assert_int_equal(open_engine(cluster.address, &store, &err), FLO_E_DB_NEWER);
    assert_non_null(strstr(err.what, "step 99"));
    assert_null(store);
    assert_int_equal(flo_lead_open(cluster.address, &self, &lead, &err), FLO_E_DB_NEWER);
    assert_int_equal(cluster_number(&cluster, "SELECT epoch FROM flotilla_lease"), 1);
}

/* It stood by before the newer program changed the tables. */
static void an_older_program_that_stands_by_does_not_take_the_lead(void **state)
{
    struct flo_lead *lead = NULL;
    struct flo_err err = {0};

    (void)state;
    flo_fleet_close(open_now());
    cluster_tell(&cluster, "UPDATE flotilla_lease SET held = 1, beat = beat + 1");
    assert_int_equal(flo_lead_open(cluster.address, &self, &lead, &err), 0);
    cluster_tell(&cluster, "UPDATE flotilla_schema SET step = 99");
    int64_t epoch = cluster_number(&cluster, "SELECT epoch FROM flotilla_lease");
    /* A lease that nobody holds: it looks at the row only after each attempt
     * to take it. */
    for (int i = 0; i < 3; i++) {
        int64_t beat =
            cluster_number(&cluster, "UPDATE flotilla_lease SET held = 0, beat = beat + 1"
                                     " RETURNING beat");
        clock_ms += FLO_LEASE_LOOK_MS;
        WAIT_UNTIL(saw_beat(lead, beat));
        assert_false(flo_lead_leads(lead, NULL));
    }
    assert_int_equal(cluster_number(&cluster, "SELECT epoch FROM flotilla_lease"), epoch);
    cluster_tell(&cluster, "UPDATE flotilla_schema SET step = 1");
    WAIT_UNTIL(flo_lead_leads(lead, NULL));
    flo_lead_close(lead);
}

static void *open_at_once(void *context)
{
    struct flo_fleet_store *store = NULL;

    *(int *)context = open_engine(cluster.address, &store, NULL);
    flo_fleet_close(store);
    return NULL;
}

/* The later one begins an epoch, which may end the other's opening. */
static void of_two_that_start_at_once_one_upgrades(void **state)
{
    pthread_t threads[4];
    int results[4];
    int opened = 0;

    (void)state;
    make_step_1();
    cluster_tell(&cluster, "CREATE TABLE flotilla_schema (step bigint NOT NULL)");
    cluster_tell(&cluster, "INSERT INTO flotilla_schema VALUES (0)");
    cluster_tell(&cluster, "CREATE TABLE went (n bigint)");
    cluster_tell(&cluster, "CREATE FUNCTION went() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                           " INSERT INTO went VALUES (1); RETURN NEW; END $$");
    cluster_tell(&cluster, "CREATE TRIGGER went BEFORE UPDATE ON flotilla_schema FOR EACH ROW"
                           " EXECUTE FUNCTION went()");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, open_at_once, &results[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(results[i] == 0 || results[i] == FLO_E_STATE_SUPERSEDED);
        opened += results[i] == 0;
    }
    assert_true(opened > 0);
    assert_int_equal(cluster_number(&cluster, "SELECT count(*) FROM went"), 1);
}

#define STEP(test) cmocka_unit_test_setup(test, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STEP(a_database_of_the_first_build_becomes_one_that_is_new),
        STEP(rows_of_the_first_build_are_kept_and_filled_in),
        STEP(events_of_older_builds_are_shown_as_before),
        STEP(a_database_that_was_not_counted_keeps_its_fields),
        STEP(a_database_of_a_newer_program_is_refused),
        STEP(an_older_program_that_stands_by_does_not_take_the_lead),
        STEP(of_two_that_start_at_once_one_upgrades),
    };

    return run_over_all("steps", tests, FLO_COUNT(tests));
}
