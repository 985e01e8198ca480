/* Served: gets answers from a model that an agent serves, through the local
 * API. */
#include "engine/talk/talk.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/infer.h>
#include <flotilla/errors/net.h>

#define TOKEN_BYTES_MAX 4096
#define HEAD_BYTES_MAX 8192
#define REQUEST_BYTES_MAX (16u << 20)

/* Sockets on which an agent listens by default, for other users and for root
 * (docs/reference/local-api.md). */
static const char *const standard[] = {"/run/flotilla/api.sock", "/var/lib/flotilla/api.sock"};

/* ---- address and token ---- */

static int refuse_address(const char *address, struct flo_err *err)
{
    return flo_fail(err, FLO_E_USAGE,
                    "--api is '%.100s', not unix:PATH, a path, or "
                    "http://127.0.0.1:PORT of this machine",
                    address);
}

/* Parses the port of an address like "http://127.0.0.1:8081".  The scheme may
 * be absent, and a slash may follow. */
static bool read_port(const char *address, uint16_t *out)
{
    static const char *const hosts[] = {"127.0.0.1:", "localhost:"};
    const char *at = address + (strncmp(address, "http://", 7) == 0 ? 7 : 0);
    char *end;

    for (size_t i = 0; i < FLO_COUNT(hosts); i++) {
        size_t chars = strlen(hosts[i]);
        if (strncmp(at, hosts[i], chars) == 0 && at[chars] >= '0' && at[chars] <= '9') {
            unsigned long port = strtoul(at + chars, &end, 10);
            end += *end == '/';
            *out = (uint16_t)port;
            return port >= 1 && port <= UINT16_MAX && *end == '\0';
        }
    }
    return false;
}

static int read_address(struct flo_served *served, const char *address, struct flo_err *err)
{
    const char *path = address;

    if (address == NULL) {
        path = standard[access(standard[0], F_OK) == 0 ? 0 : 1];
    } else if (read_port(address, &served->port)) {
        path = "";
    } else if (strncmp(address, "unix:", 5) == 0) {
        path = address + 5;
    } else if (strchr(address, '/') == NULL || strstr(address, "://") != NULL) {
        return refuse_address(address, err);
    }
    if (served->port == 0 && (path[0] == '\0' || strlen(path) >= sizeof(served->socket))) {
        return flo_fail(err, FLO_E_USAGE,
                        "--api: the path of a socket has 1 to %zu bytes, "
                        "not %zu",
                        sizeof(served->socket) - 1, strlen(path));
    }
    snprintf(served->socket, sizeof(served->socket), "%s", path);
    if (served->port > 0) {
        snprintf(served->called, sizeof(served->called), "the local API at 127.0.0.1:%u",
                 served->port);
    } else {
        snprintf(served->called, sizeof(served->called), "the local API at %s", served->socket);
    }
    return 0;
}

static int read_token(struct flo_served *served, const char *path, struct flo_err *err)
{
    size_t bytes = 0;
    int rv = flo_file_read(path, TOKEN_BYTES_MAX, &served->token, &bytes, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "--token-file");
    }
    while (bytes > 0 && strchr(" \t\r\n", served->token[bytes - 1]) != NULL) {
        served->token[--bytes] = '\0';
    }
    for (size_t i = 0; i < bytes; i++) {
        if (served->token[i] <= ' ' || served->token[i] > '~') {
            bytes = 0;
        }
    }
    return bytes > 0 ? 0
                     : flo_fail(err, FLO_E_USAGE,
                                "--token-file %s: one line of printable "
                                "characters is a token",
                                path);
}

/* ---- one call ---- */

struct call {
    struct flo_served *served;
    struct flo_exchange exchange;
    struct flo_events events;
    struct flo_buf body; /* body of an answer that does not arrive as a stream */
    struct flo_tree tree;
    /* the question; NULL: the answer does not arrive as a stream */
    const struct flo_asking *asking;
    struct flo_talk_counts *counts;
    uint64_t began_us, first_us;
    bool has_finish;
};

static void call_init(struct call *call, struct flo_served *served)
{
    *call = (struct call){.served = served, .events.peer = &served->peer};
    flo_exchange_init(&call->exchange, &served->peer);
    call->exchange.out.bytes_max = REQUEST_BYTES_MAX;
}

static void call_deinit(struct call *call)
{
    flo_exchange_end(&call->exchange);
    flo_events_deinit(&call->events);
    flo_buf_deinit(&call->body);
    flo_tree_deinit(&call->tree);
}

static void write_request(struct call *call, const char *method, const char *path,
                          const struct flo_buf *body)
{
    struct flo_buf *out = &call->exchange.out;
    const char *token = call->served->token;

    flo_buf_printf(out,
                   "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: "
                   "close\r\nAccept: */*\r\n",
                   method, path);
    if (token != NULL) {
        flo_buf_printf(out, "Authorization: Bearer %s\r\n", token);
    }
    if (body != NULL) {
        flo_buf_printf(out,
                       "Content-Type: application/json\r\nContent-Length: "
                       "%zu\r\n\r\n",
                       body->bytes);
        flo_buf_add(out, body->data, body->bytes);
        out->failed |= body->failed;
    } else {
        flo_buf_text(out, "\r\n");
    }
}

static int take_event(void *context, char *data, size_t bytes, struct flo_err *err)
{
    struct call *call = context;
    struct flo_talk_said *said = call->asking->said;
    struct flo_talk_event event;

    FLO_TRY(flo_talk_event_read(data, bytes, &call->tree, &event, err));
    if (call->first_us == 0 && event.text.bytes + event.thought.bytes > 0) {
        call->first_us = flo_now_us();
    }
    flo_talk_said_think(said, event.thought.data, event.thought.bytes);
    flo_talk_said_add(said, event.text.data, event.text.bytes);
    if (event.has_finish) {
        call->has_finish = true;
        call->counts->end = event.is_length ? FLO_TALK_LENGTH : FLO_TALK_END;
    }
    if (event.has_usage) {
        call->counts->prompt = event.prompt;
        call->counts->kept = event.kept;
        call->counts->answer = event.answer;
        call->counts->prompt_us = (uint64_t)(event.prompt_ms * 1e3);
        call->counts->answer_us = (uint64_t)(event.token_ms * 1e3 * (double)event.answer);
    }
    return flo_talk_said_print(said, err);
}

static int take_body(void *context, const char *data, size_t bytes, struct flo_err *err)
{
    struct call *call = context;
    const struct flo_reply_reader *reader = &call->exchange.reader;

    if (call->asking != NULL && reader->status == 200 && reader->is_stream) {
        return flo_events_read(&call->events, data, bytes, take_event, call, err);
    }
    call->body.bytes_max = FLO_EVENT_BYTES_MAX;
    flo_buf_add(&call->body, data, bytes);
    return call->body.failed ? flo_fail(err, FLO_E_NET_CONTENT, "%s answers with more than %u MiB",
                                        call->served->called, FLO_EVENT_BYTES_MAX >> 20)
                             : 0;
}

/* Runs the call.  Returns 1 if the answer is complete, 0 if the person stopped
 * it. */
static int carry_out(struct call *call, struct flo_err *err)
{
    const struct flo_served *served = call->served;
    int stop_fd = call->asking != NULL ? call->asking->stop_fd : -1;
    int rv = call->exchange.out.failed
                 ? flo_fail(err, FLO_E_MEMORY, "a request")
                 : flo_exchange_begin(&call->exchange,
                                      flo_exchange_connect(served->socket, served->port), err);

    call->began_us = flo_now_us();
    while (rv == 0 && !call->events.is_done) {
        struct pollfd polls[] = {
            {.fd = call->exchange.fd, .events = flo_exchange_events(&call->exchange)},
            {.fd = stop_fd, .events = POLLIN}};

        if (poll(polls, 2, -1) < 0 && errno != EINTR) {
            return flo_fail_errno(err, FLO_E_NET_UNREACHABLE, "%s", served->called);
        }
        if (call->asking != NULL && flo_asking_stops(call->asking)) {
            return 0;
        }
        rv = polls[0].revents != 0 ? flo_exchange_go_on(&call->exchange, take_body, call, err) : 0;
    }
    FLO_TRY(rv);
    flo_buf_text(&call->body, "");
    if (call->exchange.reader.status != 200) {
        return flo_talk_event_fail(call->body.data, call->body.bytes, call->exchange.reader.status,
                                   &call->tree, err);
    }
    return 1;
}

/* ---- the model ---- */

static int bad_content(const struct flo_served *served, const char *what, struct flo_err *err)
{
    return flo_fail(err, FLO_E_NET_CONTENT, "%s: %s", served->called, what);
}

/* Adds the names of all served models to the error. */
static int name_others(struct flo_served *served, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf names = {0};
    struct call call;

    call_init(&call, served);
    write_request(&call, "GET", "/v1/models", NULL);
    int rv = carry_out(&call, err);
    if (rv == 1 &&
        flo_tree_read(&call.tree, call.body.data, call.body.bytes, 0, 0, NULL, err) == 0) {
        const struct flo_tree_node *node =
            flo_tree_first(flo_tree_member(&call.tree.nodes[0], "data"));
        for (; node != NULL; node = node->next) {
            const struct flo_tree_node *id = flo_tree_member(node, "id");
            if (id != NULL && id->kind == FLO_TREE_STRING) {
                flo_buf_printf(&names, "%s%s", names.bytes > 0 ? ", " : "", id->text);
            }
        }
    }
    call_deinit(&call);
    if (rv == 1) {
        rv = flo_fail(err, FLO_E_INFER_MODEL, "%s serves no model '%s'; it serves %s",
                      served->called, served->model,
                      names.bytes > 0 && !names.failed ? names.data : "none");
    }
    return rv;
}

static int look(struct flo_served *served, struct flo_err *err)
{
    struct call call;
    char path[FLO_NAME_MAX * 4];

    call_init(&call, served);
    snprintf(path, sizeof(path), "/v1/models/%s", served->model);
    write_request(&call, "GET", path, NULL);
    int rv = carry_out(&call, err);
    if (rv == 1 &&
        flo_tree_read(&call.tree, call.body.data, call.body.bytes, 0, 0, NULL, err) < 0) {
        rv = bad_content(served, "its answer is no JSON", err);
    }
    if (rv == 1) {
        const struct flo_tree_node *context = flo_tree_member(&call.tree.nodes[0], "context");
        int64_t value = 0;
        served->context = flo_tree_whole(context, 0, UINT32_MAX, &value) ? (uint64_t)value : 0;
    }
    bool is_absent = rv == FLO_E_INFER_MODEL;
    call_deinit(&call);
    return is_absent ? name_others(served, err) : rv < 0 ? rv : 0;
}

/* NAME[@VERSION][:ADAPTER] */
static bool is_name(const char *model)
{
    size_t chars = strlen(model);

    return chars > 0 && chars <= 3 * FLO_NAME_MAX &&
           strspn(model, "abcdefghijklmnopqrstuvwxyz0123456789._-@:") == chars;
}

int flo_served_open(struct flo_served *served, const char *address, const char *token_file,
                    const char *model, struct flo_err *err)
{
    served->model = model;
    if (!is_name(model)) {
        return flo_fail(err, FLO_E_INFER_MODEL,
                        "no served model has the name '%.100s': it has "
                        "lower-case letters, digits and ._-@: alone",
                        model);
    }
    FLO_TRY(read_address(served, address, err));
    if (token_file != NULL) {
        FLO_TRY(read_token(served, token_file, err));
    }
    served->peer = (struct flo_peer){served->called, FLO_E_NET_UNREACHABLE, FLO_E_NET_CONTENT};
    return look(served, err);
}

void flo_served_close(struct flo_served *served)
{
    free(served->token);
    served->token = NULL;
}

/* ---- answers ---- */

static void write_question(const struct flo_served *served, const struct flo_asking *asking,
                           struct flo_buf *out)
{
    flo_buf_printf(out,
                   "{\"model\":\"%s\",\"stream\":true,\"stream_options\":"
                   "{\"include_usage\":true},\"messages\":[",
                   served->model);
    for (size_t i = 0; i < asking->count; i++) {
        const struct flo_engine_message *message = &asking->messages[i];
        flo_buf_printf(out, "%s{\"role\":\"%s\",\"content\":\"", i > 0 ? "," : "", message->role);
        flo_buf_json_text(out, message->text, message->bytes);
        flo_buf_text(out, "\"}");
    }
    flo_buf_text(out, "]");
    flo_talk_settings_json(asking->settings, out);
    flo_buf_text(out, "}");
}

static void count_times(const struct call *call)
{
    struct flo_talk_counts *counts = call->counts;
    uint64_t now_us = flo_now_us();
    uint64_t first_us = call->first_us > 0 ? call->first_us : now_us;

    /* The server reports no times for an answer that the person stopped, so the
     * times measured here are used. */
    if (counts->answer_us == 0) {
        counts->prompt_us = first_us - call->began_us;
        counts->answer_us = now_us - first_us;
    }
    if (counts->end == FLO_TALK_LENGTH && counts->answer != call->asking->settings->max_tokens) {
        counts->end = FLO_TALK_FULL;
    }
}

int flo_served_answer(struct flo_served *served, const struct flo_asking *asking,
                      struct flo_talk_counts *counts, struct flo_err *err)
{
    struct flo_buf body = {.bytes_max = REQUEST_BYTES_MAX - HEAD_BYTES_MAX};
    struct call call;

    *counts = (struct flo_talk_counts){.end = FLO_TALK_STOPPED};
    call_init(&call, served);
    call.asking = asking;
    call.counts = counts;
    write_question(served, asking, &body);
    write_request(&call, "POST", "/v1/chat/completions", &body);
    flo_buf_deinit(&body);
    flo_talk_said_begin(asking->said);
    int rv = carry_out(&call, err);
    if (rv == 1 && !call.has_finish) {
        rv = bad_content(served, "the stream ended without an answer's end", err);
    }
    count_times(&call);
    call_deinit(&call);
    if (call.first_us == 0) {
        FLO_TRY(rv);
    }
    flo_talk_said_end(asking->said);
    int printed = flo_talk_said_print(asking->said, rv < 0 ? NULL : err);
    FLO_TRY(rv);
    return printed;
}

static int talk_answer(void *state, const struct flo_asking *asking, struct flo_talk_counts *counts,
                       struct flo_err *err)
{
    return flo_served_answer(state, asking, counts, err);
}

static uint64_t talk_show(void *state, struct flo_buf *out)
{
    const struct flo_served *served = state;

    flo_buf_printf(out, "model     %s, served by %s\n", served->model, served->called);
    return served->context;
}

static int talk_template(void *state, struct flo_buf *out, struct flo_err *err)
{
    const struct flo_served *served = state;

    (void)out;
    return flo_fail(err, FLO_E_ABSENT,
                    "%s does not tell a model's template: `flotilla-engine "
                    "run FILE` does",
                    served->called);
}

void flo_served_talker(struct flo_served *served, struct flo_talker *out)
{
    *out = (struct flo_talker){
        .state = served, .answer = talk_answer, .show = talk_show, .show_template = talk_template};
}
