/* Remote reports: carries out the orders `logs`, `doctor` and `benchmark`.  A limited report
 * goes to the controller over HTTPS, then the order is answered
 * (contracts/messages.md section 8.9).
 *
 * A network failure leaves the order open, so the controller sends it again. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/rows.h>

#include "agent/shell/benchmark/benchmark.h"
#include "agent/shell/hardware/hardware.h"
#include "agent/shell/orders/memory.h"

#define REPORT_BYTES_MAX ((size_t)256 << 10)
#define LINES_BYTES_MAX                                                                            \
    ((size_t)200 << 10) /* limit of the log lines in a report; its other parts need 40 KiB */
#define DOCTOR_LINES 40 /* number of log lines in a `doctor` report */

static void begin_next(struct flo_shell *shell);

static void refuse(struct flo_shell *shell, const char *order, const struct flo_err *err)
{
    flo_log_err(FLO_LOG_WARN, "order", err);
    flo_shell_answer(shell, order, "refused",
                     json_pack("{s:s, s:s}", "id", flo_error_id(err->code), "what", err->what));
}

static void on_done(void *context, const char *order, const struct flo_err *err)
{
    struct flo_shell *shell = context;

    shell->orders->is_sending = false;
    if (err == NULL) {
        flo_log(FLO_LOG_INFO, "order", "report of order %s was taken", order);
        flo_shell_answer(shell, order, "done", NULL);
    } else if (err->code == FLO_E_NET_UNREACHABLE) {
        flo_log_err(FLO_LOG_WARN, "order", err);
    } else {
        refuse(shell, order, err);
    }
    begin_next(shell);
}

/* Makes the report.  A report of log lines has no checkup if this build has
 * none. */
static int make_report(struct flo_shell *shell, const struct flo_afar *asked, json_t **out,
                       struct flo_err *err)
{
    bool is_log = asked->op == FLO_ORDER_LOGS;
    uint64_t now = flo_wall_ms();
    uint64_t from = asked->since_ms != 0 && asked->since_ms < now ? now - asked->since_ms : 0;
    uint64_t cut = 0;
    json_t *lines = flo_lines_json(is_log ? asked->lines : DOCTOR_LINES, is_log ? from : 0,
                                   LINES_BYTES_MAX, &cut);
    json_t *json = json_pack("{s:i, s:s, s:s, s:I, s:I, s:o}", "v", 1, "op",
                             flo_order_op_word(asked->op), "agent", FLO_VERSION, "at_ms",
                             (json_int_t)now, "cut_lines", (json_int_t)cut, "lines", lines);

    if (json == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "report of order %s", asked->order);
    }
    int rv = asked->op == FLO_ORDER_BENCHMARK
                 ? flo_benchmark_report(shell, asked->order, json, err)
                 : flo_hardware_checkup(shell, json, is_log ? NULL : err);
    if (rv < 0 && !is_log) {
        json_decref(json);
        return rv;
    }
    *out = json;
    return 0;
}

static int send_report(struct flo_shell *shell, const struct flo_afar *asked, struct flo_err *err)
{
    struct flo_buf body = {.bytes_max = REPORT_BYTES_MAX};
    json_t *json = NULL;

    FLO_TRY(make_report(shell, asked, &json, err));
    flo_json_dump(json, &body);
    json_decref(json);
    if (body.failed) {
        flo_buf_deinit(&body);
        return flo_fail(err, FLO_E_MEMORY, "report of order %s", asked->order);
    }
    return flo_upload_start(shell, asked->order, &body, on_done, shell, err);
}

static void begin_next(struct flo_shell *shell)
{
    while (!shell->orders->is_sending && shell->orders->afar_count > 0) {
        struct flo_afar asked = shell->orders->afar[0];
        struct flo_err err = {0};

        shell->orders->afar_count--;
        memmove(&shell->orders->afar[0], &shell->orders->afar[1],
                shell->orders->afar_count * sizeof(shell->orders->afar[0]));
        int rv = send_report(shell, &asked, &err);
        shell->orders->is_sending = rv == 0;
        if (rv == FLO_E_NOT_BUILT) {
            refuse(shell, asked.order, &err);
        } else if (rv < 0) {
            flo_log_err(FLO_LOG_WARN, "order", &err);
        }
    }
}

static void add(struct flo_shell *shell, const struct flo_afar *asked)
{
    if (shell->orders->afar_count == FLO_COUNT(shell->orders->afar)) {
        return; /* the list is full, so the order is dropped and the controller sends it again */
    }
    if (FLO_FIND_TEXT(asked->order, shell->orders->afar, shell->orders->afar_count, order) !=
        NULL) {
        return;
    }
    shell->orders->afar[shell->orders->afar_count++] = *asked;
    begin_next(shell);
}

static void on_measured(struct flo_shell *shell, const char *order, const struct flo_err *err)
{
    struct flo_afar asked = {.op = FLO_ORDER_BENCHMARK};

    if (err != NULL) {
        refuse(shell, order, err);
        return;
    }
    snprintf(asked.order, sizeof(asked.order), "%s", order);
    add(shell, &asked);
}

void flo_shell_report_afar(struct flo_shell *shell, const struct flo_order *order)
{
    struct flo_afar asked = {.op = order->op};
    struct flo_err err = {0};

    memcpy(asked.order, order->id, sizeof(asked.order));
#define FLO_ORDER_NUMBER(name, field, least, most, standard) asked.field = order->field;
#include "proto/orders.def"
    if (order->op != FLO_ORDER_BENCHMARK) {
        add(shell, &asked);
    } else if (flo_benchmark_ask(shell, order, on_measured, &err) < 0) {
        refuse(shell, order->id, &err);
    }
}
