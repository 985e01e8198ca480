#include "server-stub/state/foreign.h"

#include <stdlib.h>
#include <string.h>

#include "server-stub/core/device/lives.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/proofs/proofs.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/store/seals.h"

/* Sequence number of the first row that stands for a foreign order; it is
 * higher than any number of the controller's own orders. */
#define ROWS_FROM (UINT64_C(1) << 62)
#define DAY_MS (UINT64_C(24) * 3600 * 1000)

static const uint64_t told_ms[FLO_FOREIGN_KINDS] = {
    DAY_MS, DAY_MS, DAY_MS, DAY_MS, FLO_LIVES_TWICE_MS, DAY_MS, DAY_MS};

struct flo_foreign_item {
    char what[160]; /* text of the report, which the alert shows as its series */
    uint64_t at_ms; /* wall clock of the last report; 0: the item is free */
};
struct flo_foreign {
    struct flo_foreign_item items[FLO_FOREIGN_KINDS][FLO_FOREIGN_MAX];
    size_t counts[FLO_FOREIGN_KINDS];
    size_t rows_recorded; /* number of audit records written since the start */
};

struct flo_foreign *flo_foreign_new(void)
{
    return calloc(1, sizeof(struct flo_foreign));
}

void flo_foreign_free(struct flo_foreign *foreign)
{
    free(foreign);
}

const char *flo_foreign_word(enum flo_foreign_kind kind)
{
    static const char *const words[] = {"order",    "statement", "message", "row",
                                        "identity", "number",    "device"};

    return words[kind];
}

/* Notes a report, and returns whether it is new.  Each kind of report has a
 * table of its own, so that many reports of one kind do not displace those of
 * another. */
static bool tell(struct flo_controller *controller, enum flo_foreign_kind kind, const char *what)
{
    struct flo_foreign_item *items = controller->foreign->items[kind];
    size_t *count = &controller->foreign->counts[kind];
    size_t at = 0;

    while (at < *count && strcmp(items[at].what, what) != 0) {
        at++;
    }
    bool is_new = at == *count;
    if (at == FLO_FOREIGN_MAX) { /* replace the oldest */
        at = 0;
        for (size_t i = 1; i < FLO_FOREIGN_MAX; i++) {
            at = items[i].at_ms < items[at].at_ms ? i : at;
        }
        if (kind == FLO_FOREIGN_DEVICE && items[at].at_ms + told_ms[kind] > flo_wall_ms()) {
            return false; /* many ask by turns, and the list of unknown devices has all */
        }
    } else if (at == *count) {
        ++*count;
    }
    items[at].at_ms = flo_wall_ms();
    snprintf(items[at].what, sizeof(items[at].what), "%s", what);
    return is_new;
}

bool flo_foreign_at(const struct flo_controller *controller, size_t place, uint64_t now_ms,
                    enum flo_foreign_kind *kind, const char **what)
{
    const struct flo_foreign *foreign = controller->foreign;

    for (size_t i = 0; i < FLO_FOREIGN_KINDS * FLO_FOREIGN_MAX; i++) {
        const struct flo_foreign_item *item =
            &foreign->items[i / FLO_FOREIGN_MAX][i % FLO_FOREIGN_MAX];
        if (item->at_ms == 0 || item->at_ms + told_ms[i / FLO_FOREIGN_MAX] <= now_ms ||
            place-- > 0) {
            continue;
        }
        *kind = (enum flo_foreign_kind)(i / FLO_FOREIGN_MAX);
        *what = item->what;
        return true;
    }
    return false;
}

/* ---- messages ---- */

void flo_foreign_unproved(struct flo_controller *controller)
{
    char device[37];

    while (flo_proofs_told(controller->proofs, device)) {
        (void)tell(controller, FLO_FOREIGN_MESSAGE, device);
    }
}

/* ---- identities ---- */

void flo_foreign_device(struct flo_controller *controller, enum flo_foreign_kind kind,
                        const char *text, const char *what)
{
    if (tell(controller, kind, what)) {
        flo_log(FLO_LOG_ERROR, "device", "%s: device %s", text, what);
    }
}

void flo_foreign_single(struct flo_controller *controller)
{
    struct flo_foreign_item *items = controller->foreign->items[FLO_FOREIGN_IDENTITY];
    uint64_t now_ms = flo_wall_ms();
    char device[37];

    for (size_t i = 0; i < FLO_FOREIGN_MAX; i++) {
        if (items[i].at_ms != 0 && items[i].at_ms + FLO_LIVES_TWICE_MS <= now_ms) {
            items[i].at_ms = 0;
            snprintf(device, sizeof(device), "%.36s", items[i].what);
            flo_outgoing_ask(controller, device, "");
        }
    }
}

void flo_foreign_over(struct flo_controller *controller, enum flo_foreign_kind kind,
                      const char *device)
{
    struct flo_foreign_item *items = controller->foreign->items[kind];

    for (size_t i = 0; i < FLO_FOREIGN_MAX; i++) {
        if (strncmp(items[i].what, device, strlen(device)) == 0) {
            items[i].at_ms = 0;
        }
    }
}

/* ---- rows ---- */

int flo_foreign_unsealed(struct flo_controller *controller, struct flo_err *err)
{
    char what[FLO_FLEET_UNSEALED_TEXT];
    int rv = 0;

    flo_rules_doubt(controller);
    while (rv == 0 && flo_fleet_unsealed(controller->store, what)) {
        if (!tell(controller, FLO_FOREIGN_ROW, what) ||
            controller->foreign->rows_recorded == FLO_FOREIGN_ROWS_MAX) {
            continue;
        }
        flo_log(FLO_LOG_ERROR, "store",
                "%s: no right seal, somebody wrote to the database; see the alert row-unsealed",
                what);
        controller->foreign->rows_recorded++;
        FLO_TRY(flo_controller_begin(controller, err));
        rv = flo_controller_audit(controller, "controller", "row.unsealed", what, "alarm", "", err);
        rv = flo_controller_end(controller, rv, err);
    }
    return rv;
}

/* ---- statements ---- */

void flo_foreign_refused(struct flo_controller *controller, const char *what)
{
    static const char begin[] = "refused ";
    static const char middle[] = ", held ";
    const size_t chars = FLO_DIGEST_TEXT - 1;
    const size_t all = sizeof(begin) - 1 + chars + sizeof(middle) - 1 + chars;
    char refused[FLO_DIGEST_TEXT], held[FLO_DIGEST_TEXT], text[160];
    struct flo_digest digest;

    if (what == NULL || strlen(what) < all || strncmp(what, begin, sizeof(begin) - 1) != 0) {
        return;
    }
    what += sizeof(begin) - 1;
    snprintf(refused, sizeof(refused), "%s", what);
    snprintf(held, sizeof(held), "%s", what + chars + sizeof(middle) - 1);
    if (strncmp(what + chars, middle, sizeof(middle) - 1) == 0 &&
        flo_digest_parse(refused, &digest) && flo_digest_parse(held, &digest)) {
        snprintf(text, sizeof(text), "%s%s%s%s", begin, refused, middle, held);
        (void)tell(controller, FLO_FOREIGN_STATEMENT, text);
    }
}

/* ---- orders ---- */

/* Finds out whether the controller once gave this order: its number was
 * assigned, and its row was deleted since. */
static int is_forgotten(struct flo_controller *controller, const char *order, bool *out,
                        struct flo_err *err)
{
    uint64_t newest = 0;
    char *end = NULL;
    unsigned long long number = 0;
    int rv = flo_fleet_newest(controller->store, "order", &newest, err);

    if (strncmp(order, "o-", 2) == 0 && order[2] >= '0' && order[2] <= '9') {
        number = strtoull(order + 2, &end, 10);
    }
    *out = end != NULL && *end == '\0' && number <= newest;
    return rv;
}

static int find(void *context, const struct flo_fleet_order *order)
{
    (void)context, (void)order;
    return 0;
}

static int add(struct flo_controller *controller, const char *id, const char *device, bool *is_full,
               struct flo_err *err)
{
    uint64_t number;
    uint64_t now_ms = flo_wall_ms();
    struct flo_fleet_order row = {.id = id,
                                  .op = FLO_FOREIGN_OP,
                                  .group = "",
                                  .envelope = "",
                                  .body = "{}",
                                  .rollout = "",
                                  .model = "",
                                  .release = "",
                                  .issued_at_ms = now_ms,
                                  .expires_at_ms = now_ms,
                                  .is_tracked = true};
    int rv = flo_fleet_newest(controller->store, "foreign", &number, err);

    *is_full = number >= FLO_FOREIGN_ORDERS_MAX;
    FLO_TRY(rv);
    if (*is_full) {
        return rv;
    }
    FLO_TRY(flo_fleet_next(controller->store, "foreign", &number, err));
    row.seq = ROWS_FROM + number;
    FLO_TRY(flo_fleet_order_add(controller->store, &row, err));
    return flo_controller_audit(controller, device, "order.foreign", id, "alarm", "", err);
}

int flo_foreign_order(struct flo_controller *controller, const char *device, const char *order,
                      struct flo_err *err)
{
    struct flo_err absent = {0};
    char id[FLO_NAME_MAX + 1];
    bool is_ours, is_full = false;

    FLO_TRY(is_forgotten(controller, order, &is_ours, err));
    if (is_ours) {
        return 0;
    }
    if (flo_audit_is_cut(controller->audit)) {
        (void)tell(controller, FLO_FOREIGN_NUMBER, "restored without --restored");
        return 0;
    }
    snprintf(id, sizeof(id), FLO_FOREIGN_OP "-%.50s", order);
    flo_log(FLO_LOG_ERROR, "order", "device %s obeys order %s, which this controller never gave",
            device, order);
    (void)tell(controller, FLO_FOREIGN_ORDER, order);
    int rv = flo_fleet_order_get(controller->store, id, find, NULL, &absent);
    if (rv == FLO_E_ABSENT) {
        rv = add(controller, id, device, &is_full, err);
    } else if (rv < 0) {
        *err = absent;
    }
    if (rv == 0 && !is_full) {
        rv = flo_fleet_outcome_put(controller->store, id, device, FLO_OUTCOME_DONE, 0, err);
        flo_outgoing_change(controller, FLO_OBJECT_ORDER, id);
    }
    return rv;
}
