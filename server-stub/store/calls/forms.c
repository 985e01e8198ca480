/* Store: forms, the parts that events of many devices have in common.
 *
 * All devices of a rollout report the same rollout, phase, order and release
 * with each state.  That text is stored once, as a form.  An event's row has
 * the form's number and the event's own members; boot, seq and at_ms are
 * columns.  An event of another shape is stored whole.
 *
 * Unused forms are deleted: each new form checks two old ones.  So even a
 * device that never repeats itself has at most twice as many forms as
 * events. */
#include <inttypes.h>
#include <string.h>

#include "base/host/json.h"
#include "server-stub/store/calls/kept.h"

#define REST_BYTES_MAX 65536

/* Tells whether a member of an event is the same for many devices of a
 * rollout. */
static bool is_common(const char *key, const json_t *value)
{
    static const char *const keys[] = {"type",    "execution", "rollout", "phase", "order", "model",
                                       "release", "version",   "state",   "end",   "v"};

    for (size_t i = 0; i < FLO_COUNT(keys); i++) {
        if (strcmp(key, keys[i]) == 0) {
            return !json_is_object(value) && !json_is_array(value);
        }
    }
    return false;
}

/* Tells whether boot, seq and at_ms in the event's JSON have the values of the
 * row's columns, so that they need not be stored twice. */
static bool is_said(const json_t *json, const struct flo_event_text *event)
{
    return flo_json_says(json, "boot", event->boot) && event->seq > 0 && event->at_ms > 0 &&
           flo_json_number(json, "seq") == event->seq &&
           flo_json_number(json, "at_ms") == event->at_ms;
}

static void dump(const json_t *object, struct flo_buf *out)
{
    if (json_object_size(object) > 0) {
        flo_json_dump(object, out);
    } else {
        flo_buf_text(out, "");
    }
}

/* Splits an event into its form and the rest.  Returns false if the event must
 * be stored whole. */
static bool split(const struct flo_event_text *event, struct flo_buf *form, struct flo_buf *rest)
{
    json_t *json = NULL;
    const char *key;
    json_t *value;

    if (flo_json_parse(event->json, strlen(event->json), REST_BYTES_MAX, &json, NULL) < 0) {
        return false;
    }
    json_t *common = json_object();
    bool fits = json_is_object(json) && is_said(json, event);
    json_object_foreach(json, key, value)
    {
        if (is_common(key, value)) {
            json_object_set(common, key, value);
        }
    }
    json_object_foreach(common, key, value)
    {
        json_object_del(json, key);
    }
    json_object_del(json, "boot");
    json_object_del(json, "seq");
    json_object_del(json, "at_ms");
    dump(common, form);
    dump(json, rest);
    fits = fits && json_object_size(common) > 0 && !form->failed && !rest->failed &&
           form->bytes <= FLO_FORM_BYTES_MAX;
    json_decref(common);
    json_decref(json);
    return fits;
}

/* ---- numbers ---- */

static void form_forget(struct flo_fleet_store *store, uint64_t number)
{
    for (size_t i = 0; i < FLO_COUNT(store->forms.items); i++) {
        if (store->forms.items[i].number == number) {
            store->forms.items[i].number = 0;
        }
    }
}

static int form_find(struct flo_fleet_store *store, const char *text, uint64_t *number,
                     struct flo_err *err)
{
    struct flo_number found = {.field = FLO_FIELD_EVENT_FORM_NUMBER};
    bool is_there;
    int rv = flo_fleet_find_one(store, ROWS(EVENT_FORM, text_is(FLO_FIELD_EVENT_FORM_TEXT, text)),
                                flo_fleet_take_number, &found, &is_there, err);

    *number = rv == 0 && is_there ? found.number : 0;
    return rv;
}

/* Checks an old form, and deletes it if no event refers to it. */
static int sweep(struct flo_fleet_store *store, struct flo_err *err)
{
    struct flo_number next = {.field = FLO_FIELD_EVENT_FORM_NUMBER};
    bool found = false;
    bool is_used = true;
    int rv = flo_fleet_find_one(
        store,
        (struct flo_query){
            .table = FLO_TABLE_EVENT_FORM,
            WHERE(number_how(FLO_FIELD_EVENT_FORM_NUMBER, FLO_MATCH_ABOVE, store->forms.looked_at)),
            SORTED(UP(EVENT_FORM_NUMBER))},
        flo_fleet_take_number, &next, &found, err);

    store->forms.looked_at = found ? next.number : 0;
    if (rv == 0 && found) {
        rv = flo_fleet_find_one(store, ROWS(EVENT, number_is(FLO_FIELD_EVENT_FORM, next.number)),
                                NULL, NULL, &is_used, err);
    }
    FLO_TRY(rv);
    if (is_used) {
        return rv;
    }
    form_forget(store, next.number);
    return flo_fleet_remove(store, FLO_TABLE_EVENT_FORM,
                            MATCHES(number_is(FLO_FIELD_EVENT_FORM_NUMBER, next.number)), NULL,
                            err);
}

static int form_make(struct flo_fleet_store *store, const char *text, uint64_t *number,
                     struct flo_err *err)
{
    /* Two old forms are checked before the new form is added, because no event
     * uses the new one yet. */
    FLO_TRY(sweep(store, err));
    FLO_TRY(sweep(store, err));
    FLO_TRY(flo_fleet_next(store, "form", number, err));
    return flo_fleet_put(store, FLO_TABLE_EVENT_FORM,
                         CHANGES(set_number(FLO_FIELD_EVENT_FORM_NUMBER, *number),
                                 set_text(FLO_FIELD_EVENT_FORM_TEXT, text)),
                         err);
}

static int form_keep(struct flo_fleet_store *store, const char *text, uint64_t *number,
                     struct flo_err *err)
{
    size_t at = flo_crc32c(0, text, strlen(text)) % FLO_COUNT(store->forms.items);

    if (store->forms.items[at].number != 0 && strcmp(store->forms.items[at].text, text) == 0) {
        *number = store->forms.items[at].number;
        return 0;
    }
    FLO_TRY(form_find(store, text, number, err));
    if (*number == 0) {
        FLO_TRY(form_make(store, text, number, err));
    }
    store->forms.items[at].number = *number;
    snprintf(store->forms.items[at].text, sizeof(store->forms.items[at].text), "%s", text);
    return 0;
}

int flo_fleet_form_take(struct flo_fleet_store *store, const struct flo_event_text *event,
                        uint64_t *number, struct flo_buf *rest, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) form = {0};

    *number = 0;
    return split(event, &form, rest) ? form_keep(store, form.data, number, err) : 0;
}

/* ---- the text again ---- */

/* Appends the members of an object's text, without its braces. */
static void add_members(const char *text, struct flo_buf *out)
{
    size_t bytes = strlen(text);

    if (bytes > 2) {
        flo_buf_printf(out, "%.*s,", (int)(bytes - 2), text + 1);
    }
}

void flo_fleet_form_join(const char *form, const struct flo_event_text *rest, struct flo_buf *out)
{
    flo_buf_text(out, "{");
    add_members(form, out);
    add_members(rest->json, out);
    flo_buf_printf(out, "\"boot\":\"%s\",\"seq\":%" PRIu64 ",\"at_ms\":%" PRIu64 "}", rest->boot,
                   rest->seq, rest->at_ms);
}
