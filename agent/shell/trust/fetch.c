/* Trust fetch: requests trust statements by HTTPS, when the broker's list has a
 * gap and about once a day.  So whoever controls the broker cannot hide a
 * statement for ever. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/https/https.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/trust/memory.h"

#define ANSWER_BYTES_MAX (1u << 20)
#define FIRST_MS (60u * 60 * 1000) /* longest time from the start to the first request */
/* average time between two requests: each pause is random, from half of it to
 * one and a half of it */
#define EACH_MS (24ull * 3600 * 1000)
#define DOUBT_MS (60u * 1000)
#define LIST_MAX 64
#define NUMBER_MAX (UINT64_C(1) << 62)

static uint64_t within(uint64_t ms)
{
    uint64_t random;

    flo_random(&random, sizeof(random));
    return random % ms;
}

/* Reads the list of statements in an answer (contracts/messages.md section 3).
 * An answer without the controller's newest order number allows any number. */
static int read_list(const char *data, size_t bytes, json_t **json, const json_t **out,
                     size_t *count, uint64_t *order_number, uint64_t *at_ms, struct flo_err *err)
{
    json_t *list = NULL;

    FLO_TRY(flo_json_parse(data, bytes, ANSWER_BYTES_MAX, json, err));
    FLO_TRY(flo_json_get_array(*json, "statements", LIST_MAX, &list, err));
    FLO_TRY(flo_json_opt_u64(*json, "order_number", 0, NUMBER_MAX, NUMBER_MAX, order_number, err));
    FLO_TRY(flo_json_opt_u64(*json, "at_ms", 0, NUMBER_MAX, 0, at_ms, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        out[i] = json_array_get(list, i);
    }
    *count = json_array_size(list);
    return 0;
}

static void on_done(void *context, const struct flo_http_answer *answer,
                    const struct flo_err *failed)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    const json_t *list[LIST_MAX];
    struct flo_shell *shell = context;
    struct flo_err err = {0};
    uint64_t before = flo_trust_number(shell->identity.trust);
    uint64_t order_number = 0, at_ms = 0;
    size_t count = 0;
    int rv;

    shell->trust->fetch = NULL;
    if (failed != NULL) {
        flo_log_err(FLO_LOG_INFO, "trust", failed);
        return;
    }
    rv = answer->status == 200 ? read_list((const char *)answer->body.data, answer->body.bytes,
                                           &json, list, &count, &order_number, &at_ms, &err)
                               : flo_http_fail(answer, "the trust statements", &err);
    if (rv < 0) {
        flo_log_err(FLO_LOG_WARN, "trust", &err);
        return;
    }
    shell->trust->order_number = order_number;
    shell->trust->order_number_ms = flo_now_ms();
    if (at_ms != 0 && flo_shell_clock_claim(shell, at_ms, true)) {
        flo_shell_device_changed(shell);
    }
    (void)flo_shell_trust_hear(shell, FLO_TRUST_BY_CONTROLLER, list, count);
    flo_shell_newest_hear(shell, FLO_TRUST_BY_CONTROLLER, false, json);
    if ((shell->trust->leap_ms != 0 || shell->trust->time_ms != 0) && shell->trust->then != NULL) {
        shell->trust->then(shell);
    }
    if (flo_trust_number(shell->identity.trust) > before) {
        /* a long chain of trust statements needs several answers, so the next
         * ones are requested */
        flo_shell_trust_fetch(shell);
    }
}

void flo_shell_trust_then(struct flo_shell *shell, void (*then)(struct flo_shell *shell))
{
    shell->trust->then = then;
}

void flo_shell_trust_fetch(struct flo_shell *shell)
{
    struct flo_err err = {0};
    char path[96];

    if (shell->trust->fetch != NULL || !shell->identity.is_there || shell->identity.trust == NULL ||
        shell->is_local) {
        return;
    }
    snprintf(path, sizeof(path), "/v1/trust/statements?after=%llu",
             (unsigned long long)flo_trust_number(shell->identity.trust));
    if (flo_https_start(shell,
                        &(struct flo_https_ask){.path = path,
                                                .answer_bytes_max = ANSWER_BYTES_MAX,
                                                .done = on_done,
                                                .context = shell},
                        &shell->trust->fetch, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "trust", &err);
    }
}

void flo_shell_trust_doubt(struct flo_shell *shell)
{
    uint64_t now = flo_now_ms();

    if (now >= shell->trust->doubt_ms) {
        shell->trust->doubt_ms = now + DOUBT_MS;
        flo_shell_trust_fetch(shell);
    }
}

static void on_timer(evutil_socket_t fd, short events, void *context)
{
    struct flo_shell *shell = context;

    (void)fd, (void)events;
    flo_shell_trust_fetch(shell);
    flo_shell_later(shell->trust->timer, (unsigned)(EACH_MS / 2 + within(EACH_MS)));
}

int flo_shell_trust_open(struct flo_shell *shell, struct flo_err *err)
{
    shell->trust->timer = evtimer_new(shell->base, on_timer, shell);
    shell->trust->newest.looker = evtimer_new(shell->base, flo_shell_newest_look, shell);
    if (shell->trust->timer == NULL || shell->trust->newest.looker == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "timers");
    }
    /* A device that lost its newest trust statement requests it after a second;
     * any other device waits up to FIRST_MS. */
    flo_shell_later(shell->trust->timer,
                    flo_shell_trust_is_behind(shell) ? 1000 : (unsigned)within(FIRST_MS));
    flo_shell_newest_begin(shell, flo_shell_trust_fetch);
    return 0;
}

void flo_shell_trust_close(struct flo_shell *shell)
{
    flo_https_cancel(shell->trust->fetch);
    shell->trust->fetch = NULL;
    flo_event_drop(&shell->trust->timer);
    flo_event_drop(&shell->trust->newest.looker);
}
