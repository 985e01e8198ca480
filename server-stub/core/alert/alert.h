/* Alert: decides from a rule and values when an alert fires and who is
 * notified.
 *
 * A rule is a threshold on a value, for each series of it.  The value is the
 * number or share of the devices that a selector means, or a metric of
 * exposed.def.  A gauge counts as it is, a counter by its increase, a time by
 * its distance from now.
 *
 * An alert fires and ends only after its condition held for a while; reminders
 * are rare.  Pure: values and times come with the call. */
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
    FLO_ALERT_STATES
};
const char *flo_alert_state_word(enum flo_alert_state state);
bool flo_alert_state_parse(const char *word, enum flo_alert_state *out);

enum flo_alert_level {
    FLO_ALERT_BAD,
    FLO_ALERT_MIDDLE,
    FLO_ALERT_WELL,
    FLO_ALERT_LASTED /* no new value arrived, but the state has lasted the time
                        that the rule sets */
};

/* ---- rules ---- */

#define FLO_ALERT_LABELS_MAX 4
#define FLO_ALERT_TEXT_MAX (256 * 4) /* bytes of 256 characters */
struct flo_alert_rule {
    char name[FLO_NAME_MAX + 1];
    bool is_page; /* severity of the alert: page if true, else ticket */
    /* Selector of devices; the value is the number of devices that match it. */
    char where[FLO_SELECTOR_TEXT_MAX + 1]; /* "": a metric */
    bool is_percent;                       /* the limit is a share of all devices */
    /* METRIC: this metric */
    enum flo_exposed metric;
    struct {
        char name[32];
        char value[FLO_NAME_MAX * 2 + 2];
    } labels[FLO_ALERT_LABELS_MAX]; /* labels that a sample must have */
    size_t label_count;
    /* name of a label: each of its values has a series of its own; "": one
     * series adds up all samples */
    char by[FLO_NAME_MAX + 1];
    bool has_per;
    enum flo_exposed per; /* metric by whose value the rule's value is divided */
    double per_least;     /* smallest divisor with which the rule is evaluated */
    uint64_t window_ms;   /* time over which a counter's increase is measured */
    /* Threshold */
    bool is_below; /* the alert fires below the limit; false: above it */
    double limit;
    double clear; /* limit at which the alert clears */
    uint64_t for_ms;
    uint64_t keep_ms;   /* the alert ends when its value was good for this long */
    uint64_t repeat_ms; /* pause between reminders; 0: none */
    char text[FLO_ALERT_TEXT_MAX + 1];
};
/* Parses a rule: {"where",…} or {"metric",…}; docs/internals/contracts/rest.md
 * 8.10.  Returns FLO_E_META_SCHEMA when a member is malformed; the error names
 * it.  Returns FLO_E_REST_MEANING when members contradict each other.  The
 * selector is not parsed. */
FLO_MUST_USE int flo_alert_rule_parse(const char *name, const json_t *json,
                                      struct flo_alert_rule *out, struct flo_err *err);
/* Size in bytes of the buffer `by` of flo_alert_rule_takes. */
#define FLO_ALERT_SERIES 160
/* Tells whether the labels of a sample match the rule.  The rule may name a
 * label whose values have a series each: `by` then gets the sample's value of
 * it, else "".  `by` holds FLO_ALERT_SERIES bytes. */
bool flo_alert_rule_takes(const struct flo_alert_rule *rule, const char *labels, char *by);

/* Returns the JSON text of the default rule with index `place`, and its *name;
 * NULL after the last rule.  A fleet has these rules until somebody deletes
 * them. */
const char *flo_alert_default(size_t place, const char **name);

/* ---- a counter's increase ---- */

#define FLO_ALERT_SLOTS 30
/* Zero-initialise. */
struct flo_alert_increase {
    /* Ring buffer over the rule's window, which has FLO_ALERT_SLOTS equal
     * parts.  Each element is the value of `sum` when one part began; the
     * oldest is at `head`. */
    double slots[FLO_ALERT_SLOTS];
    double last, sum; /* sum: all rises */
    uint64_t slot_at_ms;
    uint8_t head, count;
    bool has_last;
};
/* Adds the newest value of a counter, and returns its increase within the
 * window.  A counter that fell was reset, so its whole value counts as
 * increase. */
double flo_alert_increase(struct flo_alert_increase *increase, double value, uint64_t window_ms,
                          uint64_t now_ms);

/* ---- alerts ---- */

struct flo_alert {
    enum flo_alert_state state;
    uint64_t since_ms; /* time when the present state began */
    uint64_t fired_ms; /* time of the first firing since the last ok state; 0: it has not fired */
    /* time of the last notice that the alert fires; 0: nobody was notified */
    uint64_t told_ms;
    /* a person acknowledged the alert, so there are no reminders until it
     * ends */
    bool is_acked;
    uint64_t ended_ms; /* time of the newest end; 0: it never ended */
    /* how often it fired; a day after its end it counts from 1 again */
    uint32_t fires;
    uint32_t held; /* how often it was well and bad again since it fired, which nobody is told */
};
enum flo_alert_level flo_alert_level(const struct flo_alert_rule *rule, double value);
/* Applies a new level (the value compared with the rule's limits) to the alert.  An
 * alert that fires a third time, each within a day of its end, flaps: the time that it
 * must be well, at least a minute, is doubled then and with each further firing, up to
 * an hour.  Times of a clock that was ahead since then become the present one.
 * Returns true when the alert's state changes. */
bool flo_alert_step(struct flo_alert *alert, const struct flo_alert_rule *rule,
                    enum flo_alert_level level, uint64_t now_ms);
enum flo_alert_news {
    FLO_ALERT_NEWS_NONE,
    FLO_ALERT_NEWS_FIRING,
    FLO_ALERT_NEWS_STILL, /* a reminder */
    FLO_ALERT_NEWS_RESOLVED
};
const char *flo_alert_news_word(enum flo_alert_news news);
/* Returns the notification that is due; call it after each step.  The end of an alert
 * is notified only if somebody was notified of its firing, and then also if it is
 * silenced: a silenced alert gives no other. */
enum flo_alert_news flo_alert_news(struct flo_alert *alert, const struct flo_alert_rule *rule,
                                   bool is_silenced, uint64_t now_ms);
/* Ends an alert whose rule is gone, and returns the notification that is due. */
enum flo_alert_news flo_alert_end(struct flo_alert *alert, uint64_t now_ms);

/* ---- deliveries ---- */

/* Returns the pause before the next delivery after `failed` failed attempts: 5
 * s, doubled each time, up to an hour.  A receiver that asks for a longer pause gets
 * it, up to an hour.  Returns 0 when there is no further attempt, which is after
 * about a week: then alerts that are over are forgotten, too. */
uint64_t flo_alert_pause_ms(uint64_t failed, uint64_t asked_ms);
/* Size of a signature in bytes. */
#define FLO_ALERT_SIGNATURE 68
/* Writes the signature of a message: "v1=" and hex of HMAC-SHA256 over
 * "<seconds>.<body>".  `out` holds FLO_ALERT_SIGNATURE bytes. */
void flo_alert_sign(const char *secret, uint64_t seconds, const char *body, size_t bytes,
                    char *out);

#endif
