/* Newest: hears the controller's newest statements, and tells when none comes.
 *
 * A statement counts once the path leads from the device's own desired document
 * to its root.  Statement, path and document come in any order.  outbox.db has
 * the newest number, so that a restart makes no old statement new: it is stored
 * once an hour, and with each other document. */
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/trust.h>

#include "agent/shell/queue/timers.h"
#include "agent/shell/report/report.h"
#include "agent/shell/trust/memory.h"

#define KEEP_MS (60u * 60 * 1000)
#define KEY "newest" /* number, interval, digest of the order keys, a bundle's number */

/* ---- silence ---- */

static void tell(struct flo_shell *shell)
{
    const struct flo_shell_newest *own = &shell->trust->newest;
    const uint32_t bit = FLO_WAIT_BIT(FLO_WAIT_NEWEST);
    const struct flo_agent_event event = {
        .kind = FLO_AGENT_CONDITIONS,
        .lacks = own->silence.is_stale ? shell->watch->lacks | bit : shell->watch->lacks & ~bit};

    shell->stale[0] = '\0';
    if (own->silence.is_stale) {
        snprintf(shell->stale, sizeof(shell->stale),
                 "connected for %llu s without a newest word, which comes each %llu s%s",
                 (unsigned long long)own->silence.silent_ms / 1000,
                 (unsigned long long)own->silence.interval_ms / 1000,
                 own->word.number == 0 ? ""
                                       : "; the last one does not fit the desired document here");
    }
    (void)flo_shell_degraded_look(shell);
    /* Updates wait at once, and the report goes out in this turn of the loop.  If
     * the queue is full, the next look at all conditions tells the same. */
    shell->agent.revision++;
    (void)!flo_queue_offer(&shell->queue, &event);
}

void flo_shell_newest_look(evutil_socket_t fd, short events, void *context)
{
    struct flo_shell *shell = context;
    struct flo_shell_newest *own = &shell->trust->newest;
    uint64_t now_ms = flo_now_ms(), pause_ms = own->silence.interval_ms / FLO_SILENCE_LOOKS, random;

    (void)fd, (void)events;
    if (flo_silence_look(&own->silence, flo_shell_link_is_up(shell), flo_now_us() / 1000)) {
        tell(shell);
    }
    if (own->silence.asks && now_ms >= own->ask_ms) {
        own->ask_ms = now_ms + own->silence.interval_ms;
        own->ask(shell);
    }
    if (pause_ms > 0) { /* the devices of a fleet do not ask at one moment */
        flo_random(&random, sizeof(random));
        flo_shell_later(own->looker, (unsigned)(pause_ms / 2 + random % pause_ms));
    }
}

/* ---- words ---- */

static void keep(struct flo_shell *shell)
{
    struct flo_shell_newest *own = &shell->trust->newest;
    char text[FLO_DIGEST_TEXT + 72];

    snprintf(text, sizeof(text), "%llu %llu %s %llu", (unsigned long long)own->silence.number,
             (unsigned long long)own->silence.interval_ms, own->keys,
             (unsigned long long)own->bundle);
    flo_values_set(shell->db, KEY, text);
}

static void recall(struct flo_shell *shell)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = flo_values_get(shell->db, KEY);
    struct flo_shell_newest *own = &shell->trust->newest;
    unsigned long long number = 0, interval_ms = 0, bundle = 0;

    if (text != NULL) {
        (void)sscanf(text, "%llu %llu %71s %llu", &number, &interval_ms, own->keys, &bundle);
    }
    own->bundle = bundle;
    own->silence = (struct flo_silence){
        .number = number, .interval_ms = interval_ms, .looked_ms = flo_now_us() / 1000};
}

/* Verifies an envelope. */
static int open_word(struct flo_shell *shell, const json_t *envelope, struct flo_newest *out,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct flo_shell_newest *own = &shell->trust->newest;
    struct flo_digest digest;
    char keys[FLO_DIGEST_TEXT];

    flo_trust_order_keys(shell->identity.trust, &digest);
    flo_digest_text(&digest, keys);
    if (strcmp(keys, own->keys) != 0) { /* a thief of the others may have used up all numbers */
        memcpy(own->keys, keys, sizeof(keys));
        own->silence.number = own->word.number = own->bundle = 0;
    }
    flo_json_dump_canonical(envelope, &text);
    return text.failed ? flo_fail(err, FLO_E_MEMORY, "a newest statement")
                       : flo_newest_verify(text.data, text.bytes, shell->identity.trust, out, err);
}

/* Counts the statement, if it is about the document that is here. */
static void match(struct flo_shell *shell)
{
    struct flo_shell_newest *own = &shell->trust->newest;
    uint64_t interval_ms = own->silence.interval_ms, now_ms = flo_now_ms();
    struct flo_digest root;

    flo_newest_leaf(shell->identity.device, &own->desired, &root);
    flo_newest_root(&root, &own->path, &root);
    if (own->word.number == 0 || !flo_digest_equal(&root, &own->word.root)) {
        return;
    }
    flo_silence_hear(&own->silence, &own->word, own->is_direct, now_ms);
    own->word.number = 0;
    if (own->kept_ms == 0 || now_ms - own->kept_ms >= KEEP_MS ||
        interval_ms != own->silence.interval_ms) {
        keep(shell);
        own->kept_ms = now_ms;
    }
    flo_shell_newest_look(-1, 0, shell);
}

static int take(struct flo_shell *shell, enum flo_trust_way way, const json_t *envelope,
                struct flo_err *err)
{
    struct flo_shell_newest *own = &shell->trust->newest;
    bool is_direct = way == FLO_TRUST_BY_CONTROLLER;
    struct flo_agent_time time;
    struct flo_newest word;

    FLO_TRY(open_word(shell, envelope, &word, err));
    flo_shell_clock_look(shell, &time);
    FLO_TRY(flo_silence_admit(&own->silence, &word, &time,
                              is_direct ? FLO_WORD_DIRECT : FLO_WORD_BY_ANYBODY, flo_now_ms(),
                              err));
    if (word.number > own->silence.number && word.number >= own->word.number) {
        if (flo_shell_clock_claim(shell, word.issued_at_ms, false)) {
            flo_shell_device_changed(shell);
        }
        own->word = word;
        own->is_direct = is_direct;
    }
    return 0;
}

void flo_shell_newest_hear(struct flo_shell *shell, enum flo_trust_way way, bool is_desired,
                           const json_t *json)
{
    const json_t *envelope = json_object_get(json, "newest"), *path = json_object_get(json, "path");
    struct flo_shell_newest *own = &shell->trust->newest;
    struct flo_digest before = own->desired;
    struct flo_err err = {0};
    int rv = 0;

    if (shell->identity.trust == NULL || (envelope == NULL && path == NULL && !is_desired)) {
        return;
    }
    if (path != NULL) {
        rv = flo_newest_path_read(path, &own->path, &err);
    }
    if (is_desired) {
        match(shell); /* a desired document has the path of the one before it */
        flo_newest_desired(json, &own->desired);
        /* the word that fits another document is stored at once */
        own->kept_ms = flo_digest_equal(&before, &own->desired) ? own->kept_ms : 0;
    }
    if (rv == 0 && envelope != NULL) {
        rv = take(shell, way, envelope, &err);
    }
    if (rv < 0) {
        flo_wrap(&err, rv, "newest statement");
        flo_shell_note(shell, flo_shell_trust_is_ours(rv) ? "note" : "security", &err);
    }
    match(shell);
}

/* ---- bundles ---- */

static int take_bundle(struct flo_shell *shell, const json_t *request, struct flo_err *err)
{
    struct flo_shell_newest *own = &shell->trust->newest;
    struct flo_silence silence;
    struct flo_agent_time time;
    struct flo_newest word;
    struct flo_digest root;

    FLO_TRY(flo_newest_bundle(json_object_get(request, "releases"), &root, err));
    FLO_TRY(open_word(shell, json_object_get(request, "newest"), &word, err));
    if (!flo_digest_equal(&root, &word.root)) {
        return flo_fail(err, FLO_E_TRUST_NEWEST, "number %llu is of other releases",
                        (unsigned long long)word.number);
    }
    silence = own->silence;
    silence.number = own->bundle;
    flo_shell_clock_look(shell, &time);
    FLO_TRY(flo_silence_admit(&silence, &word, &time, FLO_WORD_IN_BUNDLE, flo_now_ms(), err));
    own->bundle = word.number;
    keep(shell);
    return 0;
}

int flo_shell_newest_bundle(struct flo_shell *shell, const json_t *request, struct flo_err *err)
{
    struct flo_shell_newest *own = &shell->trust->newest;
    struct flo_trust_key key;
    int rv = 0;

    if (own->keys[0] == '\0') { /* a command without an agent */
        recall(shell);
    }
    if (shell->identity.trust == NULL ||
        !flo_trust_key_with(shell->identity.trust, FLO_ROLE_ORDER, &key)) {
        return 0; /* a device that trusts no controller cannot verify it */
    }
    if (json_object_get(request, "newest") != NULL) {
        rv = take_bundle(shell, request, err);
    } else if (own->bundle > 0 || own->silence.is_stale) {
        rv = flo_fail(err, FLO_E_TRUST_NEWEST, "it has none, and %s",
                      own->bundle > 0 ? "one before it had" : "the device is trust.stale");
    }
    return rv < 0 ? flo_wrap(err, rv, "newest statement of the bundle") : 0;
}

json_t *flo_shell_newest_json(const struct flo_shell *shell)
{
    const struct flo_silence *silence = &shell->trust->newest.silence;

    return json_pack("{s:I, s:I, s:I, s:b}", "number", (json_int_t)silence->number, "interval_ms",
                     (json_int_t)silence->interval_ms, "silent_ms", (json_int_t)silence->silent_ms,
                     "stale", (int)silence->is_stale);
}

/* ---- the whole ---- */

void flo_shell_newest_begin(struct flo_shell *shell, void (*ask)(struct flo_shell *shell))
{
    shell->trust->newest.ask = ask;
    recall(shell);
    flo_shell_newest_look(-1, 0, shell);
}
