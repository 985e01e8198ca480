/* REST: tokens, publishers' keys, and the audit chain. */
#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"

#include "server-stub/core/oidc/oidc.h"
#include "server-stub/rest/rest.h"
#include "server-stub/state/addresses.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/pki/pki.h"

#define DAY_MS (UINT64_C(24) * 3600 * 1000)

/* ---- tokens ---- */

static int make_enrol(struct flo_rest_call *call, uint64_t ttl_ms, struct flo_err *err)
{
    uint8_t random[17];
    uint8_t id_bytes[6];
    char id[FLO_TOKEN_ID_TEXT];
    char text[FLO_TOKEN_TEXT];
    const char *group = flo_rest_text_in(call, "group", "all");
    uint64_t uses = flo_rest_number_in(call, "uses", 1);
    char url[512];

    flo_random(random, sizeof(random));
    flo_random(id_bytes, sizeof(id_bytes));
    flo_hex_encode(id_bytes, sizeof(id_bytes), id);
    flo_enrol_token_text(random, &flo_pki_oldest(call->controller->pki)->fingerprint, text);
    struct flo_fleet_token token = {.id = id,
                                    .kind = "enroll",
                                    .name = call->name,
                                    .role = "",
                                    .group = group,
                                    .uses_left = uses,
                                    .created_at_ms = flo_wall_ms(),
                                    .expires_at_ms = flo_wall_ms() + ttl_ms};
    flo_sha256(text, strlen(text), &token.secret);
    FLO_TRY(flo_groups_may_enrol(call->controller, group, err));
    FLO_TRY(flo_fleet_token_add(call->controller->store, &token, err));
    flo_address_url(url, "https", call->controller->addresses.public,
                    call->controller->addresses.port_devices);
    call->out = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:s}", "id", id, "kind", "enroll", "token",
                          text, "group", group, "uses", (json_int_t)uses, "expires_at_ms",
                          (json_int_t)token.expires_at_ms, "controller", url);
    return 0;
}

struct owner {
    char role[FLO_GRANTS_TEXT];
    bool is_disabled;
};

static int take_owner(void *context, const struct flo_fleet_person *person)
{
    struct owner *owner = context;

    snprintf(owner->role, sizeof(owner->role), "%s", person->role);
    owner->is_disabled = person->is_disabled;
    return 0;
}

/* Checks that a user's token permits no more than the user may do. */
static int check_owner(const struct owner *owner, const char *user, const char *role,
                       struct flo_err *err)
{
    struct flo_grants more;
    struct flo_grants less;

    if (owner->is_disabled) {
        return flo_fail(err, FLO_E_STATE, "user %s is disabled", user);
    }
    if (flo_grants_parse(owner->role, &more) && flo_grants_parse(role, &less) &&
        flo_grants_include(&more, &less)) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_MEANING, "user %s has %s: its token cannot have %s", user, owner->role,
             role);
    flo_err_at(err, "/role");
    return FLO_E_REST_MEANING;
}

static int role_of(struct flo_rest_call *call, const char *user, char *role, struct flo_err *err)
{
    const char *given = flo_rest_text_in(call, "role", NULL);
    struct owner owner = {.role = ""};
    int rv = 0;

    if (user != NULL) {
        rv = flo_fleet_person_get(call->controller->store, user, take_owner, &owner, err);
    } else if (given == NULL) {
        flo_fail(err, FLO_E_REST_MEANING, "a token has a role, or that of its user");
        flo_err_at(err, "/role");
        return FLO_E_REST_MEANING;
    }
    snprintf(role, FLO_GRANTS_TEXT, "%s", given != NULL ? given : owner.role);
    FLO_TRY(rv);
    return user == NULL ? rv : check_owner(&owner, user, role, err);
}

static int make_access(struct flo_rest_call *call, uint64_t ttl_ms, struct flo_err *err)
{
    char id[FLO_TOKEN_ID_TEXT];
    char text[FLO_TOKEN_TEXT];
    char role[FLO_GRANTS_TEXT];
    const char *user = flo_rest_text_in(call, "user", NULL);
    struct flo_fleet_token spec = {.id = id,
                                   .name = flo_rest_text_in(call, "name", ""),
                                   .role = role,
                                   .person = user,
                                   .expires_at_ms = flo_wall_ms() + ttl_ms};

    FLO_TRY(role_of(call, user, role, err));
    FLO_TRY(flo_token_make(call->controller, &spec, id, text, err));
    call->out = json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:I}", "id", id, "kind", "access", "token",
                          text, "role", role, "name", spec.name, "user",
                          user != NULL ? json_string(user) : json_null(), "expires_at_ms",
                          (json_int_t)spec.expires_at_ms);
    return 0;
}

int flo_rest_token_make(struct flo_rest_call *call, struct flo_err *err)
{
    bool is_enrol = strcmp(flo_rest_text_in(call, "kind", ""), "enroll") == 0;
    uint64_t ttl_ms = flo_rest_number_in(call, "ttl_ms", is_enrol ? DAY_MS : 90 * DAY_MS);

    return is_enrol ? make_enrol(call, ttl_ms, err) : make_access(call, ttl_ms, err);
}

static uint64_t newer(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

json_t *flo_rest_view_user(const struct flo_fleet_token *token)
{
    return token->person[0] != '\0' && !flo_oidc_is_account(token->person)
               ? json_string(token->person)
               : json_null();
}

json_t *flo_rest_view_token(const struct flo_rest *rest, const struct flo_fleet_token *token)
{
    json_t *json =
        json_pack("{s:s,s:s,s:s,s:I,s:I,s:b}", "id", token->id, "kind", token->kind, "name",
                  token->name, "created_at_ms", (json_int_t)token->created_at_ms, "expires_at_ms",
                  (json_int_t)token->expires_at_ms, "sealed", token->is_sealed);

    if (strcmp(token->kind, "enroll") == 0) {
        json_object_set_new(json, "group", json_string(token->group));
        json_object_set_new(json, "uses_left", json_integer((json_int_t)token->uses_left));
        return json;
    }
    uint64_t used_ms = newer(token->used_at_ms, flo_rest_used_at_ms(rest, token->id));
    json_object_set_new(json, "role", json_string(token->role));
    json_object_set_new(json, "user", flo_rest_view_user(token));
    if (flo_oidc_is_account(token->person)) {
        json_object_set_new(json, "kind", json_string("session"));
    }
    json_object_set_new(json, "last_used_at_ms", json_integer((json_int_t)used_ms));
    return json;
}

struct token_page {
    struct flo_rest_page page;
    const struct flo_rest *rest;
};

static int add_token(void *context, const struct flo_fleet_token *token)
{
    struct token_page *list = context;
    struct flo_rest_page *page = &list->page;

    if (!flo_rest_page_takes(page)) {
        return 0;
    }
    json_array_append_new(page->items, flo_rest_view_token(list->rest, token));
    if (flo_rest_page_is_full(page)) {
        snprintf(page->last, sizeof(page->last), "%llu.%s",
                 (unsigned long long)token->created_at_ms, token->id);
    }
    return 0;
}

int flo_rest_tokens(struct flo_rest_call *call, struct flo_err *err)
{
    struct token_page list = {
        .page = {.items = json_array(), .limit = flo_rest_number(call, "limit", 1000)},
        .rest = call->rest};
    char id[FLO_CURSOR_TEXT];
    uint64_t at_ms;
    int rv = flo_rest_cursor(call, '.', id, &at_ms, err);

    if (rv == 0) {
        rv = flo_fleet_token_list(call->controller->store, at_ms > 0 ? at_ms : FLO_FLEET_ALL, id,
                                  list.page.limit + 1, add_token, &list, err);
    }
    flo_rest_page_end(call, &list.page);
    return rv;
}

int flo_rest_token_delete(struct flo_rest_call *call, struct flo_err *err)
{
    const char *id = flo_httpd_param(call->request, "id");

    /* A caller cannot delete the token of the request, so that nobody locks
     * everybody out. */
    if (strcmp(id, call->token_id) == 0) {
        flo_fail(err, FLO_E_STATE, "token %s is the one of this request", id);
        return flo_err_fix(err, "log in with another token, then delete it");
    }
    call->out = json_pack("{s:s}", "id", id);
    return flo_fleet_token_delete(call->controller->store, id, err);
}

/* ---- audit ---- */

struct audit_list {
    json_t *items;
    uint64_t last;
};

static int add_record(void *context, const struct flo_audit_record *record,
                      const struct flo_digest *hash)
{
    struct audit_list *list = context;
    char hex[FLO_DIGEST_TEXT];

    flo_digest_text(hash, hex);
    list->last = record->number;
    json_array_append_new(
        list->items, json_pack("{s:I,s:I,s:s,s:s,s:s,s:s,s:s,s:s}", "number",
                               (json_int_t)record->number, "at_ms", (json_int_t)record->at_ms,
                               "who", record->who, "what", record->what, "object", record->object,
                               "result", record->result, "detail", record->detail, "hash", hex));
    return 0;
}

int flo_rest_audit(struct flo_rest_call *call, struct flo_err *err)
{
    const char *order = flo_httpd_query(call->request, "order");
    bool is_newest = order != NULL;
    struct audit_list list = {.items = json_array()};
    uint64_t from = flo_rest_number(call, "cursor", is_newest ? INT64_MAX : 0);
    uint64_t limit = flo_rest_number(call, "limit", 1000);
    char next[32];
    int rv = (is_newest ? flo_fleet_audit_newest : flo_fleet_audit_list)(
        call->controller->store, from, limit, add_record, &list, err);
    snprintf(next, sizeof(next), "%llu",
             (unsigned long long)(is_newest ? list.last - 1 : list.last + 1));
    bool more = json_array_size(list.items) == limit;
    call->out = flo_rest_list(list.items, more ? next : NULL);
    return rv;
}
