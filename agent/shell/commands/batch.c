/* Batch: sends the requests of a file to the agent on this machine, through its
 * local API, and writes the answers to a file.
 *
 * Each of several threads sends one request at a time, with priority batch.
 * Answers are written in the order of the requests, so that the answer file
 * shows the progress. */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/serve/standalone/files.h"
#include "agent/shell/commands/batch_file.h"
#include "agent/shell/commands/commands.h"
#include "base/host/http_client.h"
#include "base/host/steady.h"

#include <flotilla/errors/batch.h>
#include <flotilla/errors/local.h>
#include <flotilla/plural.h>

#define PARALLEL_MAX 16
#define AHEAD_MAX 64 /* number of answers that may wait until an earlier one is complete */
#define ANSWER_BYTES_MAX (32u << 20)
/* time without any answer of the agent after which the command fails */
#define LOST_MS_MAX 60000
#define PAUSE_MS_MAX 60000
#define TELL_MS 5000
#define HOUR_MS 3600000

struct slot {
    bool is_taken, is_done;
    uint64_t number;
    char custom_id[FLO_BATCH_ID_BYTES_MAX + 1];
    struct flo_buf text; /* the request's line in the answer file */
    int status;          /* HTTP status of the answer; 0: the request was not sent */
};
struct batch {
    struct flo_args args;
    const char *at, *token_file;
    uint32_t parallel;
    bool is_quiet;
    struct flo_settings_door door;
    char url[4300]; /* "http://host" */
    char *token;
    struct flo_batch_in in;
    struct flo_batch_out out;
    uint64_t count; /* number of requests in the input file */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* The lock protects the members from here on: */
    struct slot slots[AHEAD_MAX]; /* ring of requests: request i is in slots[i % AHEAD_MAX] */
    uint64_t taken;               /* number of requests begun, including those of earlier runs */
    uint64_t told_ms;
    bool has_met; /* the agent has answered at least once */
    bool is_ended;
    struct flo_err failure; /* first error that ends the command; it stops all threads */
};

static struct batch batch = {.parallel = 4, .in.fd = -1, .out.fd = -1};

/* ---- where to ---- */

/* Takes the address of the local API.  An address that means all interfaces,
 * such as 0.0.0.0, is called at the loopback. */
static int take_address(struct batch *b, const char *address, struct flo_err *err)
{
    const char *port = strrchr(address, ':');

    if (strncmp(address, "unix:", 5) == 0) {
        strcpy(b->url, "http://localhost");
        return 0;
    }
    if (port == NULL || strlen(address) > 300 || strcmp(port, ":0") == 0) {
        flo_fail(err, FLO_E_USAGE, "%.100s is no address of a local API: unix:PATH or HOST:PORT",
                 address);
        return flo_err_fix(err, "give --at with the port that the agent told");
    }
    bool is_any = strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
    snprintf(b->url, sizeof(b->url), "http://%s%s", is_any ? "127.0.0.1" : "",
             is_any ? port : address);
    return 0;
}

static int find_door(struct batch *b, struct flo_err *err)
{
    const struct flo_args *args = &b->args;
    int rv = 0;

    if (b->at == NULL) {
        rv = flo_settings_find_door(flo_args_text(args, "config", NULL),
                                    flo_args_text(args, "state-dir", NULL), &b->door, err);
        b->at = b->door.address;
    }
    if (b->token_file == NULL && strncmp(b->at, "unix:", 5) != 0 && b->door.token_file[0] != '\0') {
        b->token_file = b->door.token_file;
    }
    FLO_TRY(rv);
    FLO_TRY(take_address(b, b->at, err));
    return b->token_file == NULL ? 0 : flo_serve_token_read(b->token_file, &b->token, err);
}

/* ---- one request ---- */

struct sending {
    struct batch *batch;
    struct flo_http *http;
    struct flo_batch_line line;
    struct flo_http_answer answer;
    unsigned tries;
    uint64_t lost_ms; /* time since which the agent has not answered; 0: it answers */
};

/* Waits for `ms`, or until another thread's error ends the command. */
static void pause_ms(struct batch *b, uint64_t ms)
{
    uint64_t now_ms = flo_now_ms(), end_ms = now_ms + ms;

    pthread_mutex_lock(&b->lock);
    while (b->failure.code == 0 && now_ms < end_ms &&
           flo_steady_wait(&b->changed, &b->lock, end_ms - now_ms) == 0) {
        now_ms = flo_now_ms();
    }
    pthread_mutex_unlock(&b->lock);
}

/* Handles a request that got no answer.  Returns 0 if it must be sent again. */
static int bear_loss(struct sending *s, struct flo_err *err)
{
    struct batch *b = s->batch;
    uint64_t now_ms = flo_now_ms();

    pthread_mutex_lock(&b->lock);
    bool may_wait = b->has_met;
    pthread_mutex_unlock(&b->lock);
    s->lost_ms = s->lost_ms == 0 ? now_ms : s->lost_ms;
    if (!may_wait || now_ms - s->lost_ms > LOST_MS_MAX) {
        flo_wrap(err, err->code, "local API at %s", b->at);
        return flo_err_fix(err, "start the agent or `flotilla-agent serve`, "
                                "then repeat the command: it goes on where "
                                "it was");
    }
    *err = (struct flo_err){0};
    pause_ms(b, 1000);
    return 0;
}

/* Sends a request once.  Returns 1 if it has got its answer, 0 if it must be
 * sent again. */
static int send_once(struct sending *s, struct flo_err *err)
{
    struct batch *b = s->batch;
    char url[4400];
    const struct flo_http_request request = {
        .method = "POST",
        .url = url,
        .body = s->line.body.data,
        .body_bytes = s->line.body.bytes,
        .answer_bytes_max = ANSWER_BYTES_MAX,
    };

    snprintf(url, sizeof(url), "%s%s", b->url, flo_batch_endpoint((size_t)s->line.endpoint));
    flo_buf_deinit(&s->answer.body);
    memset(&s->answer, 0, sizeof(s->answer));
    if (flo_http_call(s->http, &request, &s->answer, err) < 0) {
        return bear_loss(s, err);
    }
    s->lost_ms = 0;
    s->tries++;
    if (s->answer.status == 401) {
        flo_fail(err, FLO_E_LOCAL_AUTH, "the local API at %s takes no %s", b->at,
                 b->token == NULL ? "request without a token" : "such token");
        return flo_err_fix(err, "give --token-file FILE");
    }
    if (!flo_batch_comes_again(s->answer.status, s->answer.body.data, s->answer.body.bytes,
                               s->tries)) {
        return 1;
    }
    uint64_t ms = s->answer.retry_after_ms;
    pause_ms(b, ms == 0 ? 1000 : ms < PAUSE_MS_MAX ? ms : PAUSE_MS_MAX);
    return 0;
}

static bool is_over(struct batch *b)
{
    pthread_mutex_lock(&b->lock);
    bool is_over = b->failure.code != 0;
    pthread_mutex_unlock(&b->lock);
    return is_over;
}

static void give_up(struct batch *b, const struct flo_err *err)
{
    pthread_mutex_lock(&b->lock);
    if (b->failure.code == 0) {
        b->failure = *err;
    }
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

/* ---- the file ---- */

static void tell(struct batch *b, bool is_last)
{
    uint64_t now_ms = flo_now_ms();

    if (b->is_quiet || (!is_last && now_ms - b->told_ms < TELL_MS)) {
        return;
    }
    b->told_ms = now_ms;
    fprintf(stderr, "batch: %llu of %llu line%s, %llu failed\n", (unsigned long long)b->out.lines,
            (unsigned long long)b->count, flo_s(b->count), (unsigned long long)b->out.failed);
}

/* Writes the complete answers that are next in the order of their requests. */
static int write_ready(struct batch *b, struct flo_err *err)
{
    struct slot *slot = &b->slots[b->out.lines % AHEAD_MAX];
    int rv = 0;

    while (rv == 0 && slot->is_taken && slot->is_done) {
        const struct flo_batch_answer answer = {.number = slot->number, .status = slot->status};
        rv = flo_batch_out_add(&b->out, &answer, &slot->text, err);
        flo_buf_deinit(&slot->text);
        slot->is_taken = false;
        slot = &b->slots[b->out.lines % AHEAD_MAX];
    }
    tell(b, false);
    return rv;
}

static void finish(struct sending *s, struct slot *slot, const struct flo_err *why)
{
    struct batch *b = s->batch;
    struct flo_err err = {0};
    const struct flo_batch_answer answer = {
        .batch = "",
        .number = slot->number,
        .custom_id = slot->custom_id,
        .status = s->answer.status,
        .body = s->answer.body.data,
        .bytes = s->answer.body.bytes,
        .code = why != NULL ? flo_error_id(why->code) : NULL,
        .what = why != NULL ? why->what : NULL,
    };

    slot->text.bytes_max = 2 * ANSWER_BYTES_MAX;
    flo_batch_answer_add(&answer, &slot->text);
    slot->status = why != NULL ? 0 : s->answer.status;
    if (slot->text.failed) {
        flo_fail(&err, FLO_E_MEMORY, "no memory for an answer");
        give_up(b, &err);
        return;
    }
    pthread_mutex_lock(&b->lock);
    slot->is_done = true;
    int rv = b->failure.code != 0 ? 0 : write_ready(b, &err);
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    if (rv < 0) {
        give_up(b, &err);
    }
}

/* Takes the next request of the file and reads its line into `s`.  Returns NULL
 * when there are no more.  *err tells why a line is no valid request. */
static struct slot *take(struct sending *s, struct flo_err *err)
{
    struct batch *b = s->batch;
    struct slot *slot = NULL;

    pthread_mutex_lock(&b->lock);
    while (b->failure.code == 0 && !b->is_ended && b->taken - b->out.lines >= AHEAD_MAX) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    int rv = b->failure.code != 0 || b->is_ended ? 0 : flo_batch_in_next(&b->in, &b->failure);
    b->is_ended = b->is_ended || rv != 1;
    if (rv == 1) {
        slot = &b->slots[b->taken++ % AHEAD_MAX];
        rv = flo_batch_line_read(&b->in.reader, -1, &s->line, err);
        *slot = (struct slot){.is_taken = true, .number = b->in.reader.number};
        strcpy(slot->custom_id, s->line.custom_id);
    }
    pthread_mutex_unlock(&b->lock);
    return slot;
}

static int open_http(struct batch *b, struct flo_http **http, struct flo_err *err)
{
    const struct flo_http_options options = {
        .bearer = b->token,
        .unix_socket = strncmp(b->at, "unix:", 5) == 0 ? b->at + 5 : NULL,
        .low_speed_bytes = 1,
        /* An answer comes in one piece when it is complete, so a slow answer is
         * no error. */
        .low_speed_ms = HOUR_MS,
    };

    return flo_http_open(&options, http, err);
}

static void *work(void *context)
{
    struct sending s = {.batch = context};
    struct flo_err err = {0}, why = {0};
    struct slot *slot;

    int rv = open_http(s.batch, &s.http, &err);
    while (rv == 0 && (slot = take(&s, &why)) != NULL) {
        s.tries = 0;
        while (why.code == 0 && rv == 0 && !is_over(s.batch)) {
            rv = send_once(&s, &err);
        }
        if (rv == 1) {
            pthread_mutex_lock(&s.batch->lock);
            s.batch->has_met = true;
            pthread_mutex_unlock(&s.batch->lock);
        }
        if (rv == 1 || why.code != 0) {
            finish(&s, slot, why.code != 0 ? &why : NULL);
            rv = 0;
        }
        why = (struct flo_err){0};
        flo_batch_line_deinit(&s.line);
    }
    if (rv < 0) {
        give_up(s.batch, &err);
    }
    flo_buf_deinit(&s.answer.body);
    flo_http_close(s.http);
    return NULL;
}

/* ---- all of it ---- */

static int work_all(struct batch *b, struct flo_err *err)
{
    pthread_t threads[PARALLEL_MAX];
    uint32_t count = 0;

    pthread_mutex_init(&b->lock, NULL);
    flo_steady_init(&b->changed);
    b->taken = b->out.lines;
    b->told_ms = flo_now_ms();
    while (count < b->parallel && pthread_create(&threads[count], NULL, work, b) == 0) {
        count++;
    }
    if (count == 0) {
        flo_fail(&b->failure, FLO_E_MEMORY, "no thread");
    }
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < AHEAD_MAX; i++) {
        flo_buf_deinit(&b->slots[i].text);
    }
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    *err = b->failure;
    return b->failure.code;
}

static int check(struct batch *b, struct flo_err *err)
{
    struct flo_batch_check check;
    int rv = flo_batch_check_open(&check, &b->in, err);

    FLO_TRY(rv);
    do {
        rv = flo_batch_check_step(&check, &b->in, UINT_MAX, err);
    } while (rv == 0);
    b->count = check.count;
    flo_batch_check_deinit(&check);
    flo_batch_in_go(&b->in, 0, 0);
    FLO_TRY(rv);
    return 0;
}

static int open_files(struct batch *b, struct flo_err *err)
{
    const char *path = b->args.words[0];
    int rv = flo_file_open(path, &b->in.fd, err);

    b->in.reader.bytes_max = FLO_BATCH_LINE_BYTES_MAX;
    if (rv == 0) {
        rv = check(b, err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", path);
    }
    rv = flo_batch_out_open(b->args.words[1], &b->in, &b->out, err);
    if (rv == 0 && b->out.lines > 0 && !b->is_quiet) {
        fprintf(stderr, "batch: %llu of %llu line%s answered before\n",
                (unsigned long long)b->out.lines, (unsigned long long)b->count,
                flo_plural(b->count, " was", "s were"));
    }
    return rv;
}

static void tell_json(struct batch *b, int rv, const struct flo_err *err)
{
    json_t *json =
        json_pack("{s:I, s:I, s:I}", "lines", (json_int_t)b->out.lines, "completed",
                  (json_int_t)(b->out.lines - b->out.failed), "failed", (json_int_t)b->out.failed);

    if (rv < 0) {
        json_object_set_new(json, "error", flo_tell_error(err));
    }
    json_dumpf(json, stdout, JSON_COMPACT);
    printf("\n");
    json_decref(json);
    b->args.is_told = true;
}

static int judge(const struct batch *b, struct flo_err *err)
{
    return b->out.failed == 0 ? 0
                              : flo_fail(err, FLO_E_BATCH_PARTLY,
                                         "%llu of %llu line%s failed, first line %llu of "
                                         "%s",
                                         (unsigned long long)b->out.failed,
                                         (unsigned long long)b->count, flo_s(b->count),
                                         (unsigned long long)b->out.first_failed, b->args.words[0]);
}

static int run(void *state, struct flo_err *err)
{
    struct batch *b = state;
    int rv = find_door(b, err);

    if (rv == 0) {
        rv = open_files(b, err);
    }
    if (rv == 0 && !b->out.is_whole) {
        rv = work_all(b, err);
        tell(b, true);
        if (rv == 0) {
            rv = flo_batch_out_commit(&b->out, err);
        }
    }
    if (rv == 0) {
        rv = judge(b, err);
    }
    if (b->args.is_json && b->out.fd >= 0) {
        tell_json(b, rv, err);
    }
    flo_batch_out_close(&b->out);
    flo_batch_in_deinit(&b->in);
    flo_fd_cleanup(&b->in.fd);
    if (b->token != NULL) {
        flo_secret_wipe(b->token, strlen(b->token));
        free(b->token);
    }
    return rv;
}

static const struct flo_flag flags[] = {
    {"at", "ADDRESS",
     "the local API: unix:PATH or HOST:PORT (default: as the configuration "
     "says)",
     FLO_TEXT(struct batch, at)},
    {"token-file", "FILE", "its token, for HOST:PORT (default: as the configuration says)",
     FLO_TEXT(struct batch, token_file)},
    {"parallel", "N", "requests that are sent at one time (default: 4)",
     FLO_U32(struct batch, parallel), .min = 1, .max = PARALLEL_MAX},
    {"quiet", NULL, "no progress on stderr", FLO_SWITCH(struct batch, is_quiet), .letter = 'q'},
    FLO_FLAGS_END,
};

const struct flo_verb flo_verb_batch = {
    .name = "batch",
    .usage = "IN OUT [FLAG...] [-o json]",
    .help = "requests of a file to the agent that runs here, at batch priority",
    .flags = {flags, FLO_FLAGS_JSON},
    .state = &batch,
    .run = run,
    .example = "questions.jsonl answers.jsonl",
    .more = "IN has a request a line, as OpenAI's batches: custom_id, method POST, "
            "url, body.\nLine n of OUT answers the n-th of them; while it grows, "
            "it is OUT.part.  Repeat\nthe command after a kill or a power cut: it "
            "goes on where it was.\n",
};
