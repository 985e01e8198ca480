/* Alert: levels and states of an alert, who is notified, and how much a counter
 * grew. */
#include <assert.h>
#include <string.h>

#include "base/host/digest.h"

#include "server-stub/core/alert/alert.h"

#define FIRST_PAUSE_MS 5000
#define PAUSE_MS_MAX UINT64_C(3600000)
#define ATTEMPTS_MAX 177 /* about a week */

#define CALM_MS UINT64_C(86400000) /* an alert that was over for so long has no history */
#define FIRES_FREE 2               /* before it flaps */
#define FLAP_MS_MIN 60000
#define FLAP_MS_MAX UINT64_C(3600000)

static const char *const words[] = {
#define FLO_ALERT_STATE(name, word, meaning) word,
#define FLO_ALERT_MOVE(...)
#include "server-stub/core/alert/alert_states.def"
};

const char *flo_alert_state_word(enum flo_alert_state state)
{
    assert(state < FLO_ALERT_STATES);
    return words[state];
}

bool flo_alert_state_parse(const char *word, enum flo_alert_state *out)
{
    for (int i = 0; i < FLO_ALERT_STATES; i++) {
        if (strcmp(words[i], word) == 0) {
            *out = (enum flo_alert_state)i;
            return true;
        }
    }
    return false;
}

/* Notes when the state that begins was entered, and how often. */
static void enter(struct flo_alert *alert, enum flo_alert_state next, uint64_t now_ms)
{
    if (next == FLO_ALERT_PENDING) {
        alert->fired_ms = alert->told_ms = 0;
        alert->held = 0;
        alert->is_acked = false;
    } else if (next == FLO_ALERT_RESOLVED) {
        alert->ended_ms = now_ms;
    } else if (next == FLO_ALERT_FIRING && alert->state == FLO_ALERT_CLEARING) {
        alert->held++;
    } else if (next == FLO_ALERT_FIRING) {
        alert->fired_ms = now_ms;
        alert->fires = now_ms < alert->ended_ms + CALM_MS ? alert->fires + 1 : 1;
    }
    alert->state = next;
    alert->since_ms = now_ms;
}

static bool move(struct flo_alert *alert, enum flo_alert_level level, uint64_t now_ms)
{
    static const struct {
        enum flo_alert_state state;
        enum flo_alert_level level;
        enum flo_alert_state next;
    } moves[] = {
#define FLO_ALERT_STATE(...)
#define FLO_ALERT_MOVE(state, level, next) {FLO_ALERT_##state, FLO_ALERT_##level, FLO_ALERT_##next},
#include "server-stub/core/alert/alert_states.def"
    };

    assert(alert->state < FLO_ALERT_STATES);
    for (size_t i = 0; i < FLO_COUNT(moves); i++) {
        if (moves[i].state == alert->state && moves[i].level == level) {
            enter(alert, moves[i].next, now_ms);
            return true;
        }
    }
    return false;
}

enum flo_alert_level flo_alert_level(const struct flo_alert_rule *rule, double value)
{
    double past = rule->is_below ? rule->limit - value : value - rule->limit;
    double back = rule->is_below ? value - rule->clear : rule->clear - value;

    return past > 0 ? FLO_ALERT_BAD : back >= 0 ? FLO_ALERT_WELL : FLO_ALERT_MIDDLE;
}

static uint64_t keep_ms_of(const struct flo_alert *alert, const struct flo_alert_rule *rule)
{
    uint64_t least_ms = rule->keep_ms > FLAP_MS_MIN ? rule->keep_ms : FLAP_MS_MIN;
    uint64_t most_ms = rule->keep_ms > FLAP_MS_MAX ? rule->keep_ms : FLAP_MS_MAX;

    return alert->fires <= FIRES_FREE
               ? rule->keep_ms
               : flo_backoff_ms(least_ms, UINT64_C(1) + alert->fires - FIRES_FREE, most_ms);
}

static bool has_lasted(const struct flo_alert *alert, const struct flo_alert_rule *rule,
                       uint64_t now_ms)
{
    uint64_t wait_ms = alert->state == FLO_ALERT_PENDING ? rule->for_ms : keep_ms_of(alert, rule);

    return (alert->state == FLO_ALERT_PENDING || alert->state == FLO_ALERT_CLEARING) &&
           now_ms >= alert->since_ms + wait_ms;
}

bool flo_alert_step(struct flo_alert *alert, const struct flo_alert_rule *rule,
                    enum flo_alert_level level, uint64_t now_ms)
{
    alert->since_ms = alert->since_ms < now_ms ? alert->since_ms : now_ms;
    alert->told_ms = alert->told_ms < now_ms ? alert->told_ms : now_ms;
    bool is_moved = move(alert, level, now_ms);

    assert(level != FLO_ALERT_LASTED);
    if (has_lasted(alert, rule, now_ms)) {
        is_moved = move(alert, FLO_ALERT_LASTED, now_ms) || is_moved;
    }
    return is_moved;
}

const char *flo_alert_news_word(enum flo_alert_news news)
{
    static const char *const names[] = {"", "firing", "still-firing", "resolved"};

    assert((size_t)news < FLO_COUNT(names));
    return names[news];
}

enum flo_alert_news flo_alert_news(struct flo_alert *alert, const struct flo_alert_rule *rule,
                                   bool is_silenced, uint64_t now_ms)
{
    bool is_open = alert->state == FLO_ALERT_FIRING;
    enum flo_alert_news news = FLO_ALERT_NEWS_NONE;

    assert(alert->state < FLO_ALERT_STATES);
    if (alert->state == FLO_ALERT_RESOLVED && alert->told_ms != 0) {
        news = FLO_ALERT_NEWS_RESOLVED;
    } else if (is_open && !is_silenced && alert->told_ms == 0) {
        news = FLO_ALERT_NEWS_FIRING;
    } else if (is_open && !is_silenced && !alert->is_acked && rule->repeat_ms > 0 &&
               now_ms >= alert->told_ms + rule->repeat_ms) {
        news = FLO_ALERT_NEWS_STILL;
    }
    if (news != FLO_ALERT_NEWS_NONE) {
        alert->told_ms = news == FLO_ALERT_NEWS_RESOLVED ? 0 : now_ms;
    }
    return news;
}

enum flo_alert_news flo_alert_end(struct flo_alert *alert, uint64_t now_ms)
{
    enter(alert, FLO_ALERT_RESOLVED, now_ms);
    return flo_alert_news(alert, NULL, false, now_ms);
}

/* ---- a counter's increase ---- */

double flo_alert_increase(struct flo_alert_increase *increase, double value, uint64_t window_ms,
                          uint64_t now_ms)
{
    uint64_t slot_ms = window_ms / FLO_ALERT_SLOTS + 1;

    assert(increase->count <= FLO_ALERT_SLOTS && increase->head < FLO_ALERT_SLOTS);
    if (!increase->has_last) {
        increase->has_last = true;
    } else if (value >= increase->last) {
        increase->sum += value - increase->last;
    } else {
        increase->sum += value;
    }
    increase->last = value;
    if (increase->count == 0 || now_ms >= increase->slot_at_ms + slot_ms) {
        size_t place = (size_t)(increase->head + increase->count) % FLO_ALERT_SLOTS;
        if (increase->count == FLO_ALERT_SLOTS) {
            increase->head = (uint8_t)((increase->head + 1) % FLO_ALERT_SLOTS);
        } else {
            increase->count++;
        }
        increase->slots[place] = increase->sum;
        increase->slot_at_ms = now_ms;
    }
    return increase->sum - increase->slots[increase->head];
}

/* ---- deliveries ---- */

uint64_t flo_alert_pause_ms(uint64_t failed, uint64_t asked_ms)
{
    uint64_t pause_ms = flo_backoff_ms(FIRST_PAUSE_MS, failed, PAUSE_MS_MAX);
    uint64_t most_ms = asked_ms < PAUSE_MS_MAX ? asked_ms : PAUSE_MS_MAX;

    return failed >= ATTEMPTS_MAX ? 0 : pause_ms > most_ms ? pause_ms : most_ms;
}

void flo_alert_sign(const char *secret, uint64_t seconds, const char *body, size_t bytes, char *out)
{
    char at[24];
    struct flo_digest digest;
    int chars = snprintf(at, sizeof(at), "%llu.", (unsigned long long)seconds);

    flo_hmac_sha256(secret, strlen(secret),
                    (struct flo_hmac_piece[]){{at, (size_t)chars}, {body, bytes}}, 2, &digest);
    memcpy(out, "v1=", 3);
    flo_hex_encode(digest.bytes, FLO_DIGEST_BYTES, out + 3);
}
