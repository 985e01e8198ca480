/* Operators: sends answers to the clients of the control socket. */
#include <stdlib.h>
#include <string.h>

#include <event2/bufferevent.h>

#include "agent/shell/report/memory.h"

struct flo_operator *flo_operator_new(struct flo_shell *shell, struct bufferevent *stream)
{
    struct flo_operator **place = shell->report->operators;
    size_t i = 0;

    while (i < FLO_OPERATORS_MAX && place[i] != NULL) {
        i++;
    }
    if (i == FLO_OPERATORS_MAX) {
        return NULL;
    }
    place[i] = calloc(1, sizeof(*place[i]));
    if (place[i] != NULL) {
        place[i]->shell = shell;
        place[i]->stream = stream;
    }
    return place[i];
}

void flo_operator_free(struct flo_operator *client)
{
    struct flo_operator **place = client->shell->report->operators;

    for (size_t i = 0; i < FLO_OPERATORS_MAX; i++) {
        if (place[i] == client) {
            place[i] = NULL;
        }
    }
    bufferevent_free(client->stream);
    free(client);
}

void flo_operators_free(struct flo_shell *shell)
{
    for (size_t i = 0; i < FLO_OPERATORS_MAX; i++) {
        if (shell->report->operators[i] != NULL) {
            flo_operator_free(shell->report->operators[i]);
        }
    }
}

struct flo_shell *flo_operator_shell(const struct flo_operator *client)
{
    return client->shell;
}

void flo_operator_wait(struct flo_operator *client, enum flo_operator_wait wait, const char *order)
{
    client->wait = wait;
    snprintf(client->order, sizeof(client->order), "%s", order);
}

void flo_operator_send(struct flo_operator *client, const json_t *json)
{
    struct flo_buf text = {0};

    flo_json_dump(json, &text);
    flo_buf_text(&text, "\n");
    if (!text.failed) {
        bufferevent_write(client->stream, text.data, text.bytes);
    }
    flo_buf_deinit(&text);
}

/* ---- a command that runs without an agent ---- */

void flo_alone_wait(struct flo_shell *shell, const char *order)
{
    snprintf(shell->report->local_order, sizeof(shell->report->local_order), "%s", order);
}

void flo_alone_wait_to_end(struct flo_shell *shell, bool is_to_end)
{
    shell->report->local_is_to_end = is_to_end;
}

void flo_alone_answer(struct flo_shell *shell, json_t *answer)
{
    json_decref(shell->report->local_answer);
    shell->report->local_answer = answer;
}

json_t *flo_alone_answered(const struct flo_shell *shell)
{
    return shell->report->local_answer;
}

void flo_report_close(struct flo_shell *shell)
{
    flo_alone_answer(shell, NULL);
    flo_secret_wipe(&shell->report->proof, sizeof(shell->report->proof));
}

/* ---- answers ---- */

void flo_control_installs(struct flo_shell *shell, const struct flo_digest *release)
{
    shell->report->installing = *release;
}

/* Sends an answer to all operators that wait for this kind.  It is the answer of a
 * command that runs without an agent, too. */
static void deliver(struct flo_shell *shell, enum flo_operator_wait kind, json_t *json,
                    bool is_done)
{
    size_t i;

    if (json == NULL) {
        return;
    }
    json_object_set_new(json, "done", json_boolean(is_done));
    for (i = 0; i < FLO_OPERATORS_MAX; i++) {
        struct flo_operator *client = shell->report->operators[i];
        if (client != NULL && client->wait == kind) {
            flo_operator_send(client, json);
            if (is_done) {
                client->wait = FLO_WAIT_NOTHING;
            }
        }
    }
    if (shell->is_local && is_done &&
        (kind == FLO_WAIT_ANSWER || shell->report->local_is_to_end == (kind == FLO_WAIT_END))) {
        flo_alone_answer(shell, json_incref(json));
        event_base_loopbreak(shell->base);
    }
    json_decref(json);
}

void flo_control_acked(struct flo_shell *shell, const struct flo_agent_action *action)
{
    const struct flo_agent_model *model = &shell->agent.models[action->model];
    json_t *json = json_pack("{s:i, s:s, s:s, s:s}", "v", 1, "outcome", action->word, "model",
                             shell->models[action->model].slots.model, "version",
                             model->slots.current.version);

    if (json != NULL && action->error.code != 0) {
        json_object_set_new(json, "error", flo_report_error(&action->error));
    }
    deliver(shell, FLO_WAIT_ANSWER, json, true);
}

static bool waits_for(const struct flo_operator *client, const char *order)
{
    return client != NULL && client->wait == FLO_WAIT_ORDER && strcmp(client->order, order) == 0;
}

void flo_control_ordered(struct flo_shell *shell, const char *order, const json_t *answer)
{
    bool is_here = shell->is_local && strcmp(shell->report->local_order, order) == 0;
    bool is_end = strcmp(json_string_value(json_object_get(answer, "outcome")), "running") != 0;

    for (size_t i = 0; i < FLO_OPERATORS_MAX; i++) {
        is_here = is_here || waits_for(shell->report->operators[i], order);
    }
    if (!is_here || !is_end) {
        return;
    }
    json_t *json = json_deep_copy(answer);
    for (size_t i = 0; i < FLO_OPERATORS_MAX; i++) {
        struct flo_operator *client = shell->report->operators[i];
        if (json != NULL && waits_for(client, order)) {
            json_object_set_new(json, "done", json_true());
            flo_operator_send(client, json);
            client->wait = FLO_WAIT_NOTHING;
        }
    }
    if (shell->is_local && json != NULL) {
        flo_alone_answer(shell, json_incref(json));
        event_base_loopbreak(shell->base);
    }
    json_decref(json);
}

bool flo_control_is_answered(const struct flo_shell *shell, const char *order)
{
    bool waits = shell->is_local && shell->report->local_answer == NULL;

    for (size_t i = 0; i < FLO_OPERATORS_MAX; i++) {
        waits = waits || waits_for(shell->report->operators[i], order);
    }
    return !waits;
}

void flo_control_report(struct flo_shell *shell, const struct flo_agent_execution *execution)
{
    bool is_end = flo_execution_is_end(execution->state);

    if (execution->bundle[0] == '\0' ||
        !flo_digest_equal(&execution->release.digest, &shell->report->installing)) {
        return; /* no operator waits for this execution */
    }
    deliver(shell, FLO_WAIT_UPDATE, flo_report_execution(execution),
            is_end || execution->state == FLO_EXECUTION_SOAKING);
    deliver(shell, FLO_WAIT_END, flo_report_execution(execution), is_end);
}
