/* Top: shows the fleet on one screen, again and again. */
#include <poll.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <flotilla/plural.h>

#include "server-stub/cli/live/live.h"
#include "server-stub/cli/view/view.h"
#include "server-stub/core/device/condition.h"

#define REFRESH_MS 3000
#define KEY_LOOK_MS 200
#define SINCE_MS 600000
#define RELEASES_MAX 64

struct top {
    struct flo_cli *cli;
    json_t *version, *ready, *releases, *rollouts;
    json_t *rows; /* rows of the screen, one for each release */
    uint64_t all, online, silent;
    uint64_t conditions[FLO_CONDITION_COUNT];
};

/* ---- numbers ---- */

static uint64_t total(struct flo_cli *cli, const char *where, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf path = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;

    flo_buf_text(&path, "/v1/devices?limit=1&fields=name");
    flo_api_query_add(&path, "where", where);
    return path.failed || flo_api_get(cli, path.data, &page, err) < 0 ? 0
                                                                      : flo_out_u64(page, "total");
}

static json_t *series_of(struct flo_cli *cli, const char *metric, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = json_pack("{s:s,s:[s],s:I,s:I,s:[f,f,f]}", "metric", metric, "by", "release",
                             "since_ms", (json_int_t)SINCE_MS, "step_ms", (json_int_t)SINCE_MS,
                             "quantiles", 0.5, 0.95, 0.99);
    json_t *answer = NULL;

    if (flo_api_call(cli, "POST", "/v1/telemetry/query", body, &answer, err) < 0) {
        return NULL;
    }
    return answer;
}

/* Gets the row of a release, which is added if missing. */
static json_t *row_of(struct top *top, const char *digest)
{
    json_t *release, *row;
    size_t i;

    json_array_foreach(top->rows, i, row)
    {
        if (strcmp(flo_out_text(row, "digest", ""), digest) == 0) {
            return row;
        }
    }
    json_array_foreach(top->releases, i, release)
    {
        if (strcmp(flo_out_text(release, "digest", ""), digest) == 0 &&
            json_array_size(top->rows) < RELEASES_MAX) {
            row = json_pack("{s:s,s:s,s:s,s:s}", "digest", digest, "name",
                            flo_out_text(release, "name", "?"), "model",
                            flo_out_text(release, "model", "?"), "version",
                            flo_out_text(release, "version", "?"));
            json_array_append_new(top->rows, row);
            return row;
        }
    }
    return NULL;
}

static void put_quantiles(struct top *top, const char *metric, const char *const names[2],
                          struct flo_err *err)
{
    static const char *const quantiles[] = {"0.5", "0.95"};
    FLO_CLEANUP(flo_json_cleanup)
    json_t *answer = series_of(top->cli, metric, err);
    json_t *series;
    size_t i;

    json_array_foreach(json_object_get(answer, "series"), i, series)
    {
        json_t *row = row_of(top, flo_out_text(series, "key.release", ""));
        json_t *values = json_object_get(series, "quantiles");
        for (int k = 0; row != NULL && k < 2; k++) {
            double us = json_number_value(json_object_get(values, quantiles[k]));
            if (us > 0) {
                json_object_set_new(row, names[k], json_real(us));
            }
        }
    }
}

static void put_sums(struct top *top, const char *metric, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *answer = series_of(top->cli, metric, err);
    json_t *series;
    size_t i;

    json_array_foreach(json_object_get(answer, "series"), i, series)
    {
        json_t *row = row_of(top, flo_out_text(series, "key.release", ""));
        if (row != NULL) {
            json_object_set_new(row, metric, json_integer((json_int_t)flo_out_u64(series, "sum")));
        }
    }
}

static void count_devices(struct top *top, struct flo_err *err)
{
    size_t i;
    json_t *release;
    char where[300];

    json_array_foreach(top->releases, i, release)
    {
        const char *digest = flo_out_text(release, "digest", "");
        const char *state = flo_out_text(release, "state", "");
        if (i >= RELEASES_MAX ||
            (strcmp(state, "published") != 0 && strcmp(state, "yanked") != 0)) {
            continue;
        }
        snprintf(where, sizeof(where), "release='%.200s'", flo_out_text(release, "name", ""));
        uint64_t devices = total(top->cli, where, err);
        json_t *row = devices > 0 ? row_of(top, digest) : NULL;
        if (row != NULL) {
            json_object_set_new(row, "devices", json_integer((json_int_t)devices));
        }
    }
}

/* Formats the cells of all rows for people: milliseconds, tokens per second,
 * per cent. */
static void finish_rows(struct top *top)
{
    size_t i;
    json_t *row;
    char text[64];

    json_array_foreach(top->rows, i, row)
    {
        double half = json_number_value(json_object_get(row, "ttft_p50_us"));
        double most = json_number_value(json_object_get(row, "ttft_p95_us"));
        double token = json_number_value(json_object_get(row, "token_p50_us"));
        uint64_t requests = flo_out_u64(row, "requests");
        if (most > 0) {
            snprintf(text, sizeof(text), "%.0f / %.0f ms", half / 1000, most / 1000);
            json_object_set_new(row, "ttft", json_string(text));
        }
        if (token > 0) {
            snprintf(text, sizeof(text), "%.1f", 1e6 / token);
            json_object_set_new(row, "tokens_per_s", json_string(text));
        }
        if (requests > 0) {
            snprintf(text, sizeof(text), "%.2f",
                     100.0 * (double)flo_out_u64(row, "errors") / (double)requests);
            json_object_set_new(row, "errors_pct", json_string(text));
        }
    }
}

static int gather(struct top *top, struct flo_err *err)
{
    static const char *const ttft[] = {"ttft_p50_us", "ttft_p95_us"};
    static const char *const token[] = {"token_p50_us", "token_p95_us"};
    struct flo_cli *cli = top->cli;
    json_t *page = NULL;

    FLO_TRY(flo_api_get(cli, "/v1/version", &top->version, err));
    FLO_TRY(flo_api_read(cli, "/readyz", &top->ready, err));
    FLO_TRY(flo_api_list(cli, "/v1/releases", &top->releases, err));
    FLO_TRY(flo_api_get(cli, "/v1/rollouts?limit=5", &page, err));
    top->rollouts = json_incref(json_object_get(page, "items"));
    json_decref(page);
    top->rows = json_array();
    top->all = total(cli, NULL, err);
    top->online = total(cli, "state=online", err);
    for (size_t i = FLO_CONDITION_RETIRED + 1; i < FLO_CONDITION_COUNT; i++) {
        char where[64];
        snprintf(where, sizeof(where), "condition=%s", flo_condition_word((enum flo_condition)i));
        top->conditions[i] = total(cli, where, err);
    }
    top->silent = total(cli, "state=online and last_seen>10m", err);
    count_devices(top, err);
    put_quantiles(top, "ttft_us", ttft, err);
    put_quantiles(top, "token_us", token, err);
    put_sums(top, "requests", err);
    put_sums(top, "errors", err);
    finish_rows(top);
    return err->code;
}

static void drop(struct top *top)
{
    json_decref(top->version);
    json_decref(top->ready);
    json_decref(top->releases);
    json_decref(top->rollouts);
    json_decref(top->rows);
    *top = (struct top){.cli = top->cli};
}

/* ---- the screen ---- */

static void head(const struct top *top, struct flo_buf *out)
{
    double share = top->all > 0 ? 100.0 * (double)top->online / (double)top->all : 0;

    flo_buf_printf(out, "fleet %s   controller %s%s%s\n", flo_out_text(top->version, "fleet", "?"),
                   flo_out_text(top->version, "version", "?"),
                   json_is_true(json_object_get(top->ready, "broker")) ? "" : "   NO BROKER",
                   json_is_true(json_object_get(top->version, "frozen")) ? "   FROZEN" : "");
    flo_buf_printf(out, "%llu device%s   online %llu (%.1f %%)   silent %llu\n",
                   (unsigned long long)top->all, flo_s(top->all), (unsigned long long)top->online,
                   share, (unsigned long long)top->silent);
    for (size_t i = FLO_CONDITION_RETIRED + 1; i < FLO_CONDITION_COUNT; i++) {
        if (top->conditions[i] > 0) {
            flo_buf_printf(out, "%s %llu   ", flo_condition_word((enum flo_condition)i),
                           (unsigned long long)top->conditions[i]);
        }
    }
    flo_buf_text(out, "\n\n");
}

static void text_of(const struct top *top, struct flo_out_spec spec, struct flo_buf *out)
{
    struct flo_err err = {0};
    json_t *rollout;
    size_t i;

    head(top, out);
    if (flo_out_render(&spec, top->rows, FLO_COLUMNS(top_release), out, &err) < 0) {
        flo_buf_printf(out, "%s\n", err.what);
    }
    if (json_array_size(top->rollouts) > 0) {
        flo_buf_text(out, "\n");
        (void)!flo_out_render(&spec, top->rollouts, FLO_COLUMNS(top_rollout), out, &err);
    }
    json_array_foreach(top->rollouts, i, rollout)
    {
        if (json_array_size(json_object_get(rollout, "slices")) > 0) {
            flo_buf_printf(out, "slices of %s: ", flo_out_text(rollout, "id", "?"));
            flo_view_slices_line(rollout, out);
            flo_buf_text(out, "\n");
        }
    }
}

/* Draws the lines that fit on the screen, with the cursor at its end. */
static void draw(const struct flo_buf *text, size_t width, size_t height)
{
    const char *at = text->data != NULL ? text->data : "";
    char cut[FLO_CELL_BYTES];
    char line[FLO_CELL_BYTES];

    fputs("\033[H", stdout);
    for (size_t i = 0; i + 2 < height && at[0] != '\0'; i++) {
        size_t chars = strcspn(at, "\n");
        snprintf(line, sizeof(line), "%.*s", (int)chars, at);
        flo_text_cut(line, width, cut);
        printf("%s\033[K\n", cut);
        at += chars + (at[chars] == '\n');
    }
    printf("\033[J\033[%zu;1H%s\033[K", height,
           width >= 40 ? "q leaves · shown again every 3 s" : "q leaves");
    fflush(stdout);
}

/* Waits for a key, or for the time to redraw.  Returns false when the person
 * leaves. */
static bool wait_key(void)
{
    uint64_t until = flo_now_ms() + REFRESH_MS;

    while (flo_now_ms() < until && !flo_stop_asked()) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        char key = 0;
        if (poll(&in, 1, KEY_LOOK_MS) > 0) {
            if (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q' || key == 3 ||
                key == 4) {
                return false;
            }
            return true; /* any other key redraws at once */
        }
    }
    return !flo_stop_asked();
}

static int look_on(struct top *top, struct flo_err *err)
{
    struct termios before, now;
    bool has_keys = tcgetattr(STDIN_FILENO, &before) == 0;
    int rv = 0;

    flo_stop_catch();
    if (has_keys) {
        now = before;
        now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &now);
    }
    fputs("\033[?1049h\033[?25l", stdout);
    do {
        FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
        size_t width = flo_terminal_width(STDOUT_FILENO);
        struct flo_err gone = {0};
        struct flo_out_spec spec = {.width = width, .has_heads = true, .now_ms = flo_wall_ms()};
        rv = gather(top, &gone);
        if (rv < 0) { /* The command continues, because the controller may return soon. */
            flo_buf_printf(&text, "%s: %s\n", flo_error_id(rv), gone.what);
            *err = gone;
        } else {
            text_of(top, spec, &text);
        }
        draw(&text, width, flo_terminal_height(STDOUT_FILENO));
        drop(top);
    } while ((rv == 0 || flo_error_exit(rv) == FLO_EXIT_NETWORK) && wait_key());
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    if (has_keys) {
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    }
    return rv;
}

int flo_cmd_top(struct flo_cli *cli, struct flo_err *err)
{
    struct top top = {.cli = cli};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct flo_out_spec spec = {.has_heads = true, .now_ms = flo_wall_ms()};

    bool once = flo_args_has(&cli->args, "once");
    if (cli->is_tty && !flo_out_is_data(cli) && !once) {
        return look_on(&top, err);
    }
    int rv = gather(&top, err);
    if (rv == 0 && flo_out_is_data(cli)) {
        flo_out_table(cli, top.rows, FLO_COLUMNS(top_release));
    } else if (rv == 0) {
        text_of(&top, spec, &text);
        fputs(text.data != NULL ? text.data : "", stdout);
    }
    drop(&top);
    return rv;
}
