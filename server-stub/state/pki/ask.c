/* Ask: finds devices that must renew their certificates, and asks them. */
#include <string.h>

#include "proto/lifetime.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/memory.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/proofs/proofs.h"
#include "server-stub/state/text_list.h"

#define PAUSE_MS_MIN 1000
#define PAUSE_MS_MAX 60000

uint64_t flo_pki_ask_pause_ms(const struct flo_controller *controller)
{
    uint64_t pause_ms = controller->options.certificate_life_ms / 200;

    return pause_ms < PAUSE_MS_MIN   ? PAUSE_MS_MIN
           : pause_ms > PAUSE_MS_MAX ? PAUSE_MS_MAX
                                     : pause_ms;
}

/* Returns whether devices accept the newest authority. If the trust statement
 * lists authorities, devices accept only those listed. */
static bool is_newest_known(const struct flo_controller *controller)
{
    const struct flo_trust *trust = controller->trust;
    const struct flo_authority *newest = flo_pki_newest(controller->pki);
    size_t count = flo_trust_ca_count(trust);

    for (size_t i = 0; i < count; i++) {
        const char *pem = flo_trust_ca(trust, i);
        struct flo_certificate facts;
        if (flo_certificate_read(pem, strlen(pem), &facts, NULL) == 0 &&
            flo_digest_equal(&facts.fingerprint, &newest->fingerprint)) {
            return true;
        }
    }
    return count == 0;
}

struct asking {
    struct flo_controller *controller;
    uint64_t now_ms;
    bool is_rolled; /* certificates of older authorities are to be renewed as well */
    size_t count;
    /* number of certificates that were issued before the controller kept
     * their keys */
    size_t keyless;
};

static bool is_wanted(const struct asking *asking, const struct flo_fleet_certificate *one)
{
    const struct flo_pki *pki = asking->controller->pki;
    uint64_t life_ms = one->until_ms > one->issued_at_ms ? one->until_ms - one->issued_at_ms : 0;
    bool is_ending = asking->now_ms >= one->issued_at_ms + flo_lifetime_ending_ms(life_ms);

    return is_ending || one->key[0] == '\0' ||
           (asking->is_rolled && strcmp(one->authority, flo_pki_newest(pki)->name) != 0);
}

static int ask_one(void *context, const struct flo_fleet_certificate *one)
{
    struct asking *asking = context;
    struct flo_controller *controller = asking->controller;
    struct flo_pki *pki = controller->pki;

    asking->keyless += one->key[0] == '\0';
    if (asking->count >= FLO_PKI_ASKED_MAX || strcmp(one->device, pki->asked) <= 0 ||
        !is_wanted(asking, one) || !flo_fleet_device_seems_online(controller->store, one->device)) {
        return 0;
    }
    asking->count++;
    flo_outgoing_renewal(controller, one->device);
    return 0;
}

int flo_pki_ask(struct flo_controller *controller, uint64_t now_ms, struct flo_err *err)
{
    struct flo_pki *pki = controller->pki;
    struct asking asking = {.controller = controller,
                            .now_ms = now_ms,
                            .is_rolled = pki->authority_count > 1 && is_newest_known(controller)};
    uint64_t life_ms = controller->options.certificate_life_ms;
    uint64_t ending = 0;
    char behind[37];
    while (flo_proofs_behind(controller->proofs, behind)) {
        flo_outgoing_renewal(controller, behind);
    }
    FLO_TRY(flo_fleet_certificate_ending(controller->store, FLO_CERTIFICATE_HELD, now_ms,
                                         now_ms + (life_ms - flo_lifetime_ending_ms(life_ms)),
                                         &ending, err));
    if (ending == 0 && !asking.is_rolled && !pki->has_keyless) {
        return 0;
    }
    int rv = flo_fleet_certificate_list(controller->store, FLO_CERTIFICATE_HELD, now_ms, ask_one,
                                        &asking, err);
    pki->has_keyless = asking.keyless > 0;
    snprintf(pki->asked, sizeof(pki->asked), "%s",
             asking.count < FLO_PKI_ASKED_MAX ? "" : flo_outgoing_renewal_last(controller));
    return rv;
}
