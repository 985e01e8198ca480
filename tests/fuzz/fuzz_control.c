/* Input of the control socket: lines, in pieces of any size.  Each line gets
 * one last answer, and what is installed has good names. */
#include "agent/shell/local/control.c"
#include "agent/shell/report/operators.c"
#include "agent/shell/report/status.c"
#include <flotilla/errors/sig.h>
#include <flotilla/errors/trust.h>

#include "tests/fuzz/must.h"
#include "tests/shell_rooms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* ---- the shell around it, as far as it is called ---- */

json_t *flo_report_text(const char *text)
{
    return json_string(text);
}

int flo_shell_newest_bundle(struct flo_shell *shell, const json_t *request, struct flo_err *err)
{
    (void)shell, (void)request, (void)err;
    return 0;
}

json_t *flo_shell_newest_json(const struct flo_shell *shell)
{
    (void)shell;
    return json_object();
}

bool flo_shell_link_is_up(const struct flo_shell *shell)
{
    (void)shell;
    return false;
}

bool flo_shell_device_is_unread(const struct flo_shell *shell)
{
    return shell->records->is_unread;
}

bool flo_shell_prompts_stay(const struct flo_shell *shell)
{
    return shell->device.prompts_stay;
}

int flo_loop_operator(struct flo_shell *shell, enum flo_agent_event_kind kind, const char *name,
                      struct flo_err *err)
{
    const struct flo_agent_action done = {.kind = FLO_DO_ACK, .word = "done"};

    must(kind == FLO_AGENT_GO_BACK || kind == FLO_AGENT_REMOVE);
    if (strlen(name) % 2 == 1) {
        return flo_fail(err, FLO_E_ABSENT, "no such model");
    }
    flo_control_acked(shell, &done);
    return 0;
}

int flo_loop_install(struct flo_shell *shell, const struct flo_agent_execution *wanted,
                     struct flo_err *err)
{
    struct flo_agent_execution execution = *wanted;

    must(!flo_digest_is_zero(&wanted->release.digest) && flo_name_is_valid(wanted->release.model) &&
         flo_name_is_valid(wanted->release.version) &&
         memchr(wanted->bundle, '\0', sizeof(wanted->bundle)) != NULL);
    /* without a path it were no bundle, and nobody told how it ends */
    must(wanted->bundle[0] == '/');
    flo_control_installs(shell, &wanted->release.digest);
    execution.state = FLO_EXECUTION_STAGED;
    flo_control_report(shell, &execution);
    execution.state = FLO_EXECUTION_SOAKING;
    flo_control_report(shell, &execution);
    (void)err;
    return 0;
}

int flo_orders_check(const struct flo_shell *shell, const json_t *envelope,
                     char id[FLO_NAME_MAX + 1], struct flo_err *err)
{
    (void)shell;
    must(json_is_object(envelope));
    if (json_object_size(envelope) > 1) {
        return flo_fail(err, FLO_E_SIG_BAD, "not signed");
    }
    strcpy(id, "e-1");
    return 0;
}

int flo_loop_order_by_hand(struct flo_shell *shell, const json_t *envelope, const char *id,
                           struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *answer = json_pack("{s:s, s:s}", "order", id, "outcome", "done");

    (void)envelope, (void)err;
    must(!flo_control_is_answered(shell, id));
    flo_control_ordered(shell, id, answer);
    must(flo_control_is_answered(shell, id));
    return 0;
}

int flo_loop_trust(struct flo_shell *shell, const json_t *envelope, uint64_t *number,
                   struct flo_err *err)
{
    (void)shell;
    must(json_is_object(envelope));
    *number = 7;
    return json_object_size(envelope) > 1 ? flo_fail(err, FLO_E_TRUST_THRESHOLD, "too few") : 0;
}

json_t *flo_report_error(const struct flo_agent_error *error)
{
    (void)error;
    return json_object();
}

json_t *flo_report_execution(const struct flo_agent_execution *execution)
{
    return json_pack("{s:s}", "state", flo_execution_word(execution->state));
}

uint32_t flo_report_model_rung(const struct flo_shell *shell, uint32_t index)
{
    return shell->models[index].pending[FLO_AGENT_CURRENT].rung;
}

void flo_report_variant(const struct flo_variants *variants, json_t *model)
{
    (void)variants, (void)model;
}

json_t *flo_report_memory(const struct flo_shell *shell)
{
    (void)shell;
    return json_null();
}

json_t *flo_report_degraded(const struct flo_shell *shell)
{
    (void)shell;
    return NULL;
}

json_t *flo_witness_json(const struct flo_shell *shell)
{
    (void)shell;
    return json_array();
}

uint64_t flo_outbox_db_corrupt(const struct flo_outbox_db *db)
{
    (void)db;
    return 0;
}

/* ---- fuzzer ---- */

static struct flo_shell shell;

/* The operator's end hears until nothing comes any more. */
static size_t hear(struct bufferevent *stream)
{
    struct evbuffer *input = bufferevent_get_input(stream);
    size_t ends = 0;
    size_t bytes;
    char *line;

    while ((line = evbuffer_readln(input, &bytes, EVBUFFER_EOL_LF)) != NULL) {
        json_t *json = NULL;
        must(flo_json_parse(line, bytes, 65536, &json, NULL) == 0);
        ends += json_is_true(json_object_get(json, "done"));
        json_decref(json);
        free(line);
    }
    must(evbuffer_get_length(input) == 0);
    return ends;
}

static size_t lines_of(const uint8_t *data, size_t bytes)
{
    size_t lines = 0;

    for (size_t i = 0; i < bytes; i++) {
        lines += data[i] == '\n';
    }
    return lines;
}

/* First byte: the size of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct bufferevent *pair[2];
    struct flo_operator *client;
    size_t piece = bytes == 0 || data[0] == 0 ? 4096 : data[0];
    size_t ends = 0;
    size_t asked = 0;

    flo_log_level_set(FLO_LOG_ERROR);
    if (shell.base == NULL) {
        shell_empty(&shell);
        shell.base = event_base_new();
    }
    must(bufferevent_pair_new(shell.base, 0, pair) == 0);
    client = flo_operator_new(&shell, pair[0]);
    must(client != NULL);
    bufferevent_setcb(pair[0], on_read, NULL, on_closed, client);
    bufferevent_enable(pair[0], EV_READ | EV_WRITE);
    bufferevent_enable(pair[1], EV_READ | EV_WRITE);
    for (size_t at = 1; at < bytes && shell.report->operators[0] != NULL; at += piece) {
        size_t part = bytes - at < piece ? bytes - at : piece;
        bufferevent_write(pair[1], data + at, part);
        asked += lines_of(data + at, part);
        event_base_loop(shell.base, EVLOOP_NONBLOCK);
        ends += hear(pair[1]);
    }
    if (shell.report->operators[0] != NULL) {
        must(ends == asked);
        flo_operator_free(client);
    }
    bufferevent_free(pair[1]);
    event_base_loop(shell.base, EVLOOP_NONBLOCK);
    return 0;
}
