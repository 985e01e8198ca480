/* Batch: passes clients' calls to the desk (the thread that owns the folder of
 * batches), requests of batches to the router, and the results back. */
#include "agent/serve/batch/batch.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/local.h>
#include <flotilla/errors/rest.h>

#include "agent/serve/batch/desk.h"
#include "agent/serve/batch/form.h"
#include "agent/serve/openai/openai.h"
#include "agent/serve/requests/names.h"
#include "agent/serve/requests/requests.h"
#include "base/host/httpd.h"

#define ANSWER_BYTES_MAX (32u << 20)
/* largest size of an upload's form without the uploaded file */
#define FORM_BYTES 65536
#define FILES_LISTED 10000
#define BATCHES_LISTED 20 /* unless asked */
#define BATCHES_LISTED_MAX 100

/* Kind of call for which an HTTP handler was registered. */
struct call {
    struct serve_batch *batch;
    enum flo_batch_ask_kind kind;
};
struct serve_batch {
    struct flo_serve *serve;
    struct flo_batch_desk *desk; /* thread that owns the folder of batches; NULL: batches are off */
    struct flo_err why;          /* reason why batches are off; code 0: no folder is configured */
    struct flo_party (*who_asks)(struct flo_serve *serve, const struct flo_httpd_request *http);
    const struct serve_front *(*front_of)(const char *path);
    struct call calls[ASK_BATCH_CANCEL + 1];
};

/* A file that a client is uploading. */
struct coming {
    struct flo_batch_upload upload;
    struct flo_batch_form form;
    struct serve_batch *batch;
    /* the client's request; NULL: all bytes have arrived, or the client is
     * gone */
    struct flo_httpd_request *http;
};

/* ---- requests of batches ---- */

/* Tells whether any model is known yet.  Before that, no model name is
 * refused. */
static bool knows_a_model(const struct flo_serve *serve)
{
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        if (flo_names_is_used(&serve->places[i])) {
            return true;
        }
    }
    return serve->had_route;
}

static void on_done(void *context, struct serve_memory *memory)
{
    struct flo_batch_job *job = context;
    struct serve_batch *batch = job->owner;

    (void)memory;
    flo_batch_desk_answer(batch->desk, job);
}

/* Answers a job, which is one request of a batch, with an error in place of
 * sending it. */
static void refuse_job(struct serve_batch *batch, struct flo_batch_job *job, int code,
                       const char *what)
{
    struct flo_err err = {0};
    struct serve_failure failure = {.err = &err};

    flo_fail(&err, code, "%s", what);
    failure.status = job->answer.status = flo_httpd_status_of(code);
    flo_openai_fail(&failure, &job->answer.body);
    flo_batch_desk_answer(batch->desk, job);
}

static void on_submit(void *context, struct flo_batch_job *job)
{
    struct serve_batch *batch = context;
    struct serve_question question = {
        .front = batch->front_of(flo_batch_endpoint((size_t)job->endpoint)),
        .body = {"application/json", job->body.data, job->body.bytes},
    };

    job->owner = batch;
    job->answer = (struct serve_memory){.done = on_done, .context = job};
    job->answer.body.bytes_max = ANSWER_BYTES_MAX;
    if (!flo_party_read(batch->serve, job->app, &question.party)) {
        refuse_job(batch, job, FLO_E_LOCAL_AUTH, "its app is no app any more");
        return;
    }
    if (!knows_a_model(batch->serve)) {
        refuse_job(batch, job, FLO_E_INFER_BUSY, "no model is known yet");
        return;
    }
    question.sink = flo_sink_memory(&job->answer);
    struct serve_request *request = flo_request_open(batch->serve, &question);
    if (request != NULL) {
        flo_router_submit(request);
    }
}

/* ---- clients ---- */

static void on_answered(void *context, struct flo_batch_ask *ask)
{
    (void)context;
    if (ask->http != NULL) {
        flo_httpd_set_user(ask->http, NULL, NULL);
        if (ask->err.code == 0 && ask->out.failed) {
            flo_fail(&ask->err, FLO_E_MEMORY, "no memory for an answer");
        }
        if (ask->err.code != 0) {
            flo_httpd_answer_err(ask->http, &ask->err);
        } else if (ask->fd >= 0) {
            flo_httpd_answer_file(ask->http, ask->fd, "application/octet-stream", ask->id);
            ask->fd = -1;
        } else {
            flo_buf_text(&ask->out, "\n");
            flo_httpd_answer(ask->http, 200, "application/json", ask->out.data, ask->out.bytes);
        }
    }
    flo_batch_ask_free(ask);
}

static void on_ask_gone(void *user)
{
    ((struct flo_batch_ask *)user)->http = NULL;
}

static void take_text(char *out, size_t bytes, const char *text)
{
    snprintf(out, bytes, "%s", text != NULL ? text : "");
}

/* Reads from the query which part of a list the client wants. */
static int read_query(struct flo_batch_ask *ask, struct flo_err *err)
{
    const char *limit = flo_httpd_query(ask->http, "limit");
    const char *order = flo_httpd_query(ask->http, "order");

    take_text(ask->after, sizeof(ask->after), flo_httpd_query(ask->http, "after"));
    take_text(ask->purpose, sizeof(ask->purpose), flo_httpd_query(ask->http, "purpose"));
    ask->is_upwards = order != NULL && strcmp(order, "asc") == 0;
    if (order != NULL && !ask->is_upwards && strcmp(order, "desc") != 0) {
        return flo_fail(err, FLO_E_INFER_PARAM, "order must be asc or desc");
    }
    /* A batch has metadata and so is longer than a file, so a list has fewer
     * batches. */
    bool is_short = ask->kind == ASK_BATCHES;
    const uint64_t most = is_short ? BATCHES_LISTED_MAX : FILES_LISTED;
    ask->limit = is_short ? BATCHES_LISTED : FILES_LISTED;
    if (limit == NULL) {
        return 0;
    }
    size_t chars = strlen(limit);
    ask->limit = chars < 6 && strspn(limit, "0123456789") == chars ? strtoull(limit, NULL, 10) : 0;
    return ask->limit >= 1 && ask->limit <= most
               ? 0
               : flo_fail(err, FLO_E_INFER_PARAM, "limit is %.20s, must be from 1 to %llu", limit,
                          (unsigned long long)most);
}

/* Makes the struct that passes a client's call to the desk's thread.  Returns
 * NULL when the client has already got an error. */
static struct flo_batch_ask *new_ask(const struct call *call, struct flo_httpd_request *http)
{
    struct flo_serve *serve = call->batch->serve;
    struct flo_batch_ask *ask = calloc(1, sizeof(*ask));
    struct flo_err err = {0};
    const struct flo_party party = call->batch->who_asks(serve, http);
    size_t bytes;

    if (ask == NULL) {
        flo_fail(&err, FLO_E_MEMORY, "no memory for a question");
        flo_httpd_answer_err(http, &err);
        return NULL;
    }
    const char *body = flo_httpd_body(http, &bytes);
    ask->kind = call->kind;
    ask->http = http;
    ask->fd = -1;
    ask->is_head = strcmp(flo_httpd_method(http), "HEAD") == 0;
    flo_party_name(serve, &party, ask->app);
    take_text(ask->id, sizeof(ask->id), flo_httpd_param(http, "id"));
    flo_buf_add(&ask->body, body, bytes);
    if (read_query(ask, &err) < 0) {
        flo_httpd_answer_err(http, &err);
        flo_batch_ask_free(ask);
        return NULL;
    }
    return ask;
}

static void on_ask(void *context, struct flo_httpd_request *http)
{
    const struct call *call = context;
    struct flo_batch_ask *ask = new_ask(call, http);

    if (ask != NULL) {
        flo_httpd_set_user(http, ask, on_ask_gone);
        flo_batch_desk_ask(call->batch->desk, ask);
    }
}

/* ---- files that come ---- */

static void on_ended(void *context, struct flo_batch_upload *upload)
{
    struct coming *coming = upload->owner;

    (void)context;
    flo_batch_form_deinit(&coming->form);
    free(coming);
}

static void on_go_on(void *context, struct flo_batch_upload *upload)
{
    const struct coming *coming = upload->owner;

    (void)context;
    if (coming->http != NULL) {
        flo_httpd_upload_hold(coming->http, false);
    }
}

static void on_gone(void *user)
{
    struct coming *coming = user;

    coming->http = NULL;
    flo_batch_desk_drop(coming->batch->desk, &coming->upload);
}

static int take_piece(void *context, const char *data, size_t bytes, struct flo_err *err)
{
    struct coming *coming = context;
    bool is_enough = false;

    FLO_TRY(
        flo_batch_desk_piece(coming->batch->desk, &coming->upload, data, bytes, &is_enough, err));
    if (is_enough) {
        flo_httpd_upload_hold(coming->http, true);
    }
    return 0;
}

static int on_file_start(void *context, struct flo_httpd_request *http, struct flo_err *err)
{
    const struct call *call = context;
    struct coming *coming = calloc(1, sizeof(*coming));

    if (coming == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a file");
    }
    coming->form.take = take_piece;
    coming->form.context = coming;
    coming->batch = call->batch;
    coming->http = http;
    coming->upload.owner = coming;
    coming->upload.fd = -1;
    const struct flo_party party = call->batch->who_asks(call->batch->serve, http);
    flo_party_name(call->batch->serve, &party, coming->upload.coming.app);
    int rv = flo_batch_form_open(&coming->form, flo_httpd_header(http, "content-type"), err);
    if (rv < 0) {
        flo_batch_form_deinit(&coming->form);
        free(coming);
        return rv;
    }
    flo_httpd_set_user(http, coming, on_gone);
    return 0;
}

static int on_file_piece(void *context, struct flo_httpd_request *http, const void *data,
                         size_t bytes, struct flo_err *err)
{
    struct coming *coming = flo_httpd_user(http);

    (void)context;
    return flo_batch_form_feed(&coming->form, data, bytes, err);
}

static void on_file(void *context, struct flo_httpd_request *http)
{
    const struct call *call = context;
    struct coming *coming = flo_httpd_user(http);
    struct flo_err err = {0};
    struct flo_batch_ask *ask = NULL;

    flo_httpd_set_user(http, NULL, NULL);
    coming->http = NULL;
    if (flo_batch_form_end(&coming->form, &coming->upload.lifetime_s, &err) < 0) {
        flo_httpd_answer_err(http, &err);
    } else {
        ask = new_ask(call, http);
    }
    if (ask == NULL) {
        flo_batch_desk_drop(call->batch->desk, &coming->upload);
        return;
    }
    take_text(coming->upload.name, sizeof(coming->upload.name), coming->form.name);
    ask->upload = &coming->upload;
    flo_httpd_set_user(http, ask, on_ask_gone);
    flo_batch_desk_ask(call->batch->desk, ask);
}

/* ---- opening ---- */

static void on_off(void *context, struct flo_httpd_request *http)
{
    const struct call *call = context;
    struct flo_err err = {0};

    if (call->batch->why.code != 0) {
        flo_httpd_answer_err(http, &call->batch->why);
        return;
    }
    flo_fail(&err, FLO_E_REST_NOT_FOUND, "no path %s: batches are off", flo_httpd_path(http));
    flo_err_fix(&err, "name a folder in agent.yaml (batch_folder), or send a "
                      "file with `flotilla-agent batch`");
    flo_httpd_answer_err(http, &err);
}

static int add_routes(struct serve_batch *batch, uint64_t bytes_max, struct flo_err *err)
{
    static const struct {
        const char *method, *pattern;
        enum flo_batch_ask_kind kind;
    } rows[] = {
        {"GET", "/v1/files", ASK_FILES},
        {"GET", "/v1/files/{id}", ASK_FILE},
        {"GET", "/v1/files/{id}/content", ASK_CONTENT},
        {"DELETE", "/v1/files/{id}", ASK_FILE_DELETE},
        {"POST", "/v1/files", ASK_FILE_MAKE},
        {"GET", "/v1/batches", ASK_BATCHES},
        {"GET", "/v1/batches/{id}", ASK_BATCH},
        {"POST", "/v1/batches", ASK_BATCH_MAKE},
        {"POST", "/v1/batches/{id}/cancel", ASK_BATCH_CANCEL},
    };
    struct flo_httpd *httpd = batch->serve->httpd;
    const struct flo_httpd_upload upload = {on_file_start, on_file_piece, bytes_max + FORM_BYTES};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct call *call = &batch->calls[rows[i].kind];
        *call = (struct call){batch, rows[i].kind};
        if (batch->desk != NULL && rows[i].kind == ASK_FILE_MAKE) {
            FLO_TRY(flo_httpd_route_upload(httpd, rows[i].method, rows[i].pattern, &upload, on_file,
                                           call, err));
        } else {
            FLO_TRY(flo_httpd_route(httpd, rows[i].method, rows[i].pattern, FLO_OBJECT_BYTES_MAX,
                                    batch->desk != NULL ? on_ask : on_off, call, err));
        }
    }
    return 0;
}

int flo_batch_open(struct flo_serve *serve, const struct flo_serve_options *options,
                   struct flo_party (*who_asks)(struct flo_serve *serve,
                                                const struct flo_httpd_request *http),
                   const struct serve_front *(*front_of)(const char *path), struct flo_err *err)
{
    struct serve_batch *batch = calloc(1, sizeof(*batch));
    const struct flo_batch_desk_options desk = {
        .folder = options->batch_folder,
        .bytes_max = options->batch_bytes_max,
        .keep_s = options->batch_keep_ms / 1000,
        .delivered_s = options->batch_delivered_ms / 1000,
    };

    if (batch == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for batches");
    }
    batch->serve = serve;
    batch->who_asks = who_asks;
    batch->front_of = front_of;
    serve->batch = batch;
    const struct flo_batch_desk_out out = {batch, on_answered, on_submit, on_go_on, on_ended};
    int rv =
        desk.folder == NULL ? 0 : flo_batch_desk_open(serve->base, &desk, &out, &batch->desk, err);
    if (rv < 0 && options->batch_may_fail) {
        flo_log_err(FLO_LOG_ERROR, "batch", err);
        batch->why = *err;
        rv = 0;
    }
    FLO_TRY(rv);
    return add_routes(batch, desk.bytes_max, err);
}

void flo_batch_stop(struct serve_batch *batch)
{
    if (batch != NULL) {
        flo_batch_desk_stop(batch->desk);
    }
}

void flo_batch_close(struct serve_batch *batch)
{
    if (batch != NULL) {
        flo_batch_desk_close(batch->desk);
        free(batch);
    }
}
