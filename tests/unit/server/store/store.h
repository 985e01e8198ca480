/* The store by itself, for its tests: each runs over every engine. */
#ifndef FLOTILLA_TESTS_STORE_H
#define FLOTILLA_TESTS_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host/digest.h"

#include "server-stub/store/calls/kept.h"
#include "tests/unit/remove_tree.h"
#include "tests/unit/server/store_faults.h"
#ifdef OVER_POSTGRESQL
#include "server-stub/store/postgresql/limits.h"
#include "server-stub/store/postgresql/postgresql.h"
#include "tests/unit/server/store/cluster.h"
#endif

#define DEVICE "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"
#define BOOT "33333333-3333-4333-8333-333333333333"

struct fixture {
    struct flo_fleet_store *store; /* first: a test sees the store alone */
    char dir[64];                  /* "": none */
};

static inline struct flo_fleet_store *store_of(void **state)
{
    return ((struct fixture *)*state)->store;
}

#ifdef OVER_POSTGRESQL
/* Every wait ends by what it waits for: a slow server is no fault. */
#define HANG_MS (WAITS_HANG_S * UINT64_C(1000))
#define PATIENT_LIMITS                                                                             \
    {                                                                                              \
        .pg = {.again_ms = 1,                                                                      \
               .hurry_ms = HANG_MS,                                                                \
               .answer_ms = HANG_MS,                                                               \
               .on_wait_ms = HANG_MS,                                                              \
               .look_ms = 1},                                                                      \
        .pause_ms = 1, .ask_ms = HANG_MS, .statement_ms = HANG_MS, .lock_ms = HANG_MS,             \
        .idle_ms = HANG_MS                                                                         \
    }
static const struct flo_postgresql_limits patient_limits = PATIENT_LIMITS;

/* NULL limits: PATIENT_LIMITS. */
static inline int open_postgresql(const char *address, uint64_t epoch,
                                  const struct flo_postgresql_limits *limits,
                                  struct flo_fleet_store **out, struct flo_err *err)
{
    struct flo_store_engine *engine = NULL;
    int rv = flo_postgresql_open(address, epoch, limits != NULL ? limits : &patient_limits, &engine,
                                 err);

    return rv < 0 ? rv : flo_fleet_over(engine, out, err);
}
#endif

static inline int open_unsealed(const char *dir, struct flo_fleet_store **out, struct flo_err *err)
{
#ifdef OVER_POSTGRESQL
    if (flo_postgresql_is(dir)) {
        return open_postgresql(dir, 0, NULL, out, err);
    }
#endif
    return flo_fleet_open(dir, 0, out, err);
}

static inline int open_engine(const char *dir, struct flo_fleet_store **out, struct flo_err *err)
{
    static const uint8_t key[FLO_DIGEST_BYTES] = {1};
    int rv = open_unsealed(dir, out, err);

    if (rv == 0) {
        flo_fleet_seal_with(*out, key, "test");
    }
    return rv;
}

static inline int open_store(void **state, const char *dir)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct flo_err err = {0};

    assert_non_null(fixture);
    flo_log_level_set(FLO_LOG_ERROR);
    if (dir == NULL) {
        snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/flotilla-store-XXXXXX");
        assert_non_null(mkdtemp(fixture->dir));
        dir = fixture->dir;
    }
    if (open_engine(dir, &fixture->store, &err) < 0) {
        fail_msg("%s", err.what);
    }
    *state = fixture;
    return 0;
}

static inline int add_device(struct flo_fleet_store *store, const char *id, const char *name,
                             const char *group)
{
    char groups[2][FLO_NAME_MAX + 1] = {"all"};
    struct flo_err err = {0};
    struct flo_fleet_device device = {.id = id,
                                      .name = name,
                                      .labels = "{}",
                                      .profile = "{}",
                                      .groups = "[\"all\"]",
                                      .enrolled_at_ms = 5};

    snprintf(groups[1], sizeof(groups[1]), "%s", group);
    return flo_fleet_device_add(store, &device, (const char(*)[FLO_NAME_MAX + 1]) groups, 2, &err);
}

static inline int in_memory(void **state)
{
    return open_store(state, ":memory:");
}

/* There each call of store.h whose result is asserted is swept with faults first. */
static struct fixture *swept;

static inline int in_faults(void **state)
{
    int rv = in_memory(state);

    swept = *state;
    return rv;
}

static inline bool is_swept(const char *call)
{
    return swept != NULL && !swept->store->is_open &&
           (strncmp(call, "flo_fleet_", 10) == 0 || strncmp(call, "add_device", 10) == 0) &&
           strncmp(call, "flo_fleet_begin", 15) != 0;
}

#undef assert_int_equal
#define assert_int_equal(a, b)                                                                     \
    do {                                                                                           \
        if (is_swept(#a)) {                                                                        \
            FAULTS_SWEEP(swept->store, a, b);                                                      \
        } else {                                                                                   \
            _assert_int_equal(cast_to_largest_integral_type(a), cast_to_largest_integral_type(b),  \
                              __FILE__, __LINE__);                                                 \
        }                                                                                          \
    } while (0)

static inline int in_sqlite(void **state)
{
    return open_store(state, NULL);
}

static inline int close_store(void **state)
{
    struct fixture *fixture = *state;

    swept = NULL;
    flo_fleet_close(fixture->store);
    int rv = fixture->dir[0] != '\0' ? remove_tree(fixture->dir) : 0;
    free(fixture);
    return rv;
}

/* The same tests are built once more for a real PostgreSQL server. */
#ifdef OVER_POSTGRESQL
static struct cluster cluster = {.fsync = "off"};

static inline int in_postgresql(void **state)
{
    cluster_empty(&cluster);
    return open_store(state, cluster.address);
}

#define IN_OTHER in_postgresql /* than in memory */
#define OVER_ENGINES(test)                                                                         \
    {                                                                                              \
        "in postgresql: " #test, test, in_postgresql, close_store, NULL                            \
    }
#define OVER_ALL OVER_ENGINES
#else
#define IN_OTHER in_sqlite
#define OVER_ENGINES(test)                                                                         \
    {"in memory: " #test, test, in_memory, close_store, NULL},                                     \
    {                                                                                              \
        "in sqlite: " #test, test, in_sqlite, close_store, NULL                                    \
    }
#define OVER_ALL(test)                                                                             \
    {"with faults: " #test, test, in_faults, close_store, NULL}, OVER_ENGINES(test)
#endif

/* Ends the program: run its tests. */
static inline int run_over_all(const char *name, const struct CMUnitTest *tests, size_t count)
{
    int rv = 0;

#ifdef OVER_POSTGRESQL
    rv = cluster_share(&cluster);
#endif
    if (rv == 0) {
        rv = _cmocka_run_group_tests(name, tests, count, NULL, NULL);
    }
#ifdef OVER_POSTGRESQL
    cluster_stop(&cluster);
#endif
    return rv;
}

/* Many writes that do not wait for the disk. */
static inline void begin(struct flo_fleet_store *store)
{
    struct flo_err err = {0};

    if (flo_fleet_begin(store, &err) < 0) {
        fail_msg("%s", err.what);
    }
}

static inline void commit(struct flo_fleet_store *store)
{
    struct flo_err err = {0};

    if (flo_fleet_commit(store, &err) < 0) {
        fail_msg("%s", err.what);
    }
}

static inline int take_online(void *context, const struct flo_fleet_device *device)
{
    *(bool *)context = device->is_online;
    return 0;
}

static inline bool is_online(struct flo_fleet_store *store, const char *device)
{
    bool online = false;

    assert_int_equal(flo_fleet_device_get(store, device, take_online, &online, NULL), 0);
    return online;
}

/* ---- all that is stored, as text ---- */

static inline void dump_value(const struct flo_row *row, enum flo_field field, struct flo_buf *out)
{
    char digest[FLO_DIGEST_TEXT];
    struct flo_digest value;

    if (flo_field_is_text(field)) {
        flo_buf_printf(out, " %s", flo_row_text(row, field));
    } else if (flo_fields[field].type == FLO_TYPE_DIGEST) {
        value = flo_row_digest(row, field);
        flo_digest_text(&value, digest);
        flo_buf_printf(out, " %s", digest);
    } else {
        flo_buf_printf(out, " %llu", (unsigned long long)flo_row_number(row, field));
    }
}

static inline int dump_row(void *context, const struct flo_row *row)
{
    flo_buf_text(context, flo_tables[row->table].word);
    for (int field = flo_tables[row->table].first; field < flo_tables[row->table].end; field++) {
        dump_value(row, (enum flo_field)field, context);
    }
    flo_buf_text(context, "\n");
    return 0;
}

static inline struct flo_buf dump(struct flo_fleet_store *store)
{
    struct flo_buf out = {0};
    struct flo_err err = {0};

    flo_buf_text(&out, "");
    for (int table = 0; table < FLO_TABLES; table++) {
        struct flo_query query = {.table = (enum flo_table)table};
        for (int key = 0; key < flo_tables[table].keys; key++) {
            query.sorts[query.sort_count++].field = (enum flo_field)(flo_tables[table].first + key);
        }
        if (flo_fleet_find(store, &query, dump_row, &out, &err) < 0) {
            fail_msg("%s: %s", flo_tables[table].word, err.what);
        }
    }
    assert_false(out.failed);
    return out;
}

#endif
