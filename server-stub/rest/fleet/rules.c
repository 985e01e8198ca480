/* REST: groups whose rollouts need approvals, and change freezes. */
#include <string.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/rules/rules.h"

/* ---- approvals ---- */

int flo_rest_approvals(struct flo_rest_call *call, struct flo_err *err)
{
    const struct flo_rule_approval *rule;
    json_t *items = json_array();

    (void)err;
    for (size_t i = 0; (rule = flo_rules_approval_at(call->controller->rules, i)) != NULL; i++) {
        json_array_append_new(items, flo_rule_approval_json(rule));
    }
    call->out = flo_rest_list(items, NULL);
    return 0;
}

int flo_rest_approval_set(struct flo_rest_call *call, struct flo_err *err)
{
    const char *group = flo_httpd_param(call->request, "group");
    uint64_t people = flo_rest_number_in(call, "people", 1);

    if (!flo_name_is_valid(group)) {
        return flo_fail(err, FLO_E_REST_MEANING, "group: `%.80s` is no name", group);
    }
    FLO_TRY(flo_rules_set_approval(call->controller, group, (uint32_t)people, call->name, err));
    call->out = flo_rule_approval_json(flo_rules_approval(call->controller, group));
    return 0;
}

int flo_rest_approval_delete(struct flo_rest_call *call, struct flo_err *err)
{
    const char *group = flo_httpd_param(call->request, "group");
    int rv = flo_rules_set_approval(call->controller, group, 0, call->name, err);

    call->out = json_pack("{s:s}", "group", group);
    return rv;
}

/* ---- change freezes ---- */

int flo_rest_freezes(struct flo_rest_call *call, struct flo_err *err)
{
    const struct flo_rule_freeze *freeze;
    json_t *items = json_array();

    (void)err;
    for (size_t i = 0; (freeze = flo_rules_freeze_at(call->controller->rules, i)) != NULL; i++) {
        json_array_append_new(items, flo_rule_freeze_json(freeze, flo_wall_ms()));
    }
    call->out = flo_rest_list(items, NULL);
    return 0;
}

int flo_rest_freeze_set(struct flo_rest_call *call, struct flo_err *err)
{
    const char *name = flo_httpd_param(call->request, "name");
    struct flo_rule_freeze freeze = {.from_ms = flo_rest_number_in(call, "from_ms", 0),
                                     .until_ms = flo_rest_number_in(call, "until_ms", 0)};

    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_REST_MEANING, "name: `%.80s` is no name", name);
    }
    snprintf(freeze.name, sizeof(freeze.name), "%s", name);
    snprintf(freeze.group, sizeof(freeze.group), "%s", flo_rest_text_in(call, "group", "all"));
    snprintf(freeze.window_text, sizeof(freeze.window_text), "%s",
             flo_rest_text_in(call, "window", ""));
    snprintf(freeze.reason, sizeof(freeze.reason), "%s", flo_rest_text_in(call, "reason", ""));
    snprintf(freeze.by, sizeof(freeze.by), "%s", call->name);
    FLO_TRY(flo_rules_set_freeze(call->controller, &freeze, err));
    call->out = flo_rule_freeze_json(flo_rules_freeze(call->controller, name), flo_wall_ms());
    return 0;
}

int flo_rest_freeze_delete(struct flo_rest_call *call, struct flo_err *err)
{
    const char *name = flo_httpd_param(call->request, "name");
    int rv = flo_rules_delete_freeze(call->controller, name, err);

    call->out = json_pack("{s:s}", "name", name);
    return rv;
}
