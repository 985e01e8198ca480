/* Share: runs the process `flotilla-updater share`, which serves neighbours.
 * That process talks to strangers, so its lines are not trusted until they
 * match the format. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/shell/device/device.h"
#include "agent/shell/neighbours/neighbourhood.h"
#include "base/talk.h"

#define AGAIN_MS 10000
#define TRANSFERS_MAX 8

void flo_share_end(struct flo_neighbourhood *hood)
{
    struct flo_neighbour_counts *counts = &hood->shell->neighbours->counts;

    flo_event_drop(&hood->readable);
    flo_fd_cleanup(&hood->fd);
    hood->fd = -1;
    if (hood->pid > 0) {
        kill(hood->pid, SIGKILL); /* the process writes no files, so it can be killed at any time */
        while (waitpid(hood->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    hood->pid = 0;
    hood->bytes = 0;
    counts->port = 0;
    hood->out_before = counts->out_bytes;
    hood->refused_before = counts->refused;
}

static void broke(struct flo_neighbourhood *hood, const char *why)
{
    flo_log(FLO_LOG_WARN, "neighbours", "nothing is served for %d s: %s", AGAIN_MS / 1000, why);
    flo_share_end(hood);
    hood->start_again_ms = flo_now_ms() + AGAIN_MS;
}

/* ---- what it says ---- */

static int take_served(struct flo_neighbourhood *hood, const json_t *json, struct flo_err *err)
{
    struct flo_neighbour_counts *counts = &hood->shell->neighbours->counts;
    uint64_t bytes = 0, used = 0, used_ms = 0, refused = 0;

    FLO_TRY(flo_json_get_u64(json, "bytes", 0, INT64_MAX / 2, &bytes, err));
    FLO_TRY(flo_json_get_u64(json, "used_bytes", 0, INT64_MAX / 2, &used, err));
    FLO_TRY(flo_json_get_u64(json, "used_ms", 0, INT64_MAX / 2, &used_ms, err));
    FLO_TRY(flo_json_get_u64(json, "refused", 0, INT64_MAX / 2, &refused, err));
    uint64_t out = hood->out_before + bytes;

    /* The count never decreases, even if the serving process reports less. */
    counts->out_bytes = out > counts->out_bytes ? out : counts->out_bytes;
    counts->refused = hood->refused_before + refused;
    counts->used_bytes = used;
    hood->day_began_ms = flo_now_ms() - used_ms;
    flo_spent_keep(hood, false);
    return 0;
}

static int take_line(struct flo_neighbourhood *hood, const char *line, size_t bytes,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    const char *word = NULL;
    uint64_t port = 0;

    FLO_TRY(flo_json_parse(line, bytes, FLO_NEIGHBOURS_LINE_BYTES, &json, err));
    FLO_TRY(flo_json_get_text(json, "event", 32, &word, err));
    if (strcmp(word, "served") == 0) {
        return take_served(hood, json, err);
    }
    FLO_TRY(flo_json_get_u64(json, "port", 1, 65535, &port, err));
    hood->shell->neighbours->counts.port = (uint16_t)port;
    flo_log(FLO_LOG_INFO, "neighbours", "blobs are served on port %u", (unsigned)port);
    return 0;
}

static void on_readable(evutil_socket_t fd, short events, void *context)
{
    struct flo_neighbourhood *hood = context;
    ssize_t got = read(fd, hood->line + hood->bytes, sizeof(hood->line) - hood->bytes);
    size_t begin = 0;

    (void)events;
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (got <= 0) {
        broke(hood, "its process ended");
        return;
    }
    hood->bytes += (size_t)got;
    for (size_t i = 0; i < hood->bytes; i++) {
        struct flo_err err = {0};
        if (hood->line[i] != '\n') {
            continue;
        }
        if (take_line(hood, hood->line + begin, i - begin, &err) < 0) {
            broke(hood, err.what);
            return;
        }
        begin = i + 1;
    }
    memmove(hood->line, hood->line + begin, hood->bytes - begin);
    hood->bytes -= begin;
    if (hood->bytes == sizeof(hood->line)) {
        broke(hood, "its process wrote a line without end");
    }
}

/* ---- start, tell ---- */

/* Sends a line to the serving process.  Returns false when it could not be
 * written completely. */
static bool say(struct flo_neighbourhood *hood, json_t *json)
{
    struct flo_buf text = {0};
    bool is_said = false;

    if (json != NULL) {
        flo_json_dump(json, &text);
        flo_buf_text(&text, "\n");
        is_said = !text.failed && send(hood->fd, text.data, text.bytes,
                                       MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)text.bytes;
    }
    json_decref(json);
    flo_buf_deinit(&text);
    return is_said;
}

void flo_share_tell(struct flo_neighbourhood *hood)
{
    if (hood->fd < 0 || hood->fetched == NULL) {
        return;
    }
    if (!say(hood, json_pack("{s:O, s:b}", "fetched", hood->fetched, "moves", (int)hood->moves))) {
        broke(hood, "its process does not listen");
    }
}

static json_t *job_json(const struct flo_neighbourhood *hood)
{
    const struct flo_shell *shell = hood->shell;
    const struct flo_identity *identity = &shell->identity;
    const struct flo_config *config = shell->settings.config;
    uint64_t used_ms = flo_now_ms() - hood->day_began_ms;
    bool is_over = hood->day_began_ms == 0 || used_ms >= 24ull * 3600 * 1000;

    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:i, "
                     "s:I, s:s}",
                     "v", 1, "state_dir", shell->settings.state_dir, "device", identity->device,
                     "listen", flo_config_text(config, "neighbours_listen"), "ca_file",
                     identity->ca_file, "cert_file", identity->cert_file, "key_file",
                     identity->key_file, "revoked_file", hood->list_file, "rate_bytes_per_s",
                     (json_int_t)flo_config_u64(config, "neighbours_rate"), "budget_bytes",
                     (json_int_t)flo_config_u64(config, "neighbours_budget"), "used_bytes",
                     (json_int_t)(is_over ? 0 : shell->neighbours->counts.used_bytes), "used_ms",
                     (json_int_t)(is_over ? 0 : used_ms), "transfers_max", TRANSFERS_MAX, "time_ms",
                     (json_int_t)flo_shell_clock_ms(shell), "sandbox",
                     flo_sandbox_mode_word(shell->settings.sandbox));
}

static int start(struct flo_neighbourhood *hood, struct flo_err *err)
{
    const char *argv[] = {"flotilla-updater", "share", NULL};
    static const char *const keep[] = {"FLOTILLA_LOG",  "FLO_*",        "LD_*",   "ASAN_OPTIONS",
                                       "UBSAN_OPTIONS", "LSAN_OPTIONS", "QEMU_*", NULL};

    FLO_TRY(flo_process_talk(argv, keep, &hood->fd, &hood->pid, err));
    evutil_make_socket_nonblocking(hood->fd);
    hood->readable =
        event_new(hood->shell->base, hood->fd, EV_READ | EV_PERSIST, on_readable, hood);
    if (hood->readable == NULL || event_add(hood->readable, NULL) != 0 ||
        !say(hood, job_json(hood))) {
        return flo_fail(err, FLO_E_MEMORY, "neighbours");
    }
    snprintf(hood->cert_file, sizeof(hood->cert_file), "%s", hood->shell->identity.cert_file);
    flo_share_tell(hood);
    return 0;
}

void flo_share_look(struct flo_neighbourhood *hood, uint64_t now_ms)
{
    bool holds = flo_revoked_holds(hood, now_ms);
    struct flo_err err = {0};

    if (!hood->shell->neighbours->counts.serves) {
        return;
    }
    if (hood->pid > 0 &&
        (!holds || strcmp(hood->cert_file, hood->shell->identity.cert_file) != 0)) {
        flo_log(FLO_LOG_INFO, "neighbours", "%s",
                holds ? "the certificate is a new one: serving begins again"
                      : "nothing is served: the list of revoked certificates "
                        "is older than a day");
        flo_share_end(hood);
    }
    if (hood->pid == 0 && holds && now_ms >= hood->start_again_ms && start(hood, &err) < 0) {
        broke(hood, err.what);
    }
}
