/* Watch: follows a rollout or an order until it ends, with a line of
 * progress. */
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/db.h>
#include <flotilla/errors/net.h>
#include <flotilla/errors/rollout.h>
#include <flotilla/plural.h>
#include <flotilla/proto.h>

#include "server-stub/cli/live/live.h"
#include "server-stub/cli/rollout/rollout.h"
#include "server-stub/cli/view/view.h"

#define POLL_MS 250

/* A block of lines.  On a terminal it is redrawn in place, cut to the screen;
 * elsewhere only changes are printed. */
struct block {
    struct flo_view view;
    struct flo_buf last;
    size_t lines; /* on the screen */
};

static void draw_over(struct block *block, const struct flo_buf *text)
{
    size_t width = flo_terminal_width(STDERR_FILENO);
    size_t height = flo_terminal_height(STDERR_FILENO);
    const char *at = text->data;
    char line[FLO_CELL_BYTES], cut[FLO_CELL_BYTES];

    if (block->lines > 0) {
        fprintf(stderr, "\033[%zuA", block->lines);
    }
    for (block->lines = 0; at[0] != '\0' && block->lines + 1 < height; block->lines++) {
        size_t chars = strcspn(at, "\n");
        snprintf(line, sizeof(line), "%.*s", (int)chars, at);
        flo_text_cut(line, width, cut);
        fprintf(stderr, "%s\033[K\n", cut);
        at += chars + (at[chars] == '\n');
    }
    fputs("\033[J", stderr);
}

static void draw(const struct flo_cli *cli, const json_t *rollout, struct block *block)
{
    bool is_tty = isatty(STDERR_FILENO) == 1;
    struct flo_buf text = {0};

    if (flo_args_has(&cli->args, "quiet")) {
        return;
    }
    flo_view_rollout(&block->view, rollout, flo_wall_ms(), is_tty,
                     flo_terminal_has_colour(&cli->args, STDERR_FILENO), &text);
    if (text.failed || (block->last.data != NULL && strcmp(text.data, block->last.data) == 0)) {
        flo_buf_deinit(&text);
        return;
    }
    if (is_tty) {
        draw_over(block, &text);
    } else {
        fputs(text.data, stderr);
    }
    flo_buf_deinit(&block->last);
    block->last = text;
}

/* Ends the block, because other lines follow below it.  The next lines begin
 * another block. */
static void block_ends(struct block *block)
{
    flo_buf_deinit(&block->last);
    block->last = (struct flo_buf){0};
    block->lines = 0;
}

static bool is_in(const char *word, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(word, *words) == 0) {
            return true;
        }
    }
    return false;
}

/* Tells whether a rollout in this state changes only by an action of a person.
 * A draft has not begun. */
static bool is_end(const char *state)
{
    static const struct {
        const char *word;
        bool is_active;
    } states[] = {
#define FLO_ROLLOUT_STATE(name, word, active, meaning, next) {word, active},
#include "server-stub/core/rollout/rollout_states.def"
    };

    for (size_t i = 0; i < FLO_COUNT(states); i++) {
        if (strcmp(state, states[i].word) == 0) {
            return !states[i].is_active && strcmp(state, "draft") != 0;
        }
    }
    return false;
}

static int verdict(const json_t *rollout, const char *wanted, struct flo_err *err)
{
    const char *state = flo_out_text(rollout, "state", "?");

    if (strcmp(state, wanted) == 0) {
        return 0;
    }
    flo_fail(err, FLO_E_ROLLOUT_HALTED, "rollout %s is %s, not %s",
             flo_out_text(rollout, "id", "?"), state, wanted);
    flo_err_why(err, "%s", flo_out_text(rollout, "reason", "no reason"));
    if (json_object_get(rollout, "remedy") != NULL) {
        return flo_err_fix(err, "%.250s", flo_out_text(rollout, "remedy", ""));
    }
    const char *id = flo_out_text(rollout, "id", "?");
    return strcmp(state, "rolled-back") == 0
               ? flo_err_fix(err, "flotilla rollout explain %.60s", id)
               : flo_err_fix(err,
                             "flotilla rollout explain %.60s; take it back: "
                             "flotilla rollout rollback %.60s",
                             id, id);
}

/* Ends the wait after its timeout.  The error tells for what the rollout waits,
 * and the command that resolves it. */
static int is_late(const json_t *rollout, uint64_t timeout_ms, struct flo_err *err)
{
    const char *state = flo_out_text(rollout, "state", "?");
    const char *id = flo_out_text(rollout, "id", "?");
    bool is_unapproved = strcmp(state, "awaiting-approval") == 0;
    bool goes_back = strcmp(state, "rolling-back") == 0 || strcmp(state, "aborting") == 0;

    flo_fail(err, FLO_E_NET_TIMEOUT, "rollout %.60s is still %.40s after %llu ms; it goes on", id,
             state, (unsigned long long)timeout_ms);
    if (flo_out_at(rollout, "next.what") != NULL) {
        flo_err_why(err, "it waits for %.200s",
                    json_string_value(flo_out_at(rollout, "next.what")));
    }
    return flo_err_fix(err, "flotilla rollout %s %.60s%s%.60s", is_unapproved ? "approve" : "watch",
                       id, goes_back ? "" : "; to end it: flotilla rollout abort ",
                       goes_back ? "" : id);
}

static int rollout_goes_on(const char *id, struct flo_err *err)
{
    char what[128], next[256];

    snprintf(what, sizeof(what), "rollout %.100s", id);
    snprintf(next, sizeof(next),
             "flotilla rollout watch %.60s; to end it: flotilla rollout abort "
             "%.60s",
             id, id);
    return flo_stop_told(err, what, next);
}

/* State of the connection to the controller.  A controller that answered before
 * and no longer does may return soon. */
struct presence {
    bool was_there;
    uint64_t away_at_ms; /* time since which the controller is unreachable; 0: it is reachable */
};

static const char *absence(int rv)
{
    return rv == FLO_E_NET_UNREACHABLE  ? "the controller cannot be reached"
           : rv == FLO_E_NET_TIMEOUT    ? "the controller does not answer"
           : rv == FLO_E_DB_UNREACHABLE ? "the controller has no database"
           : rv == FLO_E_REST_LIMIT     ? "the controller is busy"
                                        : NULL;
}

/* Tells whether the command tries again after a failed call.  Prints once that
 * the connection is lost, and when it is back. */
static bool is_only_away(const struct flo_cli *cli, struct presence *presence, int rv)
{
    uint64_t now_ms = flo_now_ms();

    if (rv == 0 && presence->away_at_ms > 0) {
        flo_out_say(cli, "the controller answers again, after %.0f s",
                    (double)(now_ms - presence->away_at_ms) / 1000);
        presence->away_at_ms = 0;
    }
    presence->was_there = presence->was_there || rv == 0;
    if (rv == 0 || !presence->was_there || absence(rv) == NULL) {
        return false;
    }
    if (presence->away_at_ms == 0) {
        flo_out_say(cli, "%s; trying again", absence(rv));
        presence->away_at_ms = now_ms;
    }
    return true;
}

/* Tells whether every device of the phase is offline, so that none ends until
 * one returns. */
static bool is_nobody_there(const json_t *rollout)
{
    const json_t *phase = json_array_get(json_object_get(rollout, "phases"),
                                         (size_t)flo_out_u64(rollout, "phase") - 1);
    uint64_t devices = flo_out_u64(phase, "devices");

    return strcmp(flo_out_text(rollout, "state", ""), "running") == 0 && devices > 0 &&
           flo_out_u64(phase, "away") == devices;
}

/* Prints, once, that every device is offline.  The line is below the block. */
static void say_nobody(const struct flo_cli *cli, const json_t *rollout, struct block *block,
                       bool *is_said)
{
    if (is_nobody_there(rollout) && !*is_said) {
        flo_out_say(cli,
                    "every device of phase %llu is away: it waits until one "
                    "comes back. To end it: flotilla rollout abort %s",
                    (unsigned long long)flo_out_u64(rollout, "phase"),
                    flo_out_text(rollout, "id", "?"));
        *is_said = true;
        block->lines = 0;
    }
}

int flo_watch_rollout(struct flo_cli *cli, const char *id, const char *wanted, uint64_t timeout_ms,
                      struct flo_err *err)
{
    /* URL path of the answer with devices, and of the answer without them */
    char path[256], brief[256];
    struct block block = {.lines = 0};
    uint64_t begin = flo_now_ms();
    struct presence presence = {.was_there = false};
    bool has_said_nobody = false;

    if (!flo_name_is_valid(id)) {
        return flo_fail(err, FLO_E_ROLLOUT_ABSENT, "no rollout `%.80s`", id);
    }
    flo_stop_catch();
    snprintf(path, sizeof(path), "/v1/rollouts/%s", id);
    snprintf(brief, sizeof(brief), "/v1/rollouts/%s?devices=0", id);
    for (;;) {
        FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;
        FLO_CLEANUP(flo_json_cleanup) json_t *whole = NULL;
        int rv =
            flo_stop_asked() ? rollout_goes_on(id, err) : flo_api_get(cli, brief, &rollout, err);
        const char *state = flo_out_text(rollout, "state", "?");
        bool was_away = presence.away_at_ms > 0;
        bool is_away = is_only_away(cli, &presence, rv);
        if (was_away || is_away) {
            block_ends(&block);
        }
        if (is_away && flo_now_ms() - begin <= timeout_ms) {
            (void)flo_stop_pause(POLL_MS);
            continue;
        }
        if (rv == 0) {
            draw(cli, rollout, &block);
            say_nobody(cli, rollout, &block, &has_said_nobody);
        }
        bool is_over = rv < 0 || strcmp(state, wanted) == 0 || is_end(state);
        if (!is_over && flo_now_ms() - begin > timeout_ms) {
            rv = is_late(rollout, timeout_ms, err);
            is_over = true;
        } else if (is_over && rv == 0) {
            rv = verdict(rollout, wanted, err);
        }
        if (is_over) {
            if (flo_out_is_data(cli) && rollout != NULL) {
                struct flo_err gone = {0};
                flo_out_object(cli,
                               flo_api_get(cli, path, &whole, &gone) == 0 &&
                                       flo_rollout_fill(cli, whole, &gone) == 0
                                   ? whole
                                   : rollout,
                               FLO_COLUMNS(rollout));
            }
            flo_buf_deinit(&block.last);
            return rv;
        }
        (void)flo_stop_pause(POLL_MS);
    }
}

int flo_cmd_rollout_wait(struct flo_cli *cli, struct flo_err *err)
{
    static const char *const states[] = {
#define FLO_ROLLOUT_STATE(name, word, active, meaning, next) word,
#include "server-stub/core/rollout/rollout_states.def"
        NULL};
    const char *id = cli->args.words[0];
    uint64_t timeout_ms;
    const char *wanted = flo_args_text(&cli->args, "for", "completed");

    if (strcmp(wanted, "complete") == 0) {
        wanted = "completed";
    }
    if (!is_in(wanted, states)) {
        const char *near = flo_nearest(wanted, states, FLO_COUNT(states) - 1);
        flo_fail(err, FLO_E_USAGE, "no rollout is ever `%.40s`", wanted);
        return flo_err_fix(err, "--for %s", near != NULL ? near : "completed");
    }
    FLO_TRY(flo_args_ms(&cli->args, "timeout", UINT64_MAX, &timeout_ms, err));
    return flo_watch_rollout(cli, id, wanted, timeout_ms, err);
}

int flo_cmd_rollout_watch(struct flo_cli *cli, struct flo_err *err)
{
    return flo_cmd_rollout_wait(cli, err);
}

/* ---- answers of devices ---- */

struct answers {
    uint64_t ended;
    uint64_t failed; /* number of the devices in `ended` that failed */
    /* number of online devices that have not ended; a device that answered and
     * went offline does not count */
    uint64_t awaited;
};
typedef struct answers answers_fn(const json_t *now);

/* Tells whether the answer has the number of awaited devices; an older
 * controller does not send it. */
static bool says_awaited(const json_t *now)
{
    return json_object_get(now, "awaited") != NULL;
}

static struct answers answers_of_order(const json_t *order)
{
    uint64_t failed = flo_out_u64(order, "failed");
    uint64_t ended = flo_out_u64(order, "done") + failed;
    uint64_t online = flo_out_u64(order, "online");

    return (struct answers){.ended = ended,
                            .failed = failed,
                            .awaited = says_awaited(order) ? flo_out_u64(order, "awaited")
                                       : online > ended    ? online - ended
                                                           : 0};
}

/* Counts the devices that received the release and have left it, or have
 * reported that they cannot. */
static struct answers answers_of_rollback(const json_t *rollout)
{
    struct answers answers = {0};
    size_t i;
    json_t *device;

    if (says_awaited(rollout)) {
        uint64_t failed = flo_out_u64(rollout, "stays");
        return (struct answers){.ended = flo_out_u64(rollout, "back") + failed,
                                .failed = failed,
                                .awaited = flo_out_u64(rollout, "awaited")};
    }
    json_array_foreach(json_object_get(rollout, "devices"), i, device)
    {
        bool stays = json_is_true(json_object_get(device, "stays"));
        bool is_back = json_is_true(json_object_get(device, "back"));
        if (strcmp(flo_out_text(device, "state", ""), "queued") == 0) {
            continue;
        }
        answers.failed += stays;
        answers.ended += stays || is_back;
        answers.awaited += !stays && !is_back && json_is_true(json_object_get(device, "online"));
    }
    return answers;
}

/* Fails with FLO_E_STOPPED, because the order or rollout at the end of the path
 * continues on the controller. */
static int answers_go_on(const char *path, struct flo_err *err)
{
    const char *id = strrchr(path, '/') + 1;
    char next[160];

    snprintf(next, sizeof(next), "flotilla %s %.100s",
             strstr(path, "/orders/") != NULL ? "order wait" : "rollout get", id);
    return flo_stop_told(err, id, next);
}

/* Waits until all online devices have answered.  The list of devices is only
 * requested at the start and at the end.  An older controller sends no number
 * of awaited devices, so the list is then requested each time. */
static int watch_answers(struct flo_cli *cli, const char *path, answers_fn *of, uint64_t timeout_ms,
                         json_t **out, struct flo_err *err)
{
    uint64_t begin = flo_now_ms();
    uint64_t last = UINT64_MAX;
    struct presence presence = {.was_there = false};
    char brief[320];
    bool is_brief = false;

    flo_stop_catch();
    snprintf(brief, sizeof(brief), "%s?devices=0", path);
    for (;;) {
        json_t *now = NULL;
        int rv = flo_stop_asked() ? answers_go_on(path, err)
                                  : flo_api_get(cli, is_brief ? brief : path, &now, err);
        if (is_only_away(cli, &presence, rv) && flo_now_ms() - begin <= timeout_ms) {
            (void)flo_stop_pause(POLL_MS);
            continue;
        }
        FLO_TRY(rv);
        struct answers answers = of(now);
        uint64_t all = answers.ended + answers.awaited;
        if (answers.ended != last) {
            flo_out_say(cli, " %llu/%llu device%s answered, %.1f s",
                        (unsigned long long)answers.ended, (unsigned long long)all, flo_s(all),
                        (double)(flo_now_ms() - begin) / 1000);
            last = answers.ended;
        }
        if (answers.awaited > 0 && flo_now_ms() - begin <= timeout_ms) {
            is_brief = says_awaited(now);
            json_decref(now);
            (void)flo_stop_pause(POLL_MS);
            continue;
        }
        json_t *whole = NULL;
        struct flo_err gone = {0};
        if (is_brief && flo_api_get(cli, path, &whole, &gone) == 0) {
            json_decref(now);
            now = whole;
        }
        *out = now;
        if (answers.awaited > 0) {
            flo_fail(err, FLO_E_NET_TIMEOUT, "%llu of %llu device%s answered in %llu ms",
                     (unsigned long long)answers.ended, (unsigned long long)all, flo_s(all),
                     (unsigned long long)timeout_ms);
            return flo_err_fix(err, "flotilla %s get %.60s says who did not",
                               strstr(path, "/orders/") != NULL ? "order" : "rollout",
                               strrchr(path, '/') + 1);
        }
        if (answers.failed > 0) {
            flo_fail(err, FLO_E_ROLLOUT_PARTLY, "%llu of %llu device%s did not get there",
                     (unsigned long long)answers.failed, (unsigned long long)all, flo_s(all));
            return json_object_get(now, "remedy") == NULL
                       ? FLO_E_ROLLOUT_PARTLY
                       : flo_err_fix(err, "%.250s", flo_out_text(now, "remedy", ""));
        }
        return 0;
    }
}

int flo_watch_order(struct flo_cli *cli, const char *id, uint64_t timeout_ms, json_t **order,
                    struct flo_err *err)
{
    char path[256];

    snprintf(path, sizeof(path), "/v1/orders/%.100s", id);
    return watch_answers(cli, path, answers_of_order, timeout_ms, order, err);
}

int flo_watch_rollback(struct flo_cli *cli, const char *id, uint64_t timeout_ms, json_t **rollout,
                       struct flo_err *err)
{
    char path[256];

    snprintf(path, sizeof(path), "/v1/rollouts/%.100s", id);
    return watch_answers(cli, path, answers_of_rollback, timeout_ms, rollout, err);
}
