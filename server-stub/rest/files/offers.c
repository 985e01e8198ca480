/* REST: checks what a device may fetch, so that a stolen key gives access only
 * to models meant for that device. */
#include <string.h>

#include <flotilla/errors/blob.h>

#include "server-stub/rest/files/offers.h"
#include "server-stub/state/audit/audit.h"

#define REFUSED_MS 600000 /* pause between two audit records about refused requests of a device */

/* Tells whether this device got an audit record within the last ten minutes, so
 * that many refused requests do not fill the audit. */
static bool is_told_already(struct flo_rest *rest, const char *device)
{
    uint64_t now_ms = flo_now_ms();

    for (size_t i = 0; i < FLO_COUNT(rest->refused); i++) {
        if (strcmp(rest->refused[i].device, device) == 0 &&
            now_ms < rest->refused[i].at_ms + REFUSED_MS) {
            return true;
        }
    }
    size_t at = rest->refused_next++ % FLO_COUNT(rest->refused);
    snprintf(rest->refused[at].device, sizeof(rest->refused[at].device), "%.36s", device);
    rest->refused[at].at_ms = now_ms;
    return false;
}

static void audit_refusal(struct flo_rest *rest, const char *device, const char *digest,
                          const char *what)
{
    struct flo_controller *controller = rest->controller;
    struct flo_err err = {0};
    char who[64];

    if (is_told_already(rest, device)) {
        return;
    }
    snprintf(who, sizeof(who), "device %.36s", device);
    int rv = flo_controller_begin(controller, &err);
    if (rv == 0) {
        rv = flo_controller_audit(controller, who, "blob.get", digest,
                                  flo_error_id(FLO_E_BLOB_OFFER), what, &err);
        if (rv == 0) {
            rv = flo_controller_commit(controller, &err);
        }
        if (rv < 0) {
            flo_controller_cancel(controller);
        }
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "blobs", &err);
    }
}

int flo_rest_may_fetch(struct flo_rest *rest, struct flo_httpd_request *request,
                       const struct flo_digest *digest, bool is_envelope, struct flo_err *err)
{
    struct flo_fleet_store *store = rest->controller->store;
    const char *device = flo_httpd_peer_name(request);
    char text[FLO_DIGEST_TEXT];
    bool is_offered = false;

    if (flo_httpd_listener_tag(request) == FLO_TAG_PEOPLE) {
        return 0;
    }
    flo_digest_text(digest, text);
    FLO_TRY(is_envelope ? flo_fleet_offers_release(store, device, text, &is_offered, err)
                        : flo_fleet_offers_artifact(store, device, text, &is_offered, err));
    if (is_offered) {
        return 0;
    }
    audit_refusal(rest, device, text, is_envelope ? "envelope" : "artifact");
    return flo_fail(err, FLO_E_BLOB_OFFER, "device %.36s was not offered %s", device, text);
}
