/* Operators' machines: statements on whom devices trust, and orders of an
 * emergency key.  No controller has these keys. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/trust/newest.h"
#include "server-stub/state/trust/trust.h"
#include "tests/sim/people.h"
#include "tests/sim/world/host.h"

#define ANSWER_BYTES_MAX (1u << 20)
#define ORDER_LIFE_MS (UINT64_C(72) * 3600 * 1000)

static struct flo_controller *ours(void)
{
    return sim->controller.controller;
}

static void add_key(struct flo_trust *trust, const struct flo_key *key, unsigned role)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_err err = {0};

    flo_public_key_pem(flo_key_public(key), pem);
    if (flo_trust_add(trust, pem, role, NULL, &err) < 0) {
        abort();
    }
}

/* ---- statements ---- */

/* The list that devices get at their enrolment. */
void sim_trust_begin(void)
{
    struct flo_trust *trust = flo_trust_new(SIM_FLEET);
    struct flo_err err = {0};

    if (trust == NULL) {
        abort();
    }
    add_key(trust, sim->publisher, FLO_ROLE_RELEASE);
    if (flo_trust_add(trust, flo_pki_order_pem(ours()->pki), FLO_ROLE_ORDER, NULL, &err) < 0) {
        abort();
    }
    sim->controller.trust = sim->statements[0].trust = trust;
    sim->statement_count = 1;
}

void sim_trust_end(void)
{
    for (size_t i = 0; i < sim->statement_count; i++) {
        flo_trust_free(sim->statements[i].trust);
        flo_buf_deinit(&sim->statements[i].envelope);
    }
    sim->statement_count = 0;
}

const struct flo_trust *sim_trust_newest(void)
{
    return sim->statements[sim->statement_count - 1].trust;
}

static struct flo_key *root(void)
{
    return sim_key(SIM_KEY_ROOT);
}

static bool has_emergency_key(void)
{
    struct flo_trust_facts facts;

    flo_trust_facts(sim_trust_newest(), "", &facts);
    return facts.has_emergency;
}

static void must(int rv, const struct flo_err *err)
{
    if (rv < 0) {
        fprintf(stderr, "trust: %s\n", err->what);
        abort();
    }
}

/* A key that left takes the epoch along. */
static void change(struct flo_trust *draft, struct sim_random *chance)
{
    const struct flo_key *key = sim_key(SIM_KEY_EMERGENCY);
    int count = sim->release_count;
    int number = (int)sim_below(chance, (uint64_t)count + 1);
    const struct sim_release *release = &sim->releases[number];
    struct flo_err err = {0};

    if (sim_chance(chance, 300) && has_emergency_key()) {
        must(flo_trust_drop(draft, flo_key_public(key)->keyid, &err), &err);
    } else if (!has_emergency_key()) {
        add_key(draft, key, FLO_ROLE_EMERGENCY);
    }
    if (number < count && sim_chance(chance, 300)) {
        must(flo_trust_revoke_release(draft, &release->ref.digest, &err), &err);
    } else if (number < count && sim_chance(chance, 300)) {
        must(flo_trust_raise_floor(draft, release->ref.model, release->number, &err), &err);
    }
}

static void make_next(struct sim_random *chance, struct sim_statement *out)
{
    const struct flo_trust *held = sim_trust_newest();
    struct flo_trust *draft = NULL;
    struct flo_buf text = {0};
    struct flo_err err = {0};
    int rv = flo_trust_next(held, SIM_WALL_MS + sim->now_ms, &draft, &err);

    if (rv == 0 && !flo_trust_is_signed(held)) {
        add_key(draft, root(), FLO_ROLE_ROOT);
        flo_trust_set_threshold(draft, 1);
        add_key(draft, sim_key(SIM_KEY_EMERGENCY), FLO_ROLE_EMERGENCY);
    } else if (rv == 0) {
        change(draft, chance);
    }
    rv = rv < 0 ? rv : flo_trust_draft(draft, held, &text, &err);
    flo_trust_free(draft);
    draft = NULL;
    rv = rv < 0 ? rv : flo_trust_draft_parse(text.data, text.bytes, &draft, &err);
    rv = rv < 0 ? rv : flo_trust_sign(draft, root(), &err);
    if (rv == 0 && !flo_trust_is_signed(held)) {
        rv = flo_trust_sign(draft, sim->publisher, &err);
    }
    if (rv == 0) {
        flo_trust_text(draft, &out->envelope);
        rv = flo_trust_parse(out->envelope.data, out->envelope.bytes, &out->trust, &err);
    }
    flo_trust_free(draft);
    flo_buf_deinit(&text);
    must(rv, &err);
}

static int publish(const struct sim_statement *statement, struct flo_err *err)
{
    bool is_news;

    if (!flo_trust_is_signed(ours()->trust)) { /* from its folder */
        add_key(ours()->trust, sim->publisher, FLO_ROLE_RELEASE);
    }
    return flo_trust_publish(ours(), statement->envelope.data, statement->envelope.bytes, &is_news,
                             err);
}

/* false: it is not published; perhaps next time. */
bool sim_trust_state(struct sim_random *chance)
{
    struct sim_statement next = {0};
    struct flo_err err = {0};

    if (sim->statement_count == SIM_STATEMENTS_MAX || ours() == NULL ||
        flo_controller_begin(ours(), &err) < 0) {
        return false;
    }
    make_next(chance, &next);
    int rv = publish(&next, &err);
    if (rv < 0) {
        flo_controller_cancel(ours());
    } else {
        rv = flo_controller_commit(ours(), &err);
    }
    sim_trace("ops", "states trust %llu, epoch %u%s%s",
              (unsigned long long)flo_trust_number(next.trust), flo_trust_epoch(next.trust),
              rv < 0 ? ": no, " : "", rv < 0 ? err.what : "");
    if (rv < 0) {
        flo_trust_free(next.trust);
        flo_buf_deinit(&next.envelope);
        return false;
    }
    sim->disturbed_ms = sim->now_ms;
    sim->statements[sim->statement_count++] = next;
    return true;
}

/* ---- by HTTPS ---- */

static void on_fetch(const struct sim_call *call)
{
    struct sim_device *device = call->device;
    struct flo_buf text = {0};
    struct flo_err err = {0};

    if (ours() == NULL || device->is_alone || device->is_held || !sim_clocks_trust(device)) {
        sim_trust_fetched(device, NULL);
        return;
    }
    sim->is_controllers = true;
    sim->actor = NULL;
    int rv = flo_trust_statements_text(ours(), flo_trust_number(sim_trust_of(device)), false,
                                       ANSWER_BYTES_MAX, &text, &err);
    if (rv == 0 && sim->newest_ms > 0) { /* as rest/trust/statements.c */
        text.bytes--;
        (void)flo_newests_add(ours()->newests, true, device->id, &text);
        flo_buf_text(&text, "}");
        sim_silence_heard(device);
    }
    sim->is_controllers = false;
    sim->actor = device;
    sim_trust_fetched(device, rv == 0 ? text.data : NULL);
    flo_buf_deinit(&text);
}

void sim_trust_fetch(struct sim_device *device)
{
    sim_device_later(device, sim_between(&device->random, 50, 3000),
                     (struct sim_call){.fn = on_fetch});
}

/* ---- orders of the emergency key ---- */

/* The topic keeps one message: orders that still hold stay in it. */
#define ORDERS_MAX 8
static struct {
    struct flo_order order;
    struct flo_buf envelope;
    bool is_gone; /* the broker had it, and forgot it */
} held[ORDERS_MAX];
static size_t held_count;

void sim_emergency_forget(void)
{
    for (size_t i = 0; i < held_count; i++) {
        flo_buf_deinit(&held[i].envelope);
    }
    held_count = 0;
}

static size_t place_of(const struct flo_order *order)
{
    size_t i = 0;

    while (i < held_count &&
           (flo_order_fact(held[i].order.op)->subject != flo_order_fact(order->op)->subject ||
            strcmp(held[i].order.model, order->model) != 0)) {
        i++;
    }
    return i;
}

static void sign(const struct flo_order *order, struct flo_buf *out)
{
    struct flo_buf body = {0};
    struct flo_err err = {0};

    if (flo_order_write(order, &body, &err) < 0 ||
        flo_order_sign(body.data, body.bytes, sim_key(SIM_KEY_EMERGENCY), out, &err) < 0) {
        fprintf(stderr, "emergency: %s\n", err.what);
        abort();
    }
    flo_buf_deinit(&body);
}

static void send_all(void)
{
    struct flo_buf text = {0};

    flo_buf_text(&text, "{\"v\":1,\"orders\":[");
    for (size_t i = 0; i < held_count; i++) {
        flo_buf_printf(&text, "%s%s", i > 0 ? "," : "", held[i].envelope.data);
        held[i].is_gone = false;
    }
    flo_buf_text(&text, "]}");
    sim_broker_publish("flotilla/v1/" SIM_FLEET "/c/emergency", text.data);
    flo_buf_deinit(&text);
}

/* A device without the model has nothing to keep it in. */
static bool is_taken(const struct sim_device *device, const struct flo_order *order)
{
    uint32_t model = sim_model_of(order->model);

    if (order->op != FLO_ORDER_ROLLBACK) {
        return device->disk.record.freeze_emergency.number >= order->seq;
    }
    return flo_digest_is_zero(&device->disk.slots[model].current) ||
           device->disk.slots[model].emergency.number >= order->seq;
}

/* The message has an order, unless the controller wrote over it before. */
void sim_emergency_gone(const char *text)
{
    for (size_t i = 0; i < held_count; i++) {
        held[i].is_gone = held[i].is_gone || strstr(text, held[i].envelope.data) != NULL;
    }
}

static int find_stored(void *context, const struct flo_fleet_emergency *emergency)
{
    const char **id = context;

    if (*id != NULL && strcmp(emergency->id, *id) == 0) {
        *id = NULL;
    }
    return 0;
}

/* People alone have it: the broker forgot it before the controller had read it. */
static bool is_lost(size_t at)
{
    const char *id = held[at].order.id;
    struct flo_err err = {0};

    return held[at].is_gone &&
           flo_fleet_emergencies(ours()->store, true, UINT32_MAX, find_stored, &id, &err) == 0 &&
           id != NULL;
}

const struct flo_order *sim_emergency_missed(const struct sim_device *device)
{
    bool may = has_emergency_key() && !device->was_ahead;

    for (size_t i = 0; i < held_count && may; i++) {
        const struct flo_order *order = &held[i].order;
        if (!is_lost(i) && order->epoch == flo_trust_epoch(sim_trust_newest()) &&
            order->epoch == flo_trust_epoch(sim_trust_of(device)) &&
            order->expires_at_ms > SIM_WALL_MS + sim->now_ms && !is_taken(device, order)) {
            return order;
        }
    }
    return NULL;
}

/* release -1: a freeze or its end. */
void sim_emergency_order(enum flo_order_op op, int release)
{
    struct flo_order order = {.op = op, .scope.bucket_to = FLO_BUCKETS};

    if (!has_emergency_key() || !sim_broker_is_up()) {
        return;
    }
    order.epoch = flo_trust_epoch(sim_trust_newest());
    order.seq = order.issued_at_ms = SIM_WALL_MS + sim->now_ms;
    order.expires_at_ms = order.issued_at_ms + ORDER_LIFE_MS;
    snprintf(order.id, sizeof(order.id), "e-%llu", (unsigned long long)order.seq);
    snprintf(order.fleet, sizeof(order.fleet), SIM_FLEET);
    snprintf(order.scope.group, sizeof(order.scope.group), "all");
    snprintf(order.by, sizeof(order.by), "emergency");
    snprintf(order.reason, sizeof(order.reason), "drill");
    if (release >= 0) {
        memcpy(order.model, sim->releases[release].ref.model, sizeof(order.model));
        order.from_count = 1;
        order.from[0] = sim->releases[release].ref.digest;
        order.to_previous = true;
    }
    size_t at = place_of(&order);
    if (at < held_count) {
        flo_buf_deinit(&held[at].envelope);
    } else if (held_count == ORDERS_MAX) {
        return;
    } else {
        held_count++;
    }
    held[at].order = order;
    held[at].envelope = (struct flo_buf){0};
    sign(&order, &held[at].envelope);
    sim_trace("ops", "emergency key: %s %s", flo_order_op_word(op),
              release < 0 ? "" : sim->releases[release].ref.version);
    send_all();
}
