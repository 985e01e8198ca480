/* Budget: stores the day's use of endpoints, so that a restart does not begin a
 * new budget. */
#include <inttypes.h>
#include <string.h>

#include "agent/serve/fallback/endpoint.h"
#include "base/host/json.h"

#define DAY_MS (24ull * 3600 * 1000)
#define FILE_BYTES_MAX 16384
#define NUMBER_MAX ((uint64_t)INT64_MAX)

uint64_t flo_budget_day(void)
{
    return flo_wall_ms() / DAY_MS;
}

/* ---- reading ---- */

static int read_route(const json_t *routes, struct fallback *fallback, struct flo_err *err)
{
    const json_t *route = json_object_get(routes, fallback->is.name);
    struct flo_spend_amount used = {0};

    if (route == NULL) {
        return 0;
    }
    FLO_TRY(flo_json_get_u64(route, "tokens", 0, NUMBER_MAX, &used.tokens, err));
    FLO_TRY(flo_json_get_u64(route, "cost", 0, NUMBER_MAX, &used.cost, err));
    fallback->spend.used = fallback->spend.kept = used;
    return 0;
}

static int read_file(struct fallbacks *fallbacks, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    uint64_t day = 0;
    size_t bytes = 0;

    FLO_TRY(flo_file_read(fallbacks->spent_file, FILE_BYTES_MAX, &text, &bytes, err));
    FLO_TRY(flo_json_parse(text, bytes, FILE_BYTES_MAX, &json, err));
    FLO_TRY(flo_json_get_u64(json, "day", 0, NUMBER_MAX, &day, err));
    for (uint32_t i = 0; i < fallbacks->count; i++) {
        FLO_TRY(read_route(json_object_get(json, "routes"), &fallbacks->all[i], err));
        fallbacks->all[i].spend.day = day;
    }
    return 0;
}

void flo_budget_open(struct fallbacks *fallbacks)
{
    struct flo_err err = {0};
    int rv = fallbacks->spent_file == NULL ? 0 : read_file(fallbacks, &err);

    if (rv < 0 && rv != FLO_E_ABSENT) { /* at the first start there is no file */
        flo_wrap(&err, rv, "the budget of today counts as used: %s", fallbacks->spent_file);
        flo_log_err(FLO_LOG_WARN, "routes", &err);
    }
    for (uint32_t i = 0; i < fallbacks->count; i++) {
        struct flo_spend *spend = &fallbacks->all[i].spend;
        flo_spend_begin(spend, flo_budget_day());
        if (rv < 0 && rv != FLO_E_ABSENT) {
            spend->used = spend->kept = spend->most;
        }
    }
}

/* ---- writing ---- */

static int write_file(const struct fallbacks *fallbacks, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {.bytes_max = FILE_BYTES_MAX};

    flo_buf_printf(&text, "{\"day\":%" PRIu64 ",\"routes\":{", fallbacks->all[0].spend.day);
    for (uint32_t i = 0; i < fallbacks->count; i++) {
        const struct fallback *fallback = &fallbacks->all[i];
        flo_buf_printf(&text, "%s\"%s\":{\"tokens\":%" PRIu64 ",\"cost\":%" PRIu64 "}",
                       i == 0 ? "" : ",", fallback->is.name, fallback->spend.kept.tokens,
                       fallback->spend.kept.cost);
    }
    flo_buf_text(&text, "}}\n");
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "the use of routes");
    }
    return flo_file_write(fallbacks->spent_file, text.data, text.bytes, 0600, err);
}

bool flo_budget_keep(struct fallbacks *fallbacks, struct fallback *fallback)
{
    struct flo_spend_amount ahead, before = fallback->spend.kept;
    struct flo_err err = {0};

    if (fallbacks->spent_file == NULL || !flo_spend_must_keep(&fallback->spend, &ahead)) {
        return true;
    }
    for (uint32_t i = 0; i < fallbacks->count; i++) {
        flo_spend_begin(&fallbacks->all[i].spend, fallback->spend.day);
    }
    fallback->spend.kept = ahead;
    bool is_kept = write_file(fallbacks, &err) == 0;
    if (!is_kept) {
        fallback->spend.kept = before;
    }
    if (!is_kept && !fallbacks->has_write_failed) {
        flo_wrap(&err, err.code, "nothing is sent to endpoints, because its cost cannot be kept");
        flo_log_err(FLO_LOG_WARN, "routes", &err);
    }
    fallbacks->has_write_failed = !is_kept;
    return is_kept;
}
