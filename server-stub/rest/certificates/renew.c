/* REST: a device renews its certificate.
 *
 * Its present certificate authenticates it, without a token.  The listener
 * accepts expired certificates for this path only, so that a device that was in
 * storage is not lost. */
#include <string.h>

#include <flotilla/errors/certificate.h>
#include <flotilla/errors/device.h>
#include <flotilla/errors/rest.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/devices/devices.h"
#include "server-stub/state/devices/twins.h"
#include "server-stub/state/pki/pki.h"

#define AUTHORITIES_MAX 16 /* largest number of authorities that a device may name */

struct shown {
    bool is_known;
    char device[37];
    enum flo_certificate_state state;
    uint64_t until_ms;
};

static int take_shown(void *context, const struct flo_fleet_certificate *one)
{
    struct shown *shown = context;

    shown->is_known = true;
    snprintf(shown->device, sizeof(shown->device), "%s", one->device);
    shown->state = one->state;
    shown->until_ms = one->until_ms;
    return 0;
}

static int look(struct flo_controller *controller, const struct flo_httpd_peer *peer,
                struct shown *out, struct flo_err *err)
{
    int rv = flo_fleet_certificate_get(controller->store, peer->serial, take_shown, out, err);

    /* The certificate is unknown, because it is newer than the restored
     * backup. */
    if (rv == FLO_E_ABSENT) {
        return 0;
    }
    FLO_TRY(rv);
    return strcmp(out->device, peer->name) != 0
               ? flo_fail(err, FLO_E_CERT_REVOKED, "the certificate is of another device")
               : 0;
}

/* Keeps only the certificate of an unknown device, because the refused renewal
 * itself is rolled back. */
static int keep_unknown(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pem = {0};

    FLO_TRY(flo_httpd_peer_pem(call->request, &pem, err));
    flo_controller_cancel(controller);
    FLO_TRY(flo_controller_begin(controller, err));
    FLO_TRY(flo_devices_unknown(controller, &pem, flo_httpd_peer_address(call->request), err));
    return flo_controller_commit(controller, err);
}

static int may_renew(struct flo_rest_call *call, const struct flo_httpd_peer *peer,
                     struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    const struct flo_controller_options *options = &controller->options;
    struct flo_certificate_ask ask = {.is_out_of_date = peer->is_out_of_date,
                                      .now_ms = flo_wall_ms(),
                                      .life_ms = options->certificate_life_ms,
                                      .grace_ms = options->certificate_grace_ms};
    struct shown shown = {0};
    struct flo_err absent = {0};
    uint64_t since_ms = ask.now_ms - ask.life_ms / 12;

    FLO_TRY(flo_fleet_device_is_active(controller->store, peer->name, &ask.is_active, err));
    ask.is_absent = !ask.is_active && flo_fleet_device_get(controller->store, peer->name, NULL,
                                                           NULL, &absent) == FLO_E_DEVICE_ABSENT;
    FLO_TRY(look(controller, peer, &shown, err));
    FLO_TRY(flo_fleet_certificate_count(controller->store, peer->name, since_ms, &ask.count, err));
    ask.is_known = shown.is_known;
    ask.state = shown.state;
    ask.until_ms = shown.until_ms;
    return flo_certificate_may_renew(&ask, err);
}

/* Chooses the newest authority that the device accepts, because with a
 * certificate of another one the device could not verify the controller. */
static int choose(struct flo_rest_call *call, const struct flo_authority **out, struct flo_err *err)
{
    const struct flo_pki *pki = call->controller->pki;
    json_t *known = NULL;
    const json_t *name;
    size_t i;
    int rv = flo_json_opt_array(call->in, "authorities", AUTHORITIES_MAX, &known, err);

    *out = flo_pki_oldest(pki);
    json_array_foreach(rv == 0 ? known : NULL, i, name)
    {
        const struct flo_authority *one =
            json_is_string(name) ? flo_pki_authority(pki, json_string_value(name)) : NULL;
        *out = one != NULL && one > *out ? one : *out;
    }
    return rv;
}

static int renew(struct flo_rest_call *call, const struct flo_httpd_peer *peer, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pem = {0};
    const struct flo_authority *authority = NULL;
    struct flo_certificate facts;
    const char *csr;
    int rv = flo_json_get_text(call->in, "csr", 8192, &csr, err);

    if (rv == 0) {
        rv = choose(call, &authority, err);
    }
    if (rv < 0) {
        return err->code = FLO_E_REST_SCHEMA;
    }
    FLO_TRY(may_renew(call, peer, err));
    FLO_TRY(flo_twins_may_renew(controller, peer->name, flo_rest_text_in(call, "life", ""), err));
    FLO_TRY(flo_fleet_certificate_held(controller->store, peer->name, peer->serial, err));
    FLO_TRY(flo_pki_issue(controller, authority, peer->name, csr, &pem, &facts, err));
    flo_twins_renewed(controller, peer->name, facts.serial);
    call->rest->renewals++;
    call->out =
        json_pack("{s:i,s:s,s:s,s:s,s:s%,s:I}", "v", 1, "device", peer->name, "certificate",
                  pem.data, "authority", authority->name, "ca", flo_pki_ca(controller->pki)->data,
                  flo_pki_ca(controller->pki)->bytes, "at_ms", (json_int_t)flo_wall_ms());
    return call->out != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "renewal");
}

int flo_rest_renew(struct flo_rest_call *call, struct flo_err *err)
{
    const struct flo_httpd_peer *peer = flo_httpd_peer(call->request);
    struct flo_err why = {0};

    if (peer == NULL || !flo_uuid_is_valid(peer->name)) {
        return flo_fail(err, FLO_E_REST_AUTH, "a device's certificate belongs here");
    }
    /* The device has one of the fleet's certificates, so it is known. */
    snprintf(call->token_id, sizeof(call->token_id), "%.36s", peer->name);
    snprintf(call->who, sizeof(call->who), "device %.36s", peer->name);
    if (call->in == NULL) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "a JSON body belongs here");
    }
    int rv = renew(call, peer, err);
    if (rv == FLO_E_CERT_UNKNOWN && keep_unknown(call, &why) < 0) {
        flo_log_err(FLO_LOG_ERROR, "rest", &why);
    }
    return rv;
}
