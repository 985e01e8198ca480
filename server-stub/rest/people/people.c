/* REST: users, and the caller of a request.  A user's tokens never permit more
 * than the user: a role that the user loses is removed from the tokens at
 * once. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/rest/rest.h"

static json_t *view_person(const struct flo_fleet_person *person)
{
    return json_pack("{s:s,s:s,s:b,s:I,s:b}", "name", person->name, "role", person->role,
                     "disabled", (int)person->is_disabled, "created_at_ms",
                     (json_int_t)person->created_at_ms, "sealed", (int)person->is_sealed);
}

/* Sets the ETag of a user from those fields that a change can set. */
static void tag(struct flo_rest_call *call, const struct flo_fleet_person *person)
{
    char text[FLO_NAME_MAX + FLO_GRANTS_TEXT + 8];

    snprintf(text, sizeof(text), "%s %s %d", person->name, person->role, (int)person->is_disabled);
    flo_rest_etag_of(call, text);
}

static int take_person(void *context, const struct flo_fleet_person *person)
{
    struct flo_rest_call *call = context;

    tag(call, person);
    call->out = view_person(person);
    return 0;
}

struct token_list {
    const struct flo_rest *rest;
    json_t *items;
};

static int add_token(void *context, const struct flo_fleet_token *token)
{
    struct token_list *list = context;

    json_array_append_new(list->items, flo_rest_view_token(list->rest, token));
    return 0;
}

static int show(struct flo_rest_call *call, const char *name, struct flo_err *err)
{
    struct token_list list = {call->rest, json_array()};
    int rv = flo_fleet_person_get(call->controller->store, name, take_person, call, err);

    if (rv == 0) {
        rv = flo_fleet_person_tokens(call->controller->store, name, add_token, &list, err);
        json_object_set(call->out, "tokens", list.items);
    }
    json_decref(list.items);
    return rv;
}

int flo_rest_user(struct flo_rest_call *call, struct flo_err *err)
{
    return show(call, flo_httpd_param(call->request, "id"), err);
}

static int add_person(void *context, const struct flo_fleet_person *person)
{
    struct flo_rest_page *page = context;

    if (flo_rest_page_takes(page)) {
        json_array_append_new(page->items, view_person(person));
        snprintf(page->last, sizeof(page->last), "%s", person->name);
    }
    return 0;
}

int flo_rest_users(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_rest_page page = {.items = json_array(),
                                 .limit = flo_rest_number(call, "limit", 1000)};
    const char *after = flo_httpd_query(call->request, "cursor");
    int rv = flo_fleet_person_list(call->controller->store, after != NULL ? after : "",
                                   page.limit + 1, add_person, &page, err);

    flo_rest_page_end(call, &page);
    return rv;
}

int flo_rest_user_add(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_err absent = {0};
    struct flo_fleet_person person = {.name = flo_rest_text_in(call, "name", ""),
                                      .role = flo_rest_text_in(call, "role", ""),
                                      .created_at_ms = flo_wall_ms()};
    int rv = flo_fleet_person_get(call->controller->store, person.name, NULL, NULL, &absent);

    if (rv == 0) {
        return flo_fail(err, FLO_E_STATE, "user %s is there already", person.name);
    }
    if (rv != FLO_E_ABSENT) {
        *err = absent;
        return rv;
    }
    FLO_TRY(flo_fleet_person_put(call->controller->store, &person, err));
    return show(call, person.name, err);
}

/* ---- changes ---- */

struct person {
    char name[FLO_NAME_MAX + 1];
    char role[FLO_GRANTS_TEXT];
    bool is_disabled;
};

static int copy_person(void *context, const struct flo_fleet_person *person)
{
    struct person *out = context;

    snprintf(out->name, sizeof(out->name), "%s", person->name);
    snprintf(out->role, sizeof(out->role), "%s", person->role);
    out->is_disabled = person->is_disabled;
    return 0;
}

static int find(struct flo_rest_call *call, struct person *out, struct flo_err *err)
{
    FLO_TRY(flo_fleet_person_get(call->controller->store, flo_httpd_param(call->request, "id"),
                                 copy_person, out, err));
    tag(call, &(struct flo_fleet_person){
                  .name = out->name, .role = out->role, .is_disabled = out->is_disabled});
    return flo_rest_match(call, out->name, err);
}

/* Refuses a change of the caller's own account, so that nobody locks everybody
 * out. */
static int is_somebody_else(const struct flo_rest_call *call, const char *name, struct flo_err *err)
{
    if (strcmp(call->person, name) != 0) {
        return 0;
    }
    flo_fail(err, FLO_E_STATE, "user %s makes this request", name);
    return flo_err_fix(err, "ask another admin to do it");
}

struct reach {
    struct flo_controller *controller;
    struct flo_grants grants;
    bool is_disabled;
    char doomed[64][FLO_TOKEN_ID_TEXT];
    size_t count;
};

static int look_at_token(void *context, const struct flo_fleet_token *token)
{
    struct reach *reach = context;
    struct flo_grants grants;

    if (reach->count < FLO_COUNT(reach->doomed) &&
        (reach->is_disabled || !flo_grants_parse(token->role, &grants) ||
         !flo_grants_include(&reach->grants, &grants))) {
        snprintf(reach->doomed[reach->count++], FLO_TOKEN_ID_TEXT, "%s", token->id);
    }
    return 0;
}

/* Deletes, in batches, the user's tokens that permit more than the user may
 * do. */
static int take_tokens(struct flo_rest_call *call, const struct person *person, struct flo_err *err)
{
    struct flo_fleet_store *store = call->controller->store;
    struct reach reach = {.is_disabled = person->is_disabled};
    int rv = 0;

    if (!flo_grants_parse(person->role, &reach.grants)) {
        return flo_fail(err, FLO_E_DB, "roles of user %s", person->name);
    }
    do {
        reach.count = 0;
        rv = flo_fleet_person_tokens(store, person->name, look_at_token, &reach, err);
        for (size_t i = 0; i < reach.count && rv == 0; i++) {
            rv = flo_fleet_token_delete(store, reach.doomed[i], err);
        }
    } while (rv == 0 && reach.count == FLO_COUNT(reach.doomed));
    return rv;
}

int flo_rest_user_edit(struct flo_rest_call *call, struct flo_err *err)
{
    const char *role = flo_rest_text_in(call, "role", NULL);
    struct person person = {.name = ""};

    FLO_TRY(find(call, &person, err));
    FLO_TRY(is_somebody_else(call, person.name, err));
    person.is_disabled = flo_rest_flag_in(call, "disabled", person.is_disabled);
    if (role != NULL) {
        snprintf(person.role, sizeof(person.role), "%s", role);
    }
    FLO_TRY(flo_fleet_person_put(call->controller->store,
                                 &(struct flo_fleet_person){.name = person.name,
                                                            .role = person.role,
                                                            .is_disabled = person.is_disabled},
                                 err));
    FLO_TRY(take_tokens(call, &person, err));
    return show(call, person.name, err);
}

int flo_rest_user_delete(struct flo_rest_call *call, struct flo_err *err)
{
    const char *name = flo_httpd_param(call->request, "id");
    struct flo_err absent = {0};
    struct person person = {.name = ""};
    int rv = find(call, &person, &absent);

    /* The person may be missing only because the row's seal is invalid; such a
     * row can be deleted. */
    if (rv < 0 && rv != FLO_E_ABSENT) {
        *err = absent;
        return rv;
    }
    FLO_TRY(is_somebody_else(call, name, err));
    call->out = json_pack("{s:s}", "name", name);
    return flo_fleet_person_delete(call->controller->store, name, err);
}

/* ---- the caller ---- */

static int take_me(void *context, const struct flo_fleet_token *token)
{
    struct flo_rest_call *call = context;

    call->out = json_pack("{s:s,s:s,s:o,s:s,s:I}", "token", token->id, "name", token->name, "user",
                          flo_rest_view_user(token), "role", token->role, "expires_at_ms",
                          (json_int_t)token->expires_at_ms);
    return 0;
}

int flo_rest_me(struct flo_rest_call *call, struct flo_err *err)
{
    return flo_fleet_token_get(call->controller->store, call->token_id, NULL, take_me, call, err);
}
