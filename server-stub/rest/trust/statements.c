/* REST: trusted keys, statements signed by root keys, and the statement of each
 * device. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/trust/newest.h"
#include "server-stub/state/trust/trust.h"

#define CHECKED_MAX 64 /* number of the newest releases whose signatures are checked */
#define ANSWER_BYTES_MAX (1u << 20)

int flo_rest_trust(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    flo_trust_text(call->controller->trust, &text);
    return text.failed ? flo_fail(err, FLO_E_MEMORY, "trust")
                       : flo_json_parse(text.data, text.bytes, 1 << 20, &call->out, err);
}

/* ---- publish ---- */

struct checked {
    const struct flo_rest_call *call;
    json_t *titles;
    size_t count;
};

static int check_release(void *context, const struct flo_fleet_release *release)
{
    struct checked *checked = context;
    struct flo_controller *controller = checked->call->controller;
    char title[2 * FLO_NAME_MAX + 2];

    if (strcmp(release->state, "published") != 0 || checked->count++ >= CHECKED_MAX) {
        return 0;
    }
    if (flo_trust_check_release(controller, release->digest, NULL) < 0) {
        snprintf(title, sizeof(title), "%s@%s", release->model, release->version);
        json_array_append_new(checked->titles, json_string(title));
    }
    return 0;
}

int flo_rest_trust_publish(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    struct checked checked = {.call = call, .titles = json_array()};
    size_t bytes;
    const char *body = flo_httpd_body(call->request, &bytes);
    bool is_news = false;
    int rv = flo_trust_publish(controller, body != NULL ? body : "", bytes, &is_news, err);

    if (rv == 0) {
        rv = flo_fleet_release_list(controller->store, check_release, &checked, err);
    }
    call->status = is_news ? 201 : 200;
    call->out =
        json_pack("{s:I,s:I,s:s,s:o}", "number", (json_int_t)flo_trust_number(controller->trust),
                  "epoch", (json_int_t)flo_trust_epoch(controller->trust), "order_key",
                  flo_key_public(flo_pki_order_key(controller->pki))->keyid, "untrusted_releases",
                  checked.titles);
    return rv;
}

int flo_rest_trust_order_key(struct flo_rest_call *call, struct flo_err *err)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX] = "";
    char keyid[FLO_KEYID_TEXT] = "";
    int rv = flo_trust_order_key(call->controller, pem, keyid, err);

    call->out = json_pack("{s:s,s:s}", "keyid", keyid, "pem", pem);
    return rv;
}

/* ---- bundles ---- */

int flo_rest_trust_bundle(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) envelope = {0};
    const json_t *releases = json_object_get(call->in, "releases");
    uint64_t days = flo_rest_number_in(call, "days", FLO_NEWEST_DAYS);
    struct flo_newest newest;
    json_t *json;

    for (size_t i = 0; i < json_array_size(releases); i++) {
        FLO_TRY(flo_trust_check_release(call->controller,
                                        json_string_value(json_array_get(releases, i)), err));
    }
    FLO_TRY(flo_newests_bundle(call->controller, releases, days, &newest, &envelope, err));
    FLO_TRY(flo_json_parse(envelope.data, envelope.bytes, envelope.bytes, &json, err));
    call->out =
        json_pack("{s:o,s:I}", "newest", json, "expires_at_ms", (json_int_t)newest.expires_at_ms);
    return 0;
}

/* ---- status ---- */

struct told {
    json_t *list;
    uint64_t number, devices, behind;
};

static int add_number(void *context, uint64_t number, uint64_t devices)
{
    struct told *told = context;

    told->devices += devices;
    told->behind += number < told->number ? devices : 0;
    json_array_append_new(told->list, json_pack("{s:I,s:I}", "number", (json_int_t)number,
                                                "devices", (json_int_t)devices));
    return 0;
}

int flo_rest_trust_status(struct flo_rest_call *call, struct flo_err *err)
{
    const struct flo_trust *trust = call->controller->trust;
    struct told told = {.list = json_array(), .number = flo_trust_number(trust)};
    int rv = flo_fleet_device_trusts(call->controller->store, add_number, &told, err);

    call->out = json_pack("{s:I,s:I,s:b,s:I,s:I,s:o}", "number", (json_int_t)told.number, "epoch",
                          (json_int_t)flo_trust_epoch(trust), "signed",
                          (int)flo_trust_is_signed(trust), "devices", (json_int_t)told.devices,
                          "behind", (json_int_t)told.behind, "numbers", told.list);
    return rv;
}

/* ---- devices and people read them ---- */

static int after_of(const struct flo_httpd_request *request, uint64_t *out, struct flo_err *err)
{
    const char *text = flo_httpd_query(request, "after");
    char *end = NULL;

    *out = 0;
    if (text == NULL) {
        return 0;
    }
    if (text[0] >= '0' && text[0] <= '9') {
        *out = strtoull(text, &end, 10);
    }
    return end != NULL && *end == '\0' && *out <= INT64_MAX
               ? 0
               : flo_fail(err, FLO_E_REST_SCHEMA, "after: `%.40s` is no number of a statement",
                          text);
}

static void on_statements(void *context, struct flo_httpd_request *request)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_rest *rest = context;
    struct flo_err err = {0};
    const char *device = flo_httpd_peer_name(request);
    uint64_t after;

    rest->requests++;
    int rv = flo_rest_may_read(rest->controller, request, &err);
    if (rv == 0) {
        rv = flo_rest_query_check(request, "after", &err);
    }
    if (rv == 0) {
        rv = after_of(request, &after, &err);
    }
    if (rv == 0) {
        rv = flo_trust_statements_text(rest->controller, after, false, ANSWER_BYTES_MAX, &text,
                                       &err);
    }
    if (rv == 0 && device != NULL) { /* a device hears of silence on the broker's side */
        text.bytes--;                /* the brace that ends the object */
        (void)flo_newests_add(rest->controller->newests, true, device, &text);
        flo_buf_text(&text, "}");
        rv = text.failed ? flo_fail(&err, FLO_E_MEMORY, "trust statements") : 0;
    }
    if (rv < 0) {
        flo_httpd_answer_err(request, &err);
        return;
    }
    flo_httpd_add_header(request, "Cache-Control", "no-cache");
    flo_httpd_answer(request, 200, "application/json", text.data, text.bytes);
}

int flo_rest_statements_open(struct flo_rest *rest, struct flo_err *err)
{
    return flo_rest_stream_open(rest, FLO_STREAM_STATEMENTS, on_statements, err);
}
