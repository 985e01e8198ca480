/* Watch: the alert rules of a fleet, its alerts, and who is notified.  All of
 * them are in memory, because they are few, and each change is stored at once.
 * Their values come from the samples of /metrics and from the device index.
 * After a rolled-back change all are read again. */
#ifndef FLOTILLA_SERVER_STATE_WATCH_WATCH_H
#define FLOTILLA_SERVER_STATE_WATCH_WATCH_H

#include "server-stub/core/alert/alert.h"
#include "server-stub/store/watch.h"

struct flo_controller;

#define FLO_WATCH_RULES_MAX 64
/* largest number of series of a rule; series after these are ignored */
#define FLO_WATCH_SERIES_MAX 32
#define FLO_WATCH_ALERTS_MAX 512
#define FLO_WATCH_WEBHOOKS_MAX 16
#define FLO_WATCH_EVERY_MS 15000                           /* between two evaluations */
#define FLO_WATCH_KEPT_MS (UINT64_C(7) * 24 * 3600 * 1000) /* an ended alert is kept so long */

struct flo_watch_rule {
    struct flo_alert_rule rule;
    json_t *json; /* as requested */
    /* time when the silence ends, wall clock; 0: the rule is not silenced */
    uint64_t silenced_until_ms;
    char silenced_by[65];
    char silence_reason[257];
};
/* State of an alert rule on one series.  It is in memory from the first bad
 * value on, or while the rule has a counter on the series.  A series that fires
 * again while the alert before it is kept is the same alert. */
struct flo_watch_alert {
    uint64_t id; /* number of the alert; 0: the rule never fired */
    char rule[FLO_NAME_MAX + 1];
    char series[FLO_ALERT_SERIES];
    struct flo_alert core; /* times: wall clock */
    double value;
    bool has_value; /* the present evaluation measured `value` */
    double total, per;
    struct flo_alert_increase increase, per_increase;
    char acked_by[65];
    char ack_reason[257];
    bool is_page;                   /* a webhook for pages alone was notified */
    uint64_t news_first, news_last; /* deliveries of its newest message; 0: none */
};
struct flo_watch_webhook {
    char id[FLO_NAME_MAX + 1];
    char url[513];
    char secret[65];
    bool is_page_only;
    uint64_t created_ms;
    uint64_t rests_until_ms; /* wall clock until which the receiver asked for no message */
};
struct flo_watches;
extern const struct flo_transaction_part flo_watch_part;
/* Reads all rules, alerts and webhooks, in a transaction.  A new store receives
 * the default rules. */
FLO_MUST_USE int flo_watches_open(struct flo_controller *controller, struct flo_err *err);
void flo_watches_close(struct flo_watches *watch);
/* Sets whether each message is also passed to the alert command (mail). */
void flo_watch_use_command(struct flo_watches *watch, bool has_command);
bool flo_watch_has_command(const struct flo_watches *watch);

/* Evaluates all rules with these samples.  If something changed, it is stored
 * in a transaction of its own. */
FLO_MUST_USE int flo_watch_evaluate(struct flo_controller *controller,
                                    const struct flo_samples *samples, uint64_t now_ms,
                                    struct flo_err *err);

/* ---- people; within a transaction ---- */

struct flo_watch_rule *flo_watch_rule_find(struct flo_controller *controller, const char *name);
/* Adds a rule, or replaces the one of that name.  Parses the rule's selector.
 * FLO_E_REST_LIMIT: there are too many rules. */
FLO_MUST_USE int flo_watch_rule_set(struct flo_controller *controller, const char *name,
                                    json_t *json, struct flo_err *err);
FLO_MUST_USE int flo_watch_rule_delete(struct flo_controller *controller, const char *name,
                                       struct flo_err *err);
/* Silences a rule; until_ms 0 ends the silence. */
FLO_MUST_USE int flo_watch_silence(struct flo_controller *controller, const char *name,
                                   uint64_t until_ms, const char *by, const char *reason,
                                   struct flo_err *err);
FLO_MUST_USE int flo_watch_ack(struct flo_controller *controller, uint64_t id, const char *by,
                               const char *reason, struct flo_err *err);
/* Returns an alert that fired, the newest first; NULL after the last. */
const struct flo_watch_alert *flo_watch_alert_at(const struct flo_controller *controller,
                                                 size_t place);
json_t *flo_watch_view_alert(const struct flo_controller *controller,
                             const struct flo_watch_alert *alert);
/* Returns the body of a message about the alert, without its "id". */
json_t *flo_watch_news(const struct flo_controller *controller, const struct flo_watch_alert *alert,
                       enum flo_alert_news news, uint64_t now_ms);
json_t *flo_watch_view_rule(const struct flo_watch_rule *rule);
/* Returns a rule, sorted by name; NULL after the last. */
const struct flo_watch_rule *flo_watch_rule_at(const struct flo_watches *watch, size_t place);

/* ---- webhooks ---- */

#define FLO_WATCH_COMMAND "command" /* id of the target that runs the alert command */
/* Adds a webhook with a URL https://…, which contains no user name or password.
 * `secret` receives a new secret.  FLO_E_REST_MEANING, FLO_E_REST_LIMIT. */
FLO_MUST_USE int flo_watch_webhook_add(struct flo_controller *controller, const char *url,
                                       bool is_page_only, struct flo_watch_webhook *out,
                                       struct flo_err *err);
FLO_MUST_USE int flo_watch_webhook_delete(struct flo_controller *controller, const char *id,
                                          struct flo_err *err);
/* Returns a webhook by its index; NULL after the last. */
const struct flo_watch_webhook *flo_watch_webhook_at(const struct flo_watches *watch, size_t place);
const struct flo_watch_webhook *flo_watch_webhook_find(const struct flo_controller *controller,
                                                       const char *id);

/* ---- attempts to deliver ---- */

struct flo_watch_attempt {
    uint64_t number; /* number of the delivery */
    const char *target;
    const char *error; /* "": the receiver took the message */
    int status;        /* status of the receiver's answer; 0: it gave none */
    uint64_t failed;   /* attempts before this one */
    uint64_t asked_ms; /* pause that the receiver asked for; 0: none */
};
/* Returns what becomes of the delivery after an attempt.  A receiver that asked for a
 * pause gets no message, also no other, until it is over. */
struct flo_fleet_delivery flo_watch_tried(struct flo_controller *controller,
                                          const struct flo_watch_attempt *attempt, uint64_t now_ms);
/* Tells whether a target is in the pause for which its receiver asked. */
bool flo_watch_rests(const struct flo_controller *controller, const char *target, uint64_t now_ms);

#endif
