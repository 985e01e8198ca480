/* REST: emergency orders, which the controller forwards and shows. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/trust/trust.h"

#define ACCOUNT_DAYS 825
#define SHOWN_MAX 50

/* ---- carry ---- */

static int carry(struct flo_rest_call *call, const json_t *orders, json_t *ids, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < json_array_size(orders); i++) {
        bool is_news;
        rv = flo_emergency_seen(call->controller, json_array_get(orders, i), &is_news, err);
        json_array_append_new(ids, json_boolean(is_news));
    }
    return rv;
}

int flo_rest_emergency_carry(struct flo_rest_call *call, struct flo_err *err)
{
    const json_t *orders = json_object_get(call->in, "orders");
    json_t *news = json_array();
    int rv = carry(call, orders, news, err);

    call->out = json_pack("{s:i,s:o}", "orders", (int)json_array_size(orders), "news", news);
    return rv;
}

/* ---- show ---- */

/* Returns the signed body of an emergency order; "" when the controller never
 * saw the order. */
static json_t *body_of(const char *envelope)
{
    struct flo_envelope parts = {0};
    json_t *json = NULL;

    if (envelope[0] == '\0' ||
        flo_envelope_parse(envelope, strlen(envelope), FLO_TYPE_ORDER, &parts, NULL) < 0 ||
        flo_json_parse(parts.body, parts.body_bytes, FLO_ORDER_BYTES_MAX, &json, NULL) < 0) {
        json = NULL;
    }
    flo_envelope_deinit(&parts);
    return json;
}

static int add_emergency(void *context, const struct flo_fleet_emergency *emergency)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *body = body_of(emergency->envelope);
    json_t *answers = json_object();
    json_t *args = json_object_get(body, "args");
    json_t *model = json_object_get(args, "model");
    json_t *item;

    for (int i = FLO_OUTCOME_RUNNING; i <= FLO_OUTCOME_SUPERSEDED; i++) {
        json_object_set_new(answers, flo_outcome_word((enum flo_order_outcome)i),
                            json_integer((json_int_t)emergency->outcomes[i]));
    }
    item =
        json_pack("{s:s,s:s,s:b,s:I,s:I,s:I,s:o}", "id", emergency->id, "op", emergency->op, "seen",
                  emergency->envelope[0] != '\0', "issued_at_ms", (json_int_t)emergency->seq,
                  "expires_at_ms", (json_int_t)emergency->expires_at_ms, "heard_at_ms",
                  (json_int_t)emergency->heard_at_ms, "answers", answers);
    if (item != NULL && json_is_string(model)) {
        json_object_set(item, "model", model);
    }
    json_array_append_new(context, item);
    return 0;
}

int flo_rest_emergencies(struct flo_rest_call *call, struct flo_err *err)
{
    json_t *items = json_array();
    int rv =
        flo_fleet_emergencies(call->controller->store, false, SHOWN_MAX, add_emergency, items, err);

    call->out = flo_rest_list(items, NULL);
    return rv;
}

/* ---- the broker's account ---- */

int flo_rest_emergency_account(struct flo_rest_call *call, struct flo_err *err)
{
    const struct flo_controller *controller = call->controller;
    const struct flo_pki *pki = controller->pki;
    const struct flo_authority *authority = flo_pki_newest(pki);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pem = {0};
    const char *csr = flo_rest_text_in(call, "csr", "");
    struct flo_certificate_spec spec = {
        .common_name = FLO_EMERGENCY_CLIENT, .days = ACCOUNT_DAYS, .is_client = true};
    char topic[FLO_TOPIC_TEXT];

    FLO_TRY(flo_clock_signs(call->controller, err));
    int rv = flo_topic_build(FLO_TOPIC_EMERGENCY, controller->fleet, "", topic, err);

    if (rv == 0) {
        rv = flo_certificate_issue(authority->key, authority->pem, authority->bytes, csr,
                                   strlen(csr), &spec, &pem, err);
    }
    if (rv == 0 && pem.failed) {
        rv = flo_fail(err, FLO_E_MEMORY, "certificate");
    }
    call->out =
        json_pack("{s:s,s:s%,s:s,s:s}", "certificate", rv == 0 ? (const char *)pem.data : "", "ca",
                  flo_pki_ca(pki)->data, flo_pki_ca(pki)->bytes, "mqtt", controller->addresses.mqtt,
                  "topic", topic);
    return rv;
}
