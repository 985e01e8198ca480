/* Ingest: handles acknowledgements of orders, and reports that show that a
 * device left a release. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/mqtt.h>

#include "server-stub/core/orders/answer.h"
#include "server-stub/core/orders/recall.h"
#include "server-stub/core/orders/removal.h"
#include "server-stub/mqtt/message.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/foreign.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/text_list.h"
#include "server-stub/state/trust/trust.h"

#define REPORT_BYTES_MAX (1u << 20)

/* ---- going back ---- */

static bool any_goes_back(const struct flo_controller *controller)
{
    for (size_t i = 0; i < flo_rollouts_count(controller->rollouts); i++) {
        if (flo_return_concerns(flo_rollouts_at(controller->rollouts, i)->core.state, false)) {
            return true;
        }
    }
    return false;
}

/* Tells whether the device's report no longer names the rollout's release. */
static bool is_left(const struct flo_message *message, const struct flo_rollout_entry *entry)
{
    char digest[FLO_DIGEST_TEXT];

    flo_digest_text(&entry->release, digest);
    return !flo_return_names(message->json, digest);
}

/* Returns the error id that the device's message gives as the cause, or
 * NULL. */
static const char *error_of(const struct flo_message *message)
{
    return json_string_value(json_object_get(json_object_get(message->json, "error"), "id"));
}

static int tell_rollouts(const struct flo_message *message, const char *release_or_null,
                         enum flo_rollout_event_kind kind, bool is_ordered, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    struct flo_digest release;
    bool is_named = release_or_null != NULL && flo_digest_parse(release_or_null, &release);
    int rv = 0;

    for (size_t i = 0; i < flo_rollouts_count(controller->rollouts) && rv == 0; i++) {
        struct flo_rollout_entry *entry = flo_rollouts_at(controller->rollouts, i);
        if (!flo_return_concerns(entry->core.state, is_ordered)) {
            continue;
        }
        if (release_or_null != NULL ? is_named && flo_digest_equal(&release, &entry->release)
                                    : is_left(message, entry)) {
            rv = flo_ingest_step(
                message, entry,
                (struct flo_rollout_event){.kind = kind,
                                           .device = message->device,
                                           .is_ordered = is_ordered,
                                           .is_current = flo_answer_has_nothing(error_of(message))},
                err);
        }
    }
    return rv;
}

/* Counts a success that the device's report shows, in rollouts that roll back.
 * The device may have lost the record of an earlier end and continued its
 * update, and its message of success may be lost. */
static int tell_of_success(const struct flo_message *message, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    char digest[FLO_DIGEST_TEXT];
    int rv = 0;

    for (size_t i = 0; i < flo_rollouts_count(controller->rollouts) && rv == 0; i++) {
        struct flo_rollout_entry *entry = flo_rollouts_at(controller->rollouts, i);
        size_t index = flo_rollout_find(&entry->core, message->device);
        if (!flo_return_concerns(entry->core.state, false) || index == SIZE_MAX ||
            !entry->core.members[index].is_back ||
            flo_rollout_member_stays(&entry->core.members[index])) {
            continue;
        }
        flo_digest_text(&entry->release, digest);
        if (flo_return_succeeded(message->json, digest, entry->core.id)) {
            rv = flo_ingest_step(message, entry,
                                 (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_STAYS,
                                                            .device = message->device,
                                                            .is_current = true},
                                 err);
        }
    }
    return rv;
}

/* A rollback or removal that the device has not answered. */
struct awaited {
    char order[FLO_NAME_MAX + 1];
    bool is_removal;
    char model[FLO_NAME_MAX + 1];
    char release[FLO_DIGEST_TEXT];
    uint64_t issued_at_ms;
};
struct all_awaited {
    struct awaited *items;
    size_t count, room;
    struct flo_err *err;
};

static int collect_awaited(void *context, const struct flo_fleet_order *order)
{
    struct all_awaited *all = context;

    bool is_removal = strcmp(order->op, flo_order_op_word(FLO_ORDER_REMOVE)) == 0;

    if (!is_removal && strcmp(order->op, "rollback") != 0) {
        return 0;
    }
    FLO_TRY(flo_grow_or_fail(&all->items, &all->room, all->count, sizeof(*all->items), "orders",
                             all->err));
    struct awaited *awaited = &all->items[all->count++];
    awaited->issued_at_ms = order->issued_at_ms;
    awaited->is_removal = is_removal;
    snprintf(awaited->model, sizeof(awaited->model), "%s", order->model);
    snprintf(awaited->order, sizeof(awaited->order), "%s", order->id);
    snprintf(awaited->release, sizeof(awaited->release), "%s", order->release);
    return 0;
}

static int awaited_is_done(const struct flo_message *message, const struct awaited *awaited,
                           struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    uint64_t took_ms =
        message->now_ms > awaited->issued_at_ms ? message->now_ms - awaited->issued_at_ms : 0;
    bool is_news;
    int rv = flo_fleet_outcome_advance(controller->store, awaited->order, message->device,
                                       FLO_OUTCOME_DONE, took_ms, took_ms, "", &is_news, err);

    flo_outgoing_change(controller, FLO_OBJECT_ORDER, awaited->order);
    return rv;
}

/* Tells whether the device's report shows that the awaited order was carried
 * out. */
static bool is_seen(const struct flo_message *message, const struct awaited *awaited)
{
    char title[FLO_REMOVAL_TITLE];

    return awaited->is_removal ? !flo_removal_is_there(message->json, awaited->model, title)
                               : !flo_return_names(message->json, awaited->release);
}

/* Completes orders by a report.  A device that serves another release than the
 * recalled one is done, even if its acknowledgement was lost.  A device that no
 * longer has a removed model is done, too. */
static int back_on_orders(const struct flo_message *message, struct flo_err *err)
{
    struct all_awaited all = {.err = err};
    int rv = flo_fleet_outcome_awaited(message->controller->store, message->device, collect_awaited,
                                       &all, err);

    for (size_t i = 0; i < all.count && rv == 0; i++) {
        const struct awaited *awaited = &all.items[i];
        if (!is_seen(message, awaited)) {
            continue;
        }
        rv = awaited_is_done(message, awaited, err);
        if (rv == 0 && awaited->is_removal) {
            rv = flo_orders_removed(message->controller, message->device, awaited->model, err);
        }
    }
    free(all.items);
    return rv;
}

/* Finds out whether the device knew its newest desired document when it wrote
 * the report. */
static int report_counts(const struct flo_message *message, uint64_t rev, bool *out,
                         struct flo_err *err)
{
    uint64_t desired = 0;
    int rv = flo_fleet_desired_rev(message->controller->store, message->device, &desired, err);

    *out = rv == 0 && flo_return_report_counts(rev, desired);
    return rv;
}

int flo_ingest_back_by_report(const struct flo_message *message, uint64_t rev, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    bool is_awaited;
    bool counts;
    int rv = flo_fleet_device_is_awaited(controller->store, message->device, &is_awaited, err);

    FLO_TRY(rv);
    if (!is_awaited && !any_goes_back(controller)) {
        return rv;
    }
    rv = report_counts(message, rev, &counts, err);
    FLO_TRY(rv);
    if (!counts) {
        return rv;
    }
    FLO_TRY(tell_rollouts(message, NULL, FLO_ROLLOUT_EVENT_BACK, false, err));
    FLO_TRY(tell_of_success(message, err));
    return is_awaited ? back_on_orders(message, err) : 0;
}

/* Parses the device's last report.  *report stays NULL if the device never
 * reported. */
static int take_report(void *context, const struct flo_fleet_device *device)
{
    json_t **report = context;

    (void)!flo_json_parse(device->reported, strlen(device->reported), REPORT_BYTES_MAX, report,
                          NULL);
    return 0;
}

/* Completes a rollback for which the device had nothing to do.  Its last report
 * decides whether it left the release; while it is still rolling back, a later
 * report decides. */
static int back_by_last_report(const struct flo_message *message, struct flo_err *err)
{
    struct flo_message said = *message;
    bool counts = false;

    said.json = NULL;
    int rv = flo_fleet_device_get(message->controller->store, message->device, take_report,
                                  &said.json, err);
    if (rv == 0 && said.json != NULL) {
        const json_t *rev = json_object_get(said.json, "rev");
        rv = report_counts(&said, (uint64_t)json_integer_value(rev), &counts, err);
    }
    if (rv == 0 && counts) {
        rv = tell_rollouts(&said, NULL, FLO_ROLLOUT_EVENT_BACK, false, err);
    }
    json_decref(said.json);
    return rv;
}

/* ---- asking again ---- */

/* largest number of rollbacks that are sent to one device at once; further ones
 * wait */
#define ASKED_MAX 8
struct asked {
    const struct flo_message *message;
    bool is_back; /* the device was offline, and its session at the broker has expired */
    size_t count;
    struct flo_orders_rollback rollbacks[ASKED_MAX];
};

static int ask_for(void *context, const struct flo_fleet_order *order)
{
    struct asked *asked = context;
    const struct flo_message *message = asked->message;
    bool is_rollback = strcmp(order->op, "rollback") == 0;

    if (!flo_answer_is_missing(order->issued_at_ms, order->expires_at_ms, message->now_ms,
                               asked->is_back) ||
        (is_rollback && asked->count == ASKED_MAX)) {
        return 0;
    }
    if (is_rollback) {
        struct flo_orders_rollback *rollback = &asked->rollbacks[asked->count++];
        snprintf(rollback->id, sizeof(rollback->id), "%s", order->id);
        snprintf(rollback->model, sizeof(rollback->model), "%s", order->model);
        rollback->seq = order->seq;
    } else {
        flo_outgoing_ask(message->controller, message->device, order->id);
    }
    return 0;
}

int flo_ingest_ask(const struct flo_message *message, struct flo_err *err)
{
    struct flo_fleet_store *store = message->controller->store;
    struct asked asked = {.message = message};

    if (!flo_fleet_device_may_ask(store, message->device, FLO_ANSWER_ASK_AGAIN_MS,
                                  &asked.is_back)) {
        return 0;
    }
    FLO_TRY(flo_fleet_outcome_awaited(store, message->device, ask_for, &asked, err));
    for (size_t i = 0; i < asked.count; i++) {
        bool is_deployed;
        FLO_TRY(flo_orders_outlast(message->controller, message->device, &asked.rollbacks[i],
                                   &is_deployed, err));
        if (!is_deployed) {
            flo_outgoing_ask(message->controller, message->device, asked.rollbacks[i].id);
        }
    }
    return 0;
}

/* ---- ack ---- */

static int take_acked(void *context, const struct flo_fleet_order *order)
{
    struct flo_acked *acked = context;

    snprintf(acked->op, sizeof(acked->op), "%s", order->op);
    snprintf(acked->group, sizeof(acked->group), "%s", order->group);
    snprintf(acked->rollout, sizeof(acked->rollout), "%s", order->rollout);
    snprintf(acked->model, sizeof(acked->model), "%s", order->model);
    snprintf(acked->release, sizeof(acked->release), "%s", order->release);
    snprintf(acked->id, sizeof(acked->id), "%s", order->id);
    acked->seq = order->seq;
    acked->issued_at_ms = order->issued_at_ms;
    acked->expires_at_ms = order->expires_at_ms;
    return 0;
}

static int acked_find(struct flo_ingest *ingest, const char *order, struct flo_acked *out,
                      struct flo_err *err)
{
    const struct flo_acked *found = NULL;
    int rv = 0;

    for (size_t i = 0; i < FLO_ACKED_MAX; i++) {
        if (strcmp(ingest->acked[i].id, order) == 0) {
            found = &ingest->acked[i];
        }
    }
    if (found != NULL) {
        *out = *found;
    } else {
        rv = flo_fleet_order_get(ingest->controller->store, order, take_acked, out, err);
        if (rv == 0) {
            ingest->acked[ingest->acked_next++ % FLO_ACKED_MAX] = *out;
        }
    }
    out->is_aged =
        rv == 0 && flo_order_is_aged(out->issued_at_ms, out->expires_at_ms, flo_wall_ms());
    return rv;
}

/* Ends the execution of a deploy that the device refused, or that a newer order
 * replaced, because the device will never begin it.  `by` is 1 when the device
 * named the order, so that the refusal is final. */
static int deploy_refused(const struct flo_message *message, const char *rollout, uint32_t by,
                          enum flo_execution end, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) error = {0};
    const json_t *why = json_object_get(message->json, "error");
    const char *id = json_string_value(json_object_get(why, "id"));
    struct flo_rollout_entry *entry;

    FLO_TRY(flo_ingest_rollout(message->controller, rollout, &entry, err));
    if (entry == NULL) {
        return flo_ingest_sent(message, rollout, false, err);
    }
    size_t index = flo_rollout_find(&entry->core, message->device);
    if (index == SIZE_MAX || entry->core.members[index].state != FLO_EXECUTION_NOTIFIED) {
        return 0;
    }
    flo_ingest_dump(why, &error);
    FLO_TRY(flo_rollouts_step(
        message->controller, entry,
        (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                   .device = message->device,
                                   .attempt = entry->core.members[index].attempt + by,
                                   .execution = end,
                                   .note = end == FLO_EXECUTION_SUPERSEDED
                                               ? "a newer order holds"
                                               : flo_rollout_cause_id(id)},
        err));
    return error.bytes == 0 ? 0
                            : flo_fleet_member_detail(message->controller->store, rollout,
                                                      message->device, error.data, NULL, err);
}

struct distrusted {
    const struct flo_message *message;
    struct flo_err *err;
};

static int distrust_one(void *context, const char *model, const char *order)
{
    const struct distrusted *distrusted = context;
    const struct flo_message *message = distrusted->message;
    struct flo_acked desired = {0};
    struct flo_err absent = {0};
    const char *named = json_string_value(json_object_get(message->json, "model"));

    if (named != NULL && strcmp(named, model) != 0) {
        return 0;
    }
    if (flo_fleet_order_get(message->controller->store, order, take_acked, &desired, &absent) < 0 ||
        strcmp(desired.op, "deploy") != 0) {
        return 0;
    }
    return deploy_refused(message, desired.rollout, 0, FLO_EXECUTION_REJECTED, distrusted->err);
}

/* Handles a device's report that it rejects a signature.  The device cannot
 * name the rejected order.  If it was ordered to deploy and has not begun, this
 * deploy counts as rejected.  Should the device begin it after all, its own
 * report shows that. */
int flo_ingest_distrusted(const struct flo_message *message, struct flo_err *err)
{
    struct distrusted distrusted = {message, err};

    return flo_answer_is_distrust(error_of(message))
               ? flo_fleet_desired_each(message->controller->store, message->device, distrust_one,
                                        &distrusted, err)
               : 0;
}

/* Cancels the executions that were not active when the abort arrived, including
 * those that had not begun. */
static int abort_done(const struct flo_message *message, const struct flo_acked *acked,
                      struct flo_err *err)
{
    struct flo_rollout_entry *entry;

    FLO_TRY(flo_ingest_rollout(message->controller, acked->rollout, &entry, err));
    if (entry == NULL) {
        return 0;
    }
    return flo_ingest_step(message, entry,
                           (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_BACK,
                                                      .device = message->device,
                                                      .is_aborted = true},
                           err);
}

/* Returns the number of bytes up to the last whole character, because the text
 * may have been cut inside one. */
static size_t utf8_whole(const char *text)
{
    size_t bytes = strlen(text);
    size_t at = bytes;

    while (at > 0 && ((unsigned char)text[at - 1] & 0xc0) == 0x80) {
        at--;
    }
    if (at == 0) {
        return 0;
    }
    unsigned char first = (unsigned char)text[at - 1];
    size_t wanted = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    return bytes - (at - 1) < wanted ? at - 1 : bytes;
}

/* Formats the reason in a device's answer, of which only a known error id and a
 * short text are taken. */
static void why_text(const json_t *why, struct flo_buf *out)
{
    const char *id = json_string_value(json_object_get(why, "id"));
    const char *what = json_string_value(json_object_get(why, "what"));
    char words[257];

    if (id == NULL) {
        flo_buf_text(out, "");
        return;
    }
    snprintf(words, sizeof(words), "%s", what != NULL ? what : "");
    json_t *json = json_pack("{s:s,s:o}", "id", flo_rollout_cause_id(id), "what",
                             json_stringn_nocheck(words, utf8_whole(words)));
    flo_json_dump(json, out);
    json_decref(json);
}

static int outcome(const struct flo_message *message, const char *order,
                   enum flo_order_outcome next, uint64_t took_ms, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) error = {0};
    struct flo_controller *controller = message->controller;
    const json_t *why = json_object_get(message->json, "error");
    struct flo_acked acked = {0};
    bool is_news = false;
    int rv = acked_find(message->ingest, order, &acked, err);

    if (rv < 0) { /* An order that was deleted awaits no device, so its answer is ignored. */
        return rv == FLO_E_ABSENT ? 0 : rv;
    }
    why_text(why, &error);
    rv = flo_fleet_outcome_advance(
        controller->store, order, message->device, next, took_ms,
        message->now_ms > acked.issued_at_ms ? message->now_ms - acked.issued_at_ms : 0,
        error.data != NULL ? error.data : "", &is_news, err);
    if (is_news) {
        flo_outgoing_change(controller, FLO_OBJECT_ORDER, order);
    }
    return rv;
}

int flo_ingest_sent(const struct flo_message *message, const char *order, bool is_good,
                    struct flo_err *err)
{
    return outcome(message, order, is_good ? FLO_OUTCOME_DONE : FLO_OUTCOME_REFUSED, 0, err);
}

struct earlier {
    struct flo_answer_order answered;
    struct flo_text_list ids;
};

static int collect_earlier(void *context, const struct flo_fleet_order *order)
{
    struct earlier *earlier = context;
    struct flo_answer_order awaited = {.op = order->op,
                                       .group = order->group,
                                       .rollout = order->rollout,
                                       .model = order->model,
                                       .release = order->release,
                                       .seq = order->seq};

    if (flo_answer_covers(&earlier->answered, &awaited)) {
        flo_text_list_add(&earlier->ids, order->id);
    }
    return 0;
}

/* Notes that the device need not answer earlier orders about the same subject
 * any more. */
static int outcome_of_earlier(const struct flo_message *message, const struct flo_acked *acked,
                              enum flo_order_outcome next, uint64_t took_ms, struct flo_err *err)
{
    struct earlier earlier = {.answered = {.op = acked->op,
                                           .group = acked->group,
                                           .rollout = acked->rollout,
                                           .model = acked->model,
                                           .release = acked->release,
                                           .seq = acked->seq}};
    int rv = flo_fleet_outcome_awaited(message->controller->store, message->device, collect_earlier,
                                       &earlier, err);

    for (size_t i = 0; i < earlier.ids.count && rv == 0; i++) {
        rv = outcome(message, earlier.ids.items[i], next, took_ms, err);
    }
    flo_text_list_clear(&earlier.ids);
    return rv;
}

/* Tells whether a new order would have a higher number than the order that the
 * device has.  If this controller never gave that number, it may be higher than
 * all numbers that it can sign. */
static int may_outrank(const struct flo_message *message, bool *out, struct flo_err *err)
{
    const json_t *by = json_object_get(message->json, "by");
    json_int_t number = json_integer_value(json_object_get(by, "number"));
    uint64_t newest = 0;
    int rv = flo_fleet_newest(message->controller->store, "order", &newest, err);

    *out = rv == 0 && number >= 0 && (uint64_t)number <= newest;
    return rv;
}

static int superseded(const struct flo_message *message, const struct flo_acked *acked,
                      struct flo_err *err)
{
    const char *by =
        json_string_value(json_object_get(json_object_get(message->json, "by"), "order"));
    bool may, is_sent = false;

    FLO_TRY(may_outrank(message, &may, err));
    if (!may && by != NULL && flo_name_is_valid(by)) {
        FLO_TRY(flo_foreign_order(message->controller, message->device, by, err));
    }
    if (may) {
        FLO_TRY(flo_orders_outrank(message->controller, message->device, acked->model, acked->id,
                                   &is_sent, err));
    }
    return is_sent ? 0 : deploy_refused(message, acked->rollout, 1, FLO_EXECUTION_SUPERSEDED, err);
}

/* Applies the consequences that a device's answer has for rollouts. */
static int follow(const struct flo_message *message, const struct flo_acked *acked,
                  enum flo_answer_follows follows, struct flo_err *err)
{
    switch (follows) {
    case FLO_ANSWER_LOOK:
        return back_by_last_report(message, err);
    case FLO_ANSWER_BACK:
        return tell_rollouts(message, acked->release, FLO_ROLLOUT_EVENT_BACK, true, err);
    case FLO_ANSWER_STAYS:
        return tell_rollouts(message, acked->release, FLO_ROLLOUT_EVENT_STAYS, false, err);
    case FLO_ANSWER_ABORTED:
        return abort_done(message, acked, err);
    case FLO_ANSWER_REJECTED:
        return deploy_refused(message, acked->rollout, 1, FLO_EXECUTION_REJECTED, err);
    case FLO_ANSWER_SUPERSEDED:
        return superseded(message, acked, err);
    case FLO_ANSWER_REMOVED:
        return flo_orders_removed(message->controller, message->device, acked->model, err);
    case FLO_ANSWER_NOTHING:
    case FLO_ANSWER_SEND_AGAIN:
    case FLO_ANSWER_COUNT:
        break;
    }
    return 0;
}

int flo_ingest_ack(const struct flo_message *message, struct flo_err *err)
{
    struct flo_acked acked = {0};
    struct flo_err absent = {0};
    enum flo_order_outcome next;
    const char *order;
    const char *word;
    uint64_t took_ms;

    FLO_TRY(flo_json_get_name(message->json, "order", &order, err));
    FLO_TRY(flo_json_get_text(message->json, "outcome", 16, &word, err));
    FLO_TRY(flo_json_opt_u64(message->json, "took_ms", 0, WALL_MS_MAX, 0, &took_ms, err));
    if (!flo_outcome_parse(word, &next)) {
        return flo_fail(err, FLO_E_MQTT_SCHEMA, "outcome `%s`", word);
    }
    if (flo_emergency_is_named(order)) {
        return flo_emergency_answered(message->controller, order, message->device, word, took_ms,
                                      err);
    }
    int rv = acked_find(message->ingest, order, &acked, &absent);
    if (rv == FLO_E_ABSENT) {
        return next == FLO_OUTCOME_DONE
                   ? flo_foreign_order(message->controller, message->device, order, err)
                   : 0;
    }
    if (rv < 0) {
        *err = absent;
        return rv;
    }
    struct flo_answer answer = {
        .outcome = next, .error = error_of(message), .is_aged = acked.is_aged};
    if (!flo_order_op_parse(acked.op, &answer.op)) {
        return flo_fail(err, FLO_E_INTERNAL, "order %s: op `%s`", order, acked.op);
    }
    struct flo_answer_result result = flo_answer_decide(&answer);
    if (result.follows == FLO_ANSWER_SEND_AGAIN) {
        return flo_orders_send_again(message->controller, message->device, order, err);
    }
    rv = outcome(message, order, next, took_ms, err);
    if (rv == 0 && result.is_for_good) {
        rv = outcome_of_earlier(message, &acked, next, took_ms, err);
    }
    FLO_TRY(rv);
    return follow(message, &acked, result.follows, err);
}
