/* REST: the current leader, the standby controllers, and the former leaders. */
#include <string.h>

#include "server-stub/rest/lead/controllers.h"
#include "server-stub/state/addresses.h"
#include "server-stub/state/keyring/keyring.h"

static void say_alone(const struct flo_rest *rest, struct flo_lead_view *out)
{
    const struct flo_controller *controller = rest->controller;
    const struct flo_addresses *at = &controller->addresses;
    struct flo_lead_member *one = &out->members[0];

    *out = (struct flo_lead_view){.leads = true, .member_count = 1};
    snprintf(one->holder, sizeof(one->holder), "%s", controller->boot);
    snprintf(one->people, sizeof(one->people), "%s:%u", at->people, at->port);
    snprintf(one->devices, sizeof(one->devices), "%s:%u", at->devices, at->port_devices);
    snprintf(one->version, sizeof(one->version), "%s", FLO_VERSION);
    one->since_at_ms = rest->started_at_ms;
    one->heard_at_ms = flo_wall_ms();
    one->is_holder = true;
    if (controller->options.name != NULL) {
        snprintf(one->name, sizeof(one->name), "%s", controller->options.name);
    }
}

void flo_controllers_view(const struct flo_rest *rest, struct flo_lead_view *out)
{
    const struct flo_controller_options *options = &rest->controller->options;

    if (options->view == NULL) {
        say_alone(rest, out);
    } else {
        options->view(options->may_act_context, out);
    }
}

/* Tells whether a former leader was lost: it has written no row since another
 * controller took the lead. */
static bool is_lost(const struct flo_lead_view *view, const struct flo_lead_member *one)
{
    for (size_t i = 1; i < view->change_count; i++) { /* newest first */
        if (strcmp(view->changes[i].holder, one->holder) == 0) {
            return one->heard_at_ms < view->changes[i - 1].at_ms;
        }
    }
    return false;
}

enum flo_lease_place flo_controllers_place(const struct flo_lead_view *view,
                                           const struct flo_lead_member *one, uint64_t now_ms)
{
    return flo_lease_place_of(one->is_holder, view->leads, is_lost(view, one),
                              now_ms > one->heard_at_ms ? now_ms - one->heard_at_ms : 0);
}

/* Returns the name that people gave to the controller, or else its address. */
static const char *name_of(const char *name, const char *otherwise)
{
    return name[0] != '\0' ? name : otherwise;
}

/* Gets the id of a controller's key; "" if the controller has no key. */
static void keyid_of(const struct flo_lead_member *one, char out[FLO_KEYID_TEXT])
{
    struct flo_public_key key;
    bool is_key = flo_public_key_parse(one->key, strlen(one->key), &key, NULL) == 0;

    snprintf(out, FLO_KEYID_TEXT, "%s", is_key ? key.keyid : "");
}

static json_t *member_json(const struct flo_rest_call *call, const struct flo_lead_view *view,
                           const struct flo_lead_member *one)
{
    enum flo_lease_place place = flo_controllers_place(view, one, flo_wall_ms());
    char keyid[FLO_KEYID_TEXT];

    keyid_of(one, keyid);
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:s,s:I,s:I,s:o,s:b,s:o}", "id", one->holder, "name",
                     name_of(one->name, one->people), "state", flo_lease_place_word(place),
                     "people", flo_json_text_or_null(one->people), "devices",
                     flo_json_text_or_null(one->devices), "version", one->version, "since_ms",
                     (json_int_t)one->since_at_ms, "heard_at_ms", (json_int_t)one->heard_at_ms,
                     "key", flo_json_text_or_null(keyid), "is_admitted",
                     (int)flo_keyring_is_admitted(call->controller, keyid), "lacks",
                     flo_json_text_or_null(one->lacks));
}

int flo_rest_controllers(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_lead_view view;
    json_t *items = json_array(), *changes = json_array();

    (void)err;
    flo_controllers_view(call->rest, &view);
    for (size_t i = 0; i < view.member_count; i++) {
        json_array_append_new(items, member_json(call, &view, &view.members[i]));
    }
    for (size_t i = 0; i < view.change_count; i++) {
        const struct flo_lead_change *one = &view.changes[i];
        json_array_append_new(changes,
                              json_pack("{s:I,s:s,s:s,s:I}", "epoch", (json_int_t)one->epoch,
                                        "name", name_of(one->name, one->holder), "id", one->holder,
                                        "at_ms", (json_int_t)one->at_ms));
    }
    call->out = json_pack("{s:b,s:b,s:I,s:I,s:o,s:o}", "shared",
                          (int)(call->controller->options.view != NULL), "leads", (int)view.leads,
                          "epoch", (json_int_t)view.epoch, "changes_hour",
                          (json_int_t)view.changes_hour, "items", items, "changes", changes);
    return 0;
}

/* ---- who may take the fleet's keys ---- */

static const struct flo_lead_member *find(const struct flo_lead_view *view, const char *keyid)
{
    char own[FLO_KEYID_TEXT];

    for (size_t i = 0; i < view->member_count; i++) {
        keyid_of(&view->members[i], own);
        if (own[0] != '\0' && strcmp(own, keyid) == 0) {
            return &view->members[i];
        }
    }
    return NULL;
}

/* Admits a controller.  The request must give the whole key id, because
 * somebody who can write to the database could make a key with the same
 * prefix. */
int flo_rest_controller_admit(struct flo_rest_call *call, struct flo_err *err)
{
    const char *keyid = flo_httpd_param(call->request, "id");
    struct flo_lead_view view;

    flo_controllers_view(call->rest, &view);
    const struct flo_lead_member *one = find(&view, keyid);
    if (one == NULL) {
        flo_fail(err, FLO_E_ABSENT, "no controller here has the key %.64s", keyid);
        return flo_err_fix(err, "start it first: its log names its whole key; "
                                "it is heard after 5 s");
    }
    int rv = flo_keyring_admit(call->controller, one->name, one->key, err);
    call->out = json_pack("{s:s,s:s}", "key", keyid, "name", name_of(one->name, one->people));
    return rv;
}

int flo_rest_controller_dismiss(struct flo_rest_call *call, struct flo_err *err)
{
    const char *keyid = flo_httpd_param(call->request, "id");

    call->out = json_pack("{s:s}", "key", keyid);
    return flo_keyring_dismiss(call->controller, keyid, err);
}
