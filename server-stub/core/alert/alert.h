/* Alert: from a rule and values to who is told what.
 *
 * A rule is a threshold on a value, for each series of it.  The value is the
 * number or share of the devices that a selector means, or a metric of
 * exposed.def: a gauge as it is, a counter by its increase, a time by how far
 * it is away.  An alert begins and ends only after it lasted; a reminder comes
 * seldom.  Pure: values and times come with the call. */
#ifndef FLOTILLA_SERVER_ALERT_H
#define FLOTILLA_SERVER_ALERT_H

#include <flotilla/base.h>

#include "base/host/json.h"

#include "server-stub/core/exposition/exposition.h"
#include "server-stub/core/select/select.h"

enum flo_alert_state {
#define FLO_ALERT_STATE(name, ...) FLO_ALERT_##name,
#define FLO_ALERT_MOVE(...)
#include "server-stub/core/alert/alert_states.def"
#undef FLO_ALERT_STATE
#undef FLO_ALERT_MOVE
    FLO_ALERT_STATES
};
const char *flo_alert_state_word(enum flo_alert_state state);
bool flo_alert_state_parse(const char *word, enum flo_alert_state *out);

enum flo_alert_level {
    FLO_ALERT_BAD,
    FLO_ALERT_MIDDLE,
    FLO_ALERT_WELL,
    FLO_ALERT_LASTED /* no value's: the state's time is over */
};

/* ---- rules ---- */

#define FLO_ALERT_LABELS_MAX 4
#define FLO_ALERT_TEXT_MAX 256
struct flo_alert_rule {
    char name[FLO_NAME_MAX + 1];
    bool is_page; /* severity: page, else ticket */
    /* DEVICES: that this selector means. */
    char where[FLO_SELECTOR_TEXT_MAX + 1]; /* "": a metric */
    bool is_percent;                       /* share of all devices */
    /* METRIC */
    enum flo_exposed metric;
    struct {
        char name[32];
        char value[FLO_NAME_MAX * 2 + 2];
    } labels[FLO_ALERT_LABELS_MAX]; /* that a sample must have */
    size_t label_count;
    char by[32]; /* label whose values are apart; "": all are added */
    bool has_per;
    enum flo_exposed per; /* the value is divided by this one's */
    double per_least;     /* less of it says nothing */
    uint64_t window_ms;   /* window of an increase */
    /* threshold */
    bool is_below; /* bad below the limit, else above */
    double limit;
    double clear; /* well at or beyond this */
    uint64_t for_ms;
    uint64_t keep_ms;   /* well for so long until it is over */
    uint64_t repeat_ms; /* between reminders; 0: none */
    char text[FLO_ALERT_TEXT_MAX + 1];
};
/* Read a rule: {"where",…} or {"metric",…};
 * docs/internals/contracts/rest.md 8.9. FLO_E_META_SCHEMA names the member,
 * FLO_E_REST_MEANING what does not go together.  The selector's words are not
 * looked at. */
FLO_MUST_USE int flo_alert_rule_parse(const char *name, const json_t *json,
                                      struct flo_alert_rule *out, struct flo_err *err);
/* Does a sample's text of labels have those of the rule?  *by gets the value of
 * the rule's label `by` (FLO_ALERT_SERIES), or "". */
#define FLO_ALERT_SERIES 160
bool flo_alert_rule_takes(const struct flo_alert_rule *rule, const char *labels, char *by);

/* The rules that are there until somebody deletes them: by place, then NULL.
 * *name, and the rule as JSON text. */
const char *flo_alert_default(size_t place, const char **name);

/* ---- a counter's increase ---- */

#define FLO_ALERT_SLOTS 30
/* Zero-initialise. */
struct flo_alert_increase {
    /* Parts of `sum`, the oldest first from `head`. */
    double slots[FLO_ALERT_SLOTS];
    double last, sum; /* sum: of all steps up */
    uint64_t slot_at_ms;
    uint8_t head, count;
    bool has_last;
};
/* The increase within the window, with this newest value.  A counter that fell
 * began again. */
double flo_alert_increase(struct flo_alert_increase *increase, double value, uint64_t window_ms,
                          uint64_t now_ms);

/* ---- alerts ---- */

struct flo_alert {
    enum flo_alert_state state;
    uint64_t since_ms; /* begin of the state */
    uint64_t fired_ms; /* 0: it did not, since it was ok */
    uint64_t told_ms;  /* somebody was told that it fires; 0: nobody */
    bool is_acked;     /* a person has it: no reminder until it is over */
};
enum flo_alert_level flo_alert_level(const struct flo_alert_rule *rule, double value);
/* The newest level; true when the state is another one. */
bool flo_alert_step(struct flo_alert *alert, const struct flo_alert_rule *rule,
                    enum flo_alert_level level, uint64_t now_ms);
enum flo_alert_news {
    FLO_ALERT_NEWS_NONE,
    FLO_ALERT_NEWS_FIRING,
    FLO_ALERT_NEWS_STILL, /* a reminder */
    FLO_ALERT_NEWS_RESOLVED
};
const char *flo_alert_news_word(enum flo_alert_news news);
/* After each step: has somebody to be told, unless it is silenced?  An alert
 * that nobody was told of ends without a word. */
enum flo_alert_news flo_alert_news(struct flo_alert *alert, const struct flo_alert_rule *rule,
                                   bool is_silenced, uint64_t now_ms);

/* ---- deliveries ---- */

/* The pause before the next attempt, after so many failed: from 5 s, doubled,
 * up to an hour.  0: no further one, after about a day. */
uint64_t flo_alert_retry_ms(uint64_t failed);
/* "v1=" and hex of HMAC-SHA256 over "<seconds>.<body>"; `out` holds
 * FLO_ALERT_SIGNATURE. */
#define FLO_ALERT_SIGNATURE 68
void flo_alert_sign(const char *secret, uint64_t seconds, const char *body, size_t bytes,
                    char *out);

#endif
