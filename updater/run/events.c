/* Worker's event lines: one JSON object per line. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "updater/run/run.h"

static void add_text(struct flo_buf *buf, const char *key, const char *text)
{
    flo_buf_printf(buf, ",\"%s\":\"", key);
    flo_buf_json_text(buf, text, strlen(text));
    flo_buf_text(buf, "\"");
}

static void add_number(struct flo_buf *buf, const char *key, uint64_t value)
{
    flo_buf_printf(buf, ",\"%s\":%llu", key, (unsigned long long)value);
}

static void add_error(struct flo_buf *buf, const struct flo_err *err)
{
    flo_buf_printf(buf, ",\"error\":{\"id\":\"%s\"", flo_error_id(err->code));
    add_text(buf, "what", err->what);
    add_text(buf, "why", err->why);
    add_text(buf, "fix", err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code));
    flo_buf_text(buf, "}");
}

static void begin(struct flo_buf *buf, const char *event)
{
    flo_buf_printf(buf, "{\"event\":\"%s\"", event);
}

/* Ends the JSON line, sends it and frees the buffer. */
static void send_line(int fd, struct flo_buf *buf)
{
    flo_buf_text(buf, "}\n");
    for (size_t done = 0; !buf->failed && done < buf->bytes;) {
        ssize_t put = send(fd, buf->data + done, buf->bytes - done, MSG_NOSIGNAL);
        if (put < 0 && errno == ENOTSOCK) {
            put = write(fd, buf->data + done, buf->bytes - done);
        }
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            break;
        }
        done += (size_t)put;
    }
    flo_buf_deinit(buf);
}

/* Adds the blobs that will be downloaded. */
static void add_blobs(struct flo_buf *buf, const struct flo_release *release,
                      const struct flo_plan *plan)
{
    char text[FLO_DIGEST_TEXT];
    const char *between = "";

    flo_buf_text(buf, ",\"blobs\":[");
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct flo_release_file *file = &release->files[plan->steps[i].file];
        if (!plan->steps[i].is_present) {
            flo_digest_text(&file->ways[plan->steps[i].way].digest, text);
            flo_buf_printf(buf, "%s\"%s\"", between, text);
            between = ",";
        }
    }
    flo_buf_text(buf, "]");
}

void flo_event_planned(int fd, const struct flo_release *release, const struct flo_plan *plan)
{
    char title[2 * FLO_NAME_MAX + 2];
    struct flo_buf buf = {0};

    flo_release_title(release, title);
    begin(&buf, "planned");
    add_text(&buf, "title", title);
    add_text(&buf, "variant", release->variants[plan->variant].name);
    add_text(&buf, "codec", flo_codec_word(plan->codec));
    add_number(&buf, "bytes", plan->fetch_bytes);
    add_number(&buf, "full_bytes", plan->full_bytes);
    add_number(&buf, "disk_bytes", plan->disk_bytes);
    add_number(&buf, "packed_bytes", plan->packed_bytes);
    add_number(&buf, "prefix_bytes", plan->prefix_bytes);
    add_text(&buf, "reason", plan->reason);
    add_text(&buf, "chosen", plan->chosen);
    add_blobs(&buf, release, plan);
    send_line(fd, &buf);
}

void flo_event_waiting(int fd)
{
    flo_event_word(fd, "waiting");
}

void flo_event_downloading(int fd, uint64_t done, uint64_t total)
{
    struct flo_buf buf = {0};

    begin(&buf, "downloading");
    add_number(&buf, "done", done);
    add_number(&buf, "total", total);
    send_line(fd, &buf);
}

void flo_event_word(int fd, const char *word)
{
    struct flo_buf buf = {0};

    begin(&buf, word);
    send_line(fd, &buf);
}

void flo_event_resumed(int fd, uint64_t kept, uint64_t total)
{
    struct flo_buf buf = {0};

    begin(&buf, "resumed");
    add_number(&buf, "kept", kept);
    add_number(&buf, "total", total);
    send_line(fd, &buf);
}

void flo_event_fallback(int fd, enum flo_codec from, enum flo_codec to, const struct flo_err *err)
{
    struct flo_buf buf = {0};

    begin(&buf, "fallback");
    add_text(&buf, "from", flo_codec_word(from));
    add_text(&buf, "to", flo_codec_word(to));
    add_error(&buf, err);
    send_line(fd, &buf);
}

void flo_event_staged(int fd, const struct flo_digest *release, const struct flo_plan *plan,
                      const struct flo_fetch *fetch, uint64_t took_ms)
{
    char digest[FLO_DIGEST_TEXT];
    struct flo_buf buf = {0};

    flo_digest_text(release, digest);
    begin(&buf, "staged");
    add_text(&buf, "release", digest);
    add_number(&buf, "fetched_bytes", fetch->fetched_bytes);
    add_number(&buf, "found_bytes", fetch->found_bytes);
    add_number(&buf, "neighbour_bytes", fetch->neighbours.bytes);
    add_number(&buf, "took_ms", took_ms);
    add_text(&buf, "codec", flo_codec_word(plan->codec));
    send_line(fd, &buf);
}

void flo_event_failed(int fd, const struct flo_err *err, bool is_passing)
{
    struct flo_buf buf = {0};

    begin(&buf, "failed");
    add_error(&buf, err);
    flo_buf_printf(&buf, ",\"passing\":%s", is_passing ? "true" : "false");
    send_line(fd, &buf);
}
