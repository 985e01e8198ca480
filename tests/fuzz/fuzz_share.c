/* The process that serves neighbours.  The first byte says what the rest is:
 *   1  a request by its fields: method, path, range, headers, who asks, what
 *      the device does meanwhile; it goes to the real server over a socket
 *   2  bytes that a client sends as they are, to the same server
 *   else, all of it: a line of the agent
 * The mutator changes one field.  Whatever is asked: the answer is one of
 * HTTP's, has bytes of the asked blob alone, and keeps to the budget. */
#include "base/host/httpd.h"

/* A peer's name comes from its certificate; here the input says it. */
#define flo_httpd_peer_name peer_name_of
const char *peer_name_of(const struct flo_httpd_request *request);

#include "updater/share/serve.c"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/host/digest.h"
#include "tests/fuzz/must.h"
#include "tests/unit/waits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t room) __attribute__((weak));

#define BLOB_BYTES 5000
#define BUDGET_BYTES 1000000
#define PIECE_BYTES (64u << 10) /* may be on its way when the budget ends */
#define TURNS_MAX 400
#define DEVICE "1ff53d56-16b5-4c8e-8d1e-8f6c3a1b2c3d"
#define STRANGER "2ff53d56-16b5-4c8e-8d1e-8f6c3a1b2c3d"

/* ---- the server ---- */

static struct share share;
static struct flo_share_job share_job;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char blob[BLOB_BYTES];
static char blob_name[FLO_DIGEST_TEXT];
static const char *peer; /* who asks; NULL: nobody that is known */

const char *peer_name_of(const struct flo_httpd_request *request)
{
    (void)request;
    return peer;
}

static char folder[] = "/tmp/flo-fuzz-share-XXXXXX";

static void sweep(void)
{
    static const char *const names[] = {"blobs", "partial", "identity"};
    char path[256];

    flo_httpd_close(share.httpd);
    event_base_free(share.base);
    flo_store_close(share.store);
    snprintf(path, sizeof(path), "%s/blobs/%s", folder, blob_name + 7);
    unlink(path);
    unlink(address.sun_path);
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        rmdir(path);
    }
    rmdir(folder);
}

static void begin(void)
{
    const struct flo_httpd_options options = {
        .connections_max = CONNECTIONS_MAX,
        .idle_timeout_ms = IDLE_MS,
        .on_sent = on_sent,
        .sent_context = &share,
    };
    struct flo_digest digest;
    char listen[128];
    uint16_t port;

    for (size_t i = 0; i < sizeof(blob); i++) {
        blob[i] = (char)(i * i >> 2);
    }
    must(mkdtemp(folder) != NULL);
    must(flo_store_open(folder, true, &share.store, NULL) == 0);
    must(flo_store_blob_put(share.store, blob, sizeof(blob), &digest, NULL) == 0);
    flo_digest_text(&digest, blob_name);
    share_job.device = DEVICE;
    share_job.transfers_max = 2;
    share.job = &share_job;
    share.fd = -1;
    share.base = event_base_new();
    must(share.base != NULL);
    must(flo_httpd_open(share.base, &options, &share.httpd, NULL) == 0);
    must(flo_httpd_route(share.httpd, "GET", "/v1/blobs/{digest}", 0, on_get, &share, NULL) == 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
    snprintf(listen, sizeof(listen), "unix:%s", address.sun_path);
    must(flo_httpd_listen(share.httpd, listen, NULL, 0, &port, NULL) == 0);
    atexit(sweep);
}

/* ---- a request ---- */

/* Offsets of the fields behind the first byte; the rest is text for headers. */
enum { METHOD, PATH, RANGE, FROM, TO = FROM + 8, HEADERS = TO + 8, WHO, WHILE, USED, CUT, FIELDS };

static const char *const methods[] = {"GET",   "HEAD",    "POST", "PUT",     "get", "DELETE",
                                      "TRACE", "OPTIONS", "GET ", "CONNECT", "",    "PATCH"};
static const char *const paths[] = {
    "/v1/blobs/%s",         "/v1/blobs/%s",
    "/v1/blobs/%s?x=1",     "/v1/blobs/%s/",
    "/v1/blobs//%s",        "/v1/blobs/../blobs/%s",
    "/v1/blobs/%s%%00",     "/v1/blobs/",
    "/v1/%%62lobs/%s",      "/v1/blobs/%s%%2f..",
    "//v1/blobs/%s",        "/v1/blobs/%s#f",
    "http://h/v1/blobs/%s", "/v1/blobs/%%2e%%2e/%%2e%%2e/etc/passwd",
    "/v1/blobs/SHA256:0",   "/v1/blobs/sha256:../../identity/key"};

static void put_path(struct flo_buf *out, const uint8_t *fields)
{
    char name[FLO_DIGEST_TEXT], path[256];
    unsigned kind = fields[PATH] / FLO_COUNT(paths);

    memcpy(name, blob_name, sizeof(name));
    if (kind == 1) { /* a blob that is not here */
        name[20] = name[20] == '0' ? '1' : '0';
    } else if (kind == 2) {
        name[30] = 'G';
    } else if (kind == 3) {
        name[sizeof(name) - 2] = '\0';
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
    snprintf(path, sizeof(path), paths[fields[PATH] % FLO_COUNT(paths)], name);
#pragma GCC diagnostic pop
    flo_buf_text(out, path);
}

static void put_range(struct flo_buf *out, const uint8_t *fields)
{
    unsigned long long from = flo_get_u64(fields + FROM);
    unsigned long long to = flo_get_u64(fields + TO);
    char text[128] = "";

    switch (fields[RANGE] % 10) {
    case 1:
        snprintf(text, sizeof(text), "bytes=%llu-%llu", from, to);
        break;
    case 2:
        snprintf(text, sizeof(text), "bytes=%llu-", from);
        break;
    case 3:
        snprintf(text, sizeof(text), "bytes=-%llu", to);
        break;
    case 4:
        snprintf(text, sizeof(text), "bytes=%llu-%llu,%llu-", from, to, to);
        break;
    case 5:
        snprintf(text, sizeof(text), "bytes=%llu%llu-%llu", from, to, to);
        break;
    case 6:
        snprintf(text, sizeof(text), "bytes = %llu - %llu", from, to);
        break;
    case 7:
        snprintf(text, sizeof(text), "items=%llu-%llu", from, to);
        break;
    case 8:
        snprintf(text, sizeof(text), "bytes=--%llu", to);
        break;
    case 9:
        snprintf(text, sizeof(text), "BYTES=%llu-%llu", from, to);
        break;
    default:
        return;
    }
    flo_buf_text(out, "Range: ");
    flo_buf_text(out, text);
    flo_buf_text(out, "\r\n");
}

/* Bits of the headers' byte. */
enum {
    HAS_HOST = 1,
    HAS_TAG = 2,
    HAS_OTHER_TAG = 4,
    HAS_NONE_MATCH = 8,
    HAS_LENGTH = 16,
    HAS_CHUNKS = 32,
    HAS_CLOSE = 64,
    HAS_TEXT = 128
};

static void put_headers(struct flo_buf *out, const uint8_t *fields, const uint8_t *text,
                        size_t bytes)
{
    uint8_t bits = fields[HEADERS];
    const struct {
        uint8_t bit;
        const char *name, *value;
    } rows[] = {
        {HAS_HOST, "Host", "h"},
        {HAS_TAG, "If-Range", blob_name},
        {HAS_OTHER_TAG, "If-Range", "W/x"},
        {HAS_NONE_MATCH, "If-None-Match", blob_name},
        {HAS_LENGTH, "Content-Length", "5"},
        {HAS_CHUNKS, "Transfer-Encoding", "chunked"},
        {HAS_CLOSE, "Connection", "close"},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        bool is_tag = rows[i].value == blob_name;
        if ((bits & rows[i].bit) != 0) {
            flo_buf_text(out, rows[i].name);
            flo_buf_text(out, is_tag ? ": \"" : ": ");
            flo_buf_text(out, rows[i].value);
            flo_buf_text(out, is_tag ? "\"\r\n" : "\r\n");
        }
    }
    if ((bits & HAS_TEXT) != 0) {
        flo_buf_add(out, text, bytes);
    }
}

static void put_request(struct flo_buf *out, const uint8_t *fields, const uint8_t *text,
                        size_t bytes)
{
    flo_buf_text(out, methods[fields[METHOD] % FLO_COUNT(methods)]);
    flo_buf_text(out, " ");
    put_path(out, fields);
    flo_buf_text(out, (fields[WHILE] & 1) != 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
    put_range(out, fields);
    put_headers(out, fields, text, bytes);
    flo_buf_text(out, "\r\n");
}

static void set_world(const uint8_t *fields)
{
    static const char *const who[] = {STRANGER, STRANGER, DEVICE, NULL, "x"};
    struct flo_digest digest;

    peer = who[fields[WHO] % FLO_COUNT(who)];
    share.fetched.moves = (fields[WHILE] & 2) != 0;
    share.fetched.count = 1;
    share.fetched_at_ms = waits_now_ms();
    must(flo_digest_parse(blob_name, &digest));
    digest.bytes[6] ^= (fields[WHILE] & 4) != 0; /* one that is absent */
    share.fetched.blobs[0] = digest;
    share.budget =
        (struct flo_share_budget){.limit_bytes = (fields[WHILE] & 8) != 0 ? 0 : BUDGET_BYTES,
                                  .used_bytes = BUDGET_BYTES / 255 * fields[USED],
                                  .began_ms = waits_now_ms()};
}

/* ---- the answer ---- */

static const char *header_of(const char *head, const char *name)
{
    const char *found = strstr(head, name);

    return found == NULL ? NULL : found + strlen(name);
}

/* Each answer in turn; the last may be cut where the budget ended. */
static void check_answers(char *text, size_t bytes, bool is_head)
{
    while (bytes > 0) {
        char *end = memmem(text, bytes, "\r\n\r\n", 4);
        unsigned status = 0;
        unsigned long long length = 0, from = 0, to = 0, size = 0;

        must(end != NULL && sscanf(text, "HTTP/1.1 %u ", &status) == 1);
        end[2] = '\0';
        const char *line = header_of(text, "\r\nContent-Length: ");
        const char *range = header_of(text, "\r\nContent-Range: bytes ");
        must(line == NULL || sscanf(line, "%llu", &length) == 1);
        must(status == 100 || status == 304 || line != NULL);
        char *body = end + 4;
        size_t left = bytes - (size_t)(body - text);
        bool has_body = !is_head && status != 304 && status != 100;
        /* A head that is none has no method: its answer has a body. */
        has_body = has_body || (status >= 400 && left > 0 && memcmp(body, "HTTP", 4) != 0);
        size_t got = !has_body ? 0 : length < left ? (size_t)length : left;

        must(status == 100 || status == 200 || status == 206 || status == 304 ||
             (status >= 400 && status < 600));
        if (status == 200) {
            must(length == BLOB_BYTES && range == NULL);
            must(memcmp(body, blob, got) == 0);
        } else if (status == 206) {
            must(sscanf(range == NULL ? "" : range, "%llu-%llu/%llu", &from, &to, &size) == 3);
            must(from <= to && to < BLOB_BYTES && size == BLOB_BYTES && length == to - from + 1);
            must(memcmp(body, blob + from, got) == 0);
        }
        must(status < 200 || status >= 300 || peer == NULL || strcmp(peer, STRANGER) == 0);
        must(status < 200 || status >= 300 || peer != NULL);
        bytes = left - got;
        text = body + got;
    }
}

static void talk(const char *request, size_t bytes, bool is_head)
{
    static char answer[256 << 10];
    size_t got = 0, sent = 0;
    uint64_t before = share.served_bytes;
    bool is_shut = false, is_end = false;
    uint64_t used = share.budget.used_bytes;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    must(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return;
    }
    for (int turn = 0; turn < TURNS_MAX && !is_end; turn++) {
        if (sent < bytes) {
            ssize_t now = send(fd, request + sent, bytes - sent, MSG_NOSIGNAL);
            sent += now > 0 ? (size_t)now : 0;
        } else if (!is_shut) {
            is_shut = true;
            shutdown(fd, SHUT_WR);
        }
        event_base_loop(share.base, EVLOOP_NONBLOCK);
        ssize_t now = read(fd, answer + got, sizeof(answer) - 1 - got);
        got += now > 0 ? (size_t)now : 0;
        is_end = now == 0 || (now < 0 && errno != EAGAIN) || got == sizeof(answer) - 1;
    }
    close(fd);
    event_base_loop(share.base, EVLOOP_NONBLOCK);
    answer[got] = '\0';
    check_answers(answer, got, is_head);
    must(share.budget.used_bytes - used == share.served_bytes - before);
    must(share.budget.limit_bytes == 0 || used >= BUDGET_BYTES ||
         share.budget.used_bytes <= BUDGET_BYTES + PIECE_BYTES);
}

static void ask(const uint8_t *data, size_t bytes)
{
    struct flo_buf request = {0};
    uint8_t fields[FIELDS] = {0};
    size_t given = bytes < FIELDS ? bytes : FIELDS;

    memcpy(fields, data, given);
    set_world(fields);
    put_request(&request, fields, data + given, bytes - given);
    if ((fields[WHILE] & 16) != 0) { /* another one behind it */
        put_request(&request, fields, data + given, bytes - given);
    }
    size_t cut = fields[CUT];
    bool is_head = fields[METHOD] % FLO_COUNT(methods) == 1;
    /* Text between the headers may make it another request. */
    bool is_plain = (fields[HEADERS] & HAS_TEXT) == 0;
    if (is_plain || !is_head) {
        talk(request.data, cut < request.bytes ? request.bytes - cut : request.bytes, is_head);
    }
    flo_buf_deinit(&request);
}

static void send_as_it_is(const uint8_t *data, size_t bytes)
{
    const uint8_t fields[FIELDS] = {0};

    if (memmem(data, bytes, "HEAD", 4) == NULL) {
        set_world(fields);
        talk((const char *)data, bytes, false);
    }
}

static void take_line(const uint8_t *data, size_t bytes)
{
    static struct flo_share_fetched fetched;
    struct flo_share_job job;
    struct flo_err err = {0};

    if (flo_share_job_parse((const char *)data, bytes, &job, &err) == 0) {
        must(job.transfers_max >= 1 && job.transfers_max <= 64);
        must(job.used_ms <= FLO_SHARE_DAY_MS && job.listen != NULL);
        flo_share_job_deinit(&job);
    }
    if (flo_share_fetched_parse((const char *)data, bytes, &fetched, &err) == 0) {
        must(fetched.count <= FLO_SHARE_FETCHED_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > 0 && (data[0] == 1 || data[0] == 2)) {
        if (share.base == NULL) {
            begin();
        }
        if (data[0] == 1) {
            ask(data + 1, bytes - 1);
        } else {
            send_as_it_is(data + 1, bytes - 1);
        }
    } else {
        take_line(data, bytes);
    }
    return 0;
}

/* ---- mutations ---- */

static uint64_t edge(unsigned seed)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     BLOB_BYTES - 1,
                                     BLOB_BYTES,
                                     BLOB_BYTES + 1,
                                     INT64_MAX / 10,
                                     INT64_MAX,
                                     (uint64_t)INT64_MAX + 1,
                                     UINT64_MAX - 1,
                                     UINT64_MAX};

    return seed % 3 == 0 ? edges[seed / 3 % FLO_COUNT(edges)] : seed % (BLOB_BYTES + 2);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed)
{
    unsigned value = seed / 64;

    if (room > FIELDS + 1 && seed % 64 == 0) { /* becomes a request */
        data[0] = 1;
        bytes = bytes < FIELDS + 1 ? FIELDS + 1 : bytes;
        return bytes;
    }
    if (bytes < FIELDS + 1 || data[0] != 1 || seed % 16 == 1) {
        return LLVMFuzzerMutate(data, bytes, room);
    }
    uint8_t *fields = data + 1;
    switch (seed % 10) {
    case 0:
        flo_put_u64(fields + FROM, edge(value));
        break;
    case 1:
        flo_put_u64(fields + TO, edge(value));
        break;
    case 2: /* the text */
        return FIELDS + 1 +
               LLVMFuzzerMutate(fields + FIELDS, bytes - FIELDS - 1, room - FIELDS - 1);
    case 3:
        fields[HEADERS] ^= (uint8_t)(1 << value % 8);
        break;
    case 4:
        fields[WHILE] ^= (uint8_t)(1 << value % 5);
        break;
    case 5:
        fields[CUT] = value % 4 == 0 ? (uint8_t)(value / 4) : 0;
        break;
    case 6:
        fields[PATH] = (uint8_t)(value % (4 * FLO_COUNT(paths)));
        break;
    case 7:
        fields[WHO] = (uint8_t)value;
        fields[USED] = (uint8_t)(value / 5);
        break;
    case 8:
        fields[RANGE] = (uint8_t)value;
        break;
    default:
        fields[METHOD] = value % 3 == 0 ? (uint8_t)(value / 3) : 0;
        break;
    }
    return bytes;
}
