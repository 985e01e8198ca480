/* Faults of a store: one call of its engine fails, as that of a database that is
 * gone does.  A sweep lets each call fail once. */
#ifndef FLOTILLA_TEST_STORE_FAULTS_H
#define FLOTILLA_TEST_STORE_FAULTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "server-stub/store/calls/kept.h"

static struct {
    const struct flo_store_ops *real;
    struct flo_store_ops ops;
    unsigned calls, at; /* of the engine since the faults began; the one that fails, 0: none */
} faults;

static inline int fault(struct flo_err *err)
{
    return ++faults.calls == faults.at ? flo_fail(err, FLO_E_DB, "the disk is gone") : 0;
}

static inline int fault_find(struct flo_store_engine *engine, const struct flo_query *query,
                             flo_row_take take, void *context, struct flo_err *err)
{
    int rv = fault(err);

    return rv < 0 ? rv : faults.real->find(engine, query, take, context, err);
}

static inline int fault_count(struct flo_store_engine *engine, const struct flo_query *query,
                              const enum flo_field *by, size_t by_count, flo_count_take take,
                              void *context, struct flo_err *err)
{
    int rv = fault(err);

    return rv < 0 ? rv : faults.real->count(engine, query, by, by_count, take, context, err);
}

static inline int fault_insert(struct flo_store_engine *engine, enum flo_table table,
                               const struct flo_field_change *changes, size_t count,
                               uint64_t *changed, struct flo_err *err)
{
    int rv = fault(err);

    return rv < 0 ? rv : faults.real->insert(engine, table, changes, count, changed, err);
}

static inline int fault_put(struct flo_store_engine *engine, enum flo_table table,
                            const struct flo_field_change *changes, size_t count,
                            struct flo_err *err)
{
    int rv = fault(err);

    return rv < 0 ? rv : faults.real->put(engine, table, changes, count, err);
}

static inline int fault_update(struct flo_store_engine *engine, enum flo_table table,
                               const struct flo_field_change *changes, size_t count,
                               const struct flo_match *matches, size_t match_count,
                               uint64_t *changed, struct flo_err *err)
{
    int rv = fault(err);

    return rv < 0 ? rv
                  : faults.real->update(engine, table, changes, count, matches, match_count,
                                        changed, err);
}

static inline int fault_remove(struct flo_store_engine *engine, enum flo_table table,
                               const struct flo_match *matches, size_t match_count,
                               uint64_t *changed, struct flo_err *err)
{
    int rv = fault(err);

    return rv < 0 ? rv : faults.real->remove(engine, table, matches, match_count, changed, err);
}

static inline int fault_begin(struct flo_store_engine *engine, struct flo_err *err)
{
    int rv = fault(err);

    return rv < 0 ? rv : faults.real->begin(engine, err);
}

/* A failed commit is rolled back. */
static inline int fault_commit(struct flo_store_engine *engine, struct flo_err *err)
{
    int rv = fault(err);

    if (rv < 0) {
        faults.real->cancel(engine);
    }
    return rv < 0 ? rv : faults.real->commit(engine, err);
}

/* From now on the store's calls are counted, and call `at` fails. */
static inline void faults_on(struct flo_fleet_store *store, unsigned at)
{
    if (store->engine->ops != &faults.ops) {
        faults.real = store->engine->ops;
        faults.ops = *faults.real;
        faults.ops.find = fault_find;
        faults.ops.count = fault_count;
        faults.ops.insert = fault_insert;
        faults.ops.put = fault_put;
        faults.ops.update = fault_update;
        faults.ops.remove = fault_remove;
        faults.ops.begin = fault_begin;
        faults.ops.commit = fault_commit;
        store->engine->ops = &faults.ops;
    }
    faults.calls = 0;
    faults.at = at;
}

/* True: the call that was to fail was made. */
static inline bool faults_off(void)
{
    bool was_met = faults.at > 0 && faults.calls >= faults.at;

    faults.at = 0;
    return was_met;
}

/* True: the call that was to fail was made; a failure that was passed over ends the test. */
static inline bool faults_met(const char *call, long long code)
{
    unsigned at = faults.at;

    if (!faults_off()) {
        return false;
    }
    if (code != FLO_E_DB) {
        fail_msg("%s passes over that the engine's call %u failed: %lld", call, at, code);
    }
    return true;
}

static inline void faults_begin(struct flo_fleet_store *store, unsigned at)
{
    struct flo_err err = {0};

    if (flo_fleet_begin(store, &err) < 0) {
        fail_msg("%s", err.what);
    }
    faults_on(store, at);
}

static inline bool faults_end(struct flo_fleet_store *store, const char *call, long long code)
{
    struct flo_err err = {0};

    if (faults_met(call, code)) {
        flo_fleet_roll_back(store);
        return true;
    }
    if (flo_fleet_commit(store, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return false;
}

/* Plays `call` until none of its engine's calls fails: each fails once, and `call` has to
 * say so.  At last it answers as expected. */
#define FAULTS_SWEEP_WITH(begin, end, call, expected)                                              \
    do {                                                                                           \
        long long sweep_rv;                                                                        \
        unsigned sweep_at = 0;                                                                     \
        do {                                                                                       \
            ++sweep_at;                                                                            \
            begin;                                                                                 \
            sweep_rv = (long long)(call);                                                          \
        } while (end);                                                                             \
        _assert_int_equal(cast_to_largest_integral_type(sweep_rv),                                 \
                          cast_to_largest_integral_type(expected), __FILE__, __LINE__);            \
    } while (0)

/* Each time in a transaction of its own. */
#define FAULTS_SWEEP(store, call, expected)                                                        \
    FAULTS_SWEEP_WITH(faults_begin(store, sweep_at), faults_end(store, #call, sweep_rv), call,     \
                      expected)
/* `call` begins and ends its own transactions. */
#define FAULTS_SWEEP_WHOLE(store, call, expected)                                                  \
    FAULTS_SWEEP_WITH(faults_on(store, sweep_at), faults_met(#call, sweep_rv), call, expected)

#endif
