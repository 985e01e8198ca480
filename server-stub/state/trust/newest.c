#include "server-stub/state/trust/newest.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/release.h>

#include "base/host/json.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/store/ids.h"

#define COUNTER "newest"
/* life of a statement after which none follows */
#define LAST_LIFE_MS (UINT64_C(365) * 86400000)

struct flo_newests {
    struct flo_ids ids;
    struct flo_digest *leaves; /* by the ids' numbers; zero: the device has no document */
    size_t room;
    struct flo_digest *nodes; /* tree of the last statement */
    size_t count;             /* number of its leaves */
    size_t next;              /* device that is sent its path next; `count`: none */
    bool is_changed;          /* some leaf is not in that tree */
    uint64_t signed_ms;
    struct flo_buf envelope;
};

struct flo_newests *flo_newests_new(void)
{
    return calloc(1, sizeof(struct flo_newests));
}

void flo_newests_free(struct flo_newests *newests)
{
    if (newests != NULL) {
        flo_ids_deinit(&newests->ids);
        free(newests->leaves);
        free(newests->nodes);
        flo_buf_deinit(&newests->envelope);
        free(newests);
    }
}

static bool is_in_tree(const struct flo_newests *newests, size_t number)
{
    return number < newests->count && !flo_digest_is_zero(&newests->leaves[number]) &&
           flo_digest_equal(&newests->nodes[newests->count + number], &newests->leaves[number]);
}

bool flo_newests_owes(const struct flo_newests *newests, const char *device)
{
    size_t number = flo_ids_find(&newests->ids, device);

    return number != SIZE_MAX && number >= newests->next && is_in_tree(newests, number);
}

bool flo_newests_told(struct flo_newests *newests, const char *device, const char *text,
                      size_t bytes)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_digest desired, leaf = {{0}};

    bool has_room = flo_grow(&newests->leaves, &newests->room, newests->ids.count, sizeof(leaf));
    size_t number = has_room ? flo_ids_keep(&newests->ids, device) : SIZE_MAX;

    if (number == SIZE_MAX) {
        return false;
    }
    if (flo_json_parse(text, bytes, bytes, &json, NULL) == 0) {
        flo_newest_desired(json, &desired);
        flo_newest_leaf(device, &desired, &leaf);
    }
    newests->leaves[number] = leaf;
    bool is_in = is_in_tree(newests, number);
    newests->is_changed = newests->is_changed || !is_in;
    return is_in;
}

/* ---- statements ---- */

/* A fleet that hands out no more signs the last statement again after this time,
 * if a document changed meanwhile. */
static uint64_t pause_ms(const struct flo_controller *controller)
{
    uint64_t interval_ms = controller->options.newest_ms;

    return interval_ms > 0 ? interval_ms : FLO_NEWEST_INTERVAL_MS;
}

bool flo_newests_are_due(const struct flo_controller *controller)
{
    const struct flo_newests *newests = controller->newests;
    bool is_going_on = controller->options.newest_ms > 0 || newests->is_changed;

    return !flo_clock_is_leapt(controller) &&
           (newests->envelope.bytes == 0 ||
            (is_going_on && flo_now_ms() - newests->signed_ms >= pause_ms(controller)));
}

static int make_tree(struct flo_newests *newests, struct flo_err *err)
{
    size_t count = newests->ids.count;
    struct flo_digest *nodes = realloc(newests->nodes, 2 * count * sizeof(*nodes));

    if (nodes == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a tree of %zu", count);
    }
    memcpy(&nodes[count], newests->leaves, count * sizeof(*nodes));
    flo_newest_tree(nodes, count);
    newests->nodes = nodes;
    newests->count = count;
    return 0;
}

/* Takes the next number: the time, so that a controller from a backup or
 * another leader goes on above the last one. */
static int next_number(struct flo_controller *controller, struct flo_newest *out,
                       struct flo_err *err)
{
    uint64_t last;

    FLO_TRY(flo_fleet_newest(controller->store, COUNTER, &last, err));
    out->number = out->issued_at_ms > last ? out->issued_at_ms : last + 1;
    snprintf(out->fleet, sizeof(out->fleet), "%s", controller->fleet);
    return flo_fleet_skip(controller->store, COUNTER, out->number - last, err);
}

int flo_newests_sign(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_newests *newests = controller->newests;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf envelope = {0};
    uint64_t interval_ms = controller->options.newest_ms;
    struct flo_newest newest = {.issued_at_ms = flo_wall_ms(), .interval_ms = interval_ms};

    FLO_TRY(flo_clock_signs(controller, err));
    newests->signed_ms = flo_now_ms(); /* a failure is tried again after an interval */
    FLO_TRY(newests->is_changed ? make_tree(newests, err) : 0);
    FLO_TRY(flo_controller_begin(controller, err));
    FLO_TRY(flo_controller_end(controller, next_number(controller, &newest, err), err));
    newest.expires_at_ms =
        newest.issued_at_ms + (interval_ms > 0 ? FLO_NEWEST_INTERVALS * interval_ms : LAST_LIFE_MS);
    if (newests->count > 0) {
        newest.root = newests->nodes[1];
    }
    FLO_TRY(flo_newest_sign(&newest, flo_pki_order_key(controller->pki), &envelope, err));
    flo_buf_deinit(&newests->envelope);
    newests->envelope = envelope;
    envelope = (struct flo_buf){0};
    if (newests->is_changed || controller->options.broker_forgets) {
        newests->next = 0;
    }
    newests->is_changed = false;
    return 0;
}

int flo_newests_bundle(struct flo_controller *controller, const json_t *releases, uint64_t days,
                       struct flo_newest *out, struct flo_buf *envelope, struct flo_err *err)
{
    *out = (struct flo_newest){.issued_at_ms = flo_wall_ms()};
    out->expires_at_ms = out->issued_at_ms + days * 86400000;
    FLO_TRY(flo_clock_signs(controller, err));
    FLO_TRY(flo_newest_bundle(releases, &out->root, err));
    FLO_TRY(next_number(controller, out, err));
    return flo_newest_sign(out, flo_pki_order_key(controller->pki), envelope, err);
}

bool flo_newests_add(const struct flo_newests *newests, bool has_word, const char *device_or_null,
                     struct flo_buf *out)
{
    size_t number = device_or_null == NULL ? SIZE_MAX : flo_ids_find(&newests->ids, device_or_null);
    struct flo_newest_path path;

    if (has_word && newests->envelope.bytes > 0) {
        flo_buf_printf(out, ",\"newest\":%s", newests->envelope.data);
    }
    if (!is_in_tree(newests, number)) {
        return false;
    }
    flo_newest_path(newests->nodes, newests->count, number, &path);
    flo_buf_text(out, ",\"path\":");
    flo_newest_path_write(&path, out);
    return true;
}

const char *flo_newests_next(const struct flo_controller *controller)
{
    struct flo_newests *newests = controller->newests;
    uint64_t passed_ms = flo_now_ms() - newests->signed_ms;
    bool is_due = newests->next <= 2 * newests->count * passed_ms / pause_ms(controller);

    return newests->next < newests->count && is_due ? newests->ids.items[newests->next++] : NULL;
}
