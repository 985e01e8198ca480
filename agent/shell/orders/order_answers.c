/* Order answers: sends the outcome of each order once, and again on request.
 *
 * A group's list arrives with each connection and each change, and contains old
 * orders.  An outcome that was already sent is not repeated for such a list. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/rows.h>

#include "agent/shell/orders/memory.h"
#include "agent/shell/report/operators.h"

static uint64_t took_ms(const struct flo_shell *shell, const char *order)
{
    const struct flo_order_received *received =
        FLO_FIND_TEXT(order, shell->orders->received, FLO_COUNT(shell->orders->received), order);

    return received == NULL ? 0 : flo_now_ms() - received->at_ms;
}

void flo_shell_order_received(struct flo_shell *shell, const char *order)
{
    shell->orders->is_traced = FLO_FIND_TEXT(order, shell->orders->received,
                                             FLO_COUNT(shell->orders->received), order) != NULL;
    if (shell->orders->is_traced) {
        return;
    }
    size_t i = shell->orders->received_next++ % FLO_COUNT(shell->orders->received);
    snprintf(shell->orders->received[i].order, sizeof(shell->orders->received[i].order), "%s",
             order);
    shell->orders->received[i].at_ms = flo_now_ms();
}

void flo_shell_order_trace(struct flo_shell *shell, const char *order, const char *word,
                           const char *why)
{
    struct flo_buf text = {0};

    if (shell->orders->is_traced) {
        return;
    }
    flo_agent_intake_trace(&shell->agent, flo_now_ms(), order, word, why, &text);
    if (!text.failed) {
        flo_traces_add(shell->db, text.data);
    }
    flo_buf_deinit(&text);
    flo_log(FLO_LOG_INFO, "core", "order %s %s: %s", order, word, why);
}

static void note_told(struct flo_shell *shell, const char *order)
{
    size_t place = shell->orders->told_next++ % FLO_COUNT(shell->orders->told);

    snprintf(shell->orders->told[place], sizeof(shell->orders->told[place]), "%s", order);
}

static void acknowledge(struct flo_shell *shell, const char *order, const char *text)
{
    if (flo_shell_link_ack(shell, text)) {
        note_told(shell, order);
    }
}

/* Sends an answer to an order.  Adds `extra` (taken) under `key`; NULL: nothing
 * is added. */
static void answer(struct flo_shell *shell, const char *order, const char *outcome, const char *key,
                   json_t *extra, bool is_stored)
{
    struct flo_buf text = {0};
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:I, s:I}", "v", 1, "order", order, "outcome", outcome, "at_ms",
                  (json_int_t)flo_wall_ms(), "took_ms", (json_int_t)took_ms(shell, order));

    if (json == NULL) {
        json_decref(extra);
        return;
    }
    if (extra != NULL) {
        json_object_set_new(json, key, extra);
    }
    flo_json_dump(json, &text);
    flo_control_ordered(shell, order, json);
    json_decref(json);
    if (!text.failed && is_stored && strcmp(outcome, "running") == 0) {
        flo_answers_forget(shell->db, order);
    } else if (!text.failed && is_stored) {
        flo_answers_keep(shell->db, order, text.data);
    }
    if (!text.failed) {
        acknowledge(shell, order, text.data);
    }
    flo_buf_deinit(&text);
}

void flo_shell_answer(struct flo_shell *shell, const char *order, const char *outcome,
                      json_t *error)
{
    answer(shell, order, outcome, "error", error, true);
}

static bool was_told(const struct flo_shell *shell, const char *order)
{
    return flo_rows_find(order, shell->orders->told, FLO_COUNT(shell->orders->told),
                         sizeof(shell->orders->told[0]), 0) != NULL;
}

bool flo_shell_is_answered(struct flo_shell *shell, const char *order)
{
    FLO_CLEANUP(flo_free_cleanup)
    char *text = flo_answers_find(shell->db, order);

    return text != NULL;
}

/* Sends the stored outcome of an order again.  Returns false when none is
 * stored.
 *
 * A group's list arrives with each connection and each change, and contains old
 * orders.  An outcome that was already sent is not repeated for it.  If an
 * answer was lost, the controller asks for it by a cmd message with the
 * order. */
bool flo_shell_answer_again(struct flo_shell *shell, const char *order)
{
    char *text = flo_answers_find(shell->db, order);
    bool is_there = text != NULL;

    if (is_there && !(shell->orders->is_list && was_told(shell, order))) {
        acknowledge(shell, order, text);
    }
    if (is_there) {
        FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
        if (flo_json_parse(text, strlen(text), 1 << 16, &json, NULL) == 0) {
            flo_control_ordered(shell, order, json);
        }
    }
    free(text);
    return is_there;
}

void flo_shell_answer_superseded(struct flo_shell *shell, const char *order, const char *by,
                                 uint64_t number)
{
    json_t *json;

    if (shell->orders->is_list && was_told(shell, order)) {
        return;
    }
    json = json_pack("{s:I}", "number", (json_int_t)number);
    if (json != NULL && by[0] != '\0') {
        json_object_set_new(json, "order", json_string(by));
    }
    answer(shell, order, "superseded", "by", json, false);
}
