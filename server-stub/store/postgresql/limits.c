/* Limits: default values. */
#include <stdio.h>
#include <time.h>

#include "server-stub/store/postgresql/connection.h"
#include "server-stub/store/postgresql/limits.h"

const struct flo_postgresql_limits flo_postgresql_store_limits = {
    .pg = {FLO_PG_USUAL, .answer_ms = 6000},
    .pause_ms = 100,
    .ask_ms = 2000,
    .statement_ms = 5000,
    .lock_ms = 3000,
    .idle_ms = 60000,
};

const struct flo_postgresql_limits flo_postgresql_lead_limits = {
    .pg = {FLO_PG_USUAL, .answer_ms = 4000},
    .pause_ms = 250,
    .statement_ms = 3000,
    .lock_ms = 2000,
};

void flo_postgresql_pause(uint64_t ms)
{
    (void)nanosleep(
        &(struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000},
        NULL);
}

size_t flo_postgresql_tell_limits(const struct flo_postgresql_limits *limits,
                                  char out[FLO_POSTGRESQL_LIMIT_COUNT][FLO_POSTGRESQL_LIMIT])
{
    static const char *const words[FLO_POSTGRESQL_LIMIT_COUNT] = {
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
    };
    const uint64_t values[FLO_POSTGRESQL_LIMIT_COUNT] = {limits->statement_ms, limits->lock_ms,
                                                         limits->idle_ms};

    size_t count = 0;

    for (int i = 0; i < FLO_POSTGRESQL_LIMIT_COUNT; i++) {
        if (values[i] != 0) {
            snprintf(out[count++], FLO_POSTGRESQL_LIMIT, "SET %s = %llu", words[i],
                     (unsigned long long)values[i]);
        }
    }
    return count;
}
