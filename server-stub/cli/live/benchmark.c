/* Benchmark: lets devices measure a release, and tells which release fits which
 * hardware class.
 *
 * One order goes to each device.  The command waits for all of them; whoever
 * does not wait reads the results later with `device benchmarks`. */
#include <string.h>

#include <flotilla/errors/device.h>
#include <flotilla/errors/rollout.h>
#include <flotilla/plural.h>
#include <flotilla/proto.h>

#include "server-stub/cli/benchmark/fit.h"
#include "server-stub/cli/live/live.h"

#define FOR_MS 300000
#define ANSWER_MS 120000 /* a device may answer so much later than its benchmark ends */

/* Reads --speed and --right. */
static int read_want(const struct flo_cli *cli, struct flo_fit_want *out, struct flo_err *err)
{
    uint64_t tps, right;

    FLO_TRY(flo_args_u64(&cli->args, "speed", 0, 1000000, FLO_FIT_TPS, &tps, err));
    FLO_TRY(flo_args_u64(&cli->args, "right", 0, 100, FLO_FIT_RIGHT_PERCENT, &right, err));
    *out = (struct flo_fit_want){(double)tps, (double)right};
    return 0;
}

static int list_devices(struct flo_cli *cli, const char *where, json_t **items, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) path = {0};

    flo_buf_text(&path, "/v1/devices");
    flo_api_query_add(&path, "limit", "1000");
    flo_api_query_add(&path, "where", where);
    return path.failed ? flo_fail(err, FLO_E_MEMORY, "path")
                       : flo_api_list(cli, path.data, items, err);
}

static bool has_id(const json_t *list, const char *key, const char *id)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(flo_out_text(json_array_get(list, i), key, ""), id) == 0) {
            return true;
        }
    }
    return false;
}

/* Shows the benchmarks whose member `key` is the `member` of an element of
 * `of`; NULL: all. */
static int show(struct flo_cli *cli, const struct flo_fit_want *want, const json_t *of,
                const char *member, const char *key, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *all = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *items = json_array();
    const char *file = flo_args_text(&cli->args, "page", NULL);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) page = {0};

    FLO_TRY(flo_api_list_model(cli, "/v1/benchmarks", &all, err));
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *item = json_array_get(all, i);
        if (of == NULL || has_id(of, member, flo_out_text(item, key, "?"))) {
            json_array_append(items, item);
        }
    }
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = flo_fit_rows(items, want);
    flo_out_table(cli, rows, FLO_COLUMNS(fit));
    if (file == NULL) {
        return 0;
    }
    flo_fit_page(rows, items, &page);
    FLO_TRY(page.failed ? flo_fail(err, FLO_E_MEMORY, "the page")
                        : flo_file_write(file, page.data, page.bytes, 0644, err));
    flo_out_say(cli, "%s has the pictures", file);
    return 0;
}

int flo_cmd_device_benchmarks(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *devices = NULL;
    struct flo_fit_want want;

    FLO_TRY(read_want(cli, &want, err));
    if (cli->args.words[0] != NULL) {
        FLO_TRY(list_devices(cli, cli->args.words[0], &devices, err));
    }
    return show(cli, &want, devices, "id", "device", err);
}

/* ---- orders ---- */

static int ask(struct flo_cli *cli, const json_t *device, uint64_t for_ms, json_t *orders,
               struct flo_err *err)
{
    static const char *const texts[] = {"release", "model", "reason"};
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body =
        json_pack("{s:s, s:s, s:I}", "op", flo_order_op_word(FLO_ORDER_BENCHMARK), "device",
                  flo_out_text(device, "id", ""), "for_ms", (json_int_t)for_ms);

    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        flo_json_put_text(body, texts[i], flo_args_text(&cli->args, texts[i], ""));
    }
    FLO_TRY(flo_api_call(cli, "POST", "/v1/orders", body, &answer, err));
    json_array_append_new(orders, json_pack("{s:s, s:s}", "id", flo_out_text(answer, "id", ""),
                                            "name", flo_out_text(device, "name", "?")));
    return 0;
}

/* Says why a device measured nothing. */
static void tell_failure(const struct flo_cli *cli, const json_t *asked, const json_t *order)
{
    const json_t *device = json_array_get(json_object_get(order, "devices"), 0);
    bool is_refused = flo_out_u64(order, "failed") > 0;
    char name[FLO_OUT_PLAIN], what[FLO_OUT_PLAIN];

    flo_out_plain(asked, "name", "?", name);
    flo_out_plain(device, "error.what", flo_out_text(device, "error.id", "?"), what);
    flo_out_say(cli, "%s %s%s", name, is_refused ? "refused: " : "did not answer yet",
                is_refused ? what : "");
}

/* Waits for all orders.  *failed gets the number of those without a result. */
static int await(struct flo_cli *cli, const json_t *orders, uint64_t timeout_ms, size_t *failed,
                 struct flo_err *err)
{
    uint64_t end_ms = flo_now_ms() + timeout_ms;

    *failed = 0;
    for (size_t i = 0; i < json_array_size(orders); i++) {
        FLO_CLEANUP(flo_json_cleanup) json_t *order = NULL;
        const json_t *asked = json_array_get(orders, i);
        uint64_t now = flo_now_ms();
        struct flo_err why = {0};
        int rv = flo_watch_order(cli, flo_out_text(asked, "id", ""),
                                 end_ms > now ? end_ms - now : 0, &order, &why);

        if (order == NULL && rv < 0) {
            *err = why;
            return rv;
        }
        if (flo_out_u64(order, "done") == 0) {
            tell_failure(cli, asked, order);
            ++*failed;
        }
    }
    return 0;
}

/* Sends the orders to the devices that the selector names. */
static int ask_all(struct flo_cli *cli, uint64_t for_ms, json_t *orders, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *devices = NULL;

    FLO_TRY(list_devices(cli, cli->args.words[0], &devices, err));
    if (json_array_size(devices) == 0) {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "no device fits `%.200s`", cli->args.words[0]);
    }
    for (size_t i = 0; i < json_array_size(devices); i++) {
        FLO_TRY(ask(cli, json_array_get(devices, i), for_ms, orders, err));
    }
    return 0;
}

int flo_cmd_device_benchmark(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *orders = json_array();
    struct flo_fit_want want;
    uint64_t for_ms, timeout_ms;
    size_t failed = 0;

    FLO_TRY(read_want(cli, &want, err));
    FLO_TRY(flo_args_ms(&cli->args, "for", FOR_MS, &for_ms, err));
    FLO_TRY(flo_args_ms(&cli->args, "timeout", for_ms + ANSWER_MS, &timeout_ms, err));
    FLO_TRY(ask_all(cli, for_ms, orders, err));
    size_t count = json_array_size(orders);
    flo_out_say(cli, "asked %zu device%s; they measure while nothing else needs them", count,
                flo_s(count));
    if (flo_args_has(&cli->args, "no-wait")) {
        flo_out_table(cli, orders, FLO_COLUMNS(asked));
        flo_out_say(cli, "later: flotilla device benchmarks");
        return 0;
    }
    FLO_TRY(await(cli, orders, timeout_ms, &failed, err));
    FLO_TRY(show(cli, &want, orders, "id", "id", err));
    if (failed == 0) {
        return 0;
    }
    flo_fail(err, FLO_E_ROLLOUT_PARTLY, "%zu of %zu device%s brought no result", failed, count,
             flo_s(count));
    return flo_err_fix(err, "what comes later: flotilla device benchmarks");
}
