/* Leaves: certificates of the controller itself.  One is for its listeners and
 * the broker (server), two are for its MQTT clients. */
#include <string.h>
#include <unistd.h>

#include "proto/lifetime.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/pki/memory.h"
#include "server-stub/state/pki/pki.h"

/* Host names and addresses that the server certificate contains. */
struct hosts {
    const char *dns[8];
    size_t dns_count;
    const char *addresses[8];
    size_t address_count;
};

static void hosts_add(struct hosts *hosts, const char *host)
{
    bool is_address = strspn(host, "0123456789.") == strlen(host) || strchr(host, ':') != NULL;
    const char **list = is_address ? hosts->addresses : hosts->dns;
    size_t *count = is_address ? &hosts->address_count : &hosts->dns_count;

    for (size_t i = 0; i < *count; i++) {
        if (strcmp(list[i], host) == 0) {
            return;
        }
    }
    if (host[0] != '\0' && *count < 8) {
        list[(*count)++] = host;
    }
}

/* Makes a certificate for the controller itself.  Its chain includes the
 * authority, because a device that enrols knows only the authority's
 * fingerprint. */
static int leaf_make(struct flo_controller *controller, const char *key_name, char *key_file,
                     const char *name, char *file, const struct flo_certificate_spec *spec,
                     struct flo_err *err)
{
    const struct flo_authority *by = flo_pki_oldest(controller->pki);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pem = {0};
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;

    FLO_TRY(flo_pki_key(controller, key_name, key_file, &key, err));
    FLO_TRY(flo_pki_path(controller, name, file, err));
    if (flo_clock_is_leapt(controller) && access(file, F_OK) == 0) {
        return 0; /* the certificate stays as it is */
    }
    FLO_TRY(flo_clock_signs(controller, err));
    FLO_TRY(flo_certificate_issue_for(by->key, by->pem, by->bytes, flo_key_public(key), spec, &pem,
                                      err));
    flo_buf_add(&pem, by->pem, by->bytes);
    return pem.failed ? flo_fail(err, FLO_E_MEMORY, "certificate")
                      : flo_file_write(file, pem.data, pem.bytes, 0644, err);
}

int flo_pki_leaves(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_pki *pki = controller->pki;
    struct hosts hosts = {0};
    uint64_t life_ms = controller->options.certificate_life_ms;
    uint64_t now_ms = flo_wall_ms();
    bool is_leapt = flo_clock_is_leapt(controller); /* then they are due, without a time */

    pki->leaves_at_ms = is_leapt ? 0 : now_ms;
    pki->leaves_until_ms = is_leapt ? 0 : now_ms + life_ms;
    if (flo_pki_in_memory(controller)) {
        return 0;
    }
    hosts_add(&hosts, "localhost");
    hosts_add(&hosts, "127.0.0.1");
    hosts_add(&hosts, controller->addresses.people);
    hosts_add(&hosts, controller->addresses.devices);
    hosts_add(&hosts, controller->addresses.public);
    for (size_t i = 0; i < controller->options.host_name_count; i++) {
        hosts_add(&hosts, controller->options.host_names[i]);
    }
    struct flo_certificate_spec server = {.common_name = "flotilla-controller",
                                          .life_ms = life_ms,
                                          .now_ms = now_ms,
                                          .is_server = true,
                                          .dns = hosts.dns,
                                          .dns_count = hosts.dns_count,
                                          .addresses = hosts.addresses,
                                          .address_count = hosts.address_count};
    struct flo_certificate_spec client = {
        .common_name = "controller", .life_ms = life_ms, .now_ms = now_ms, .is_client = true};
    int rv = leaf_make(controller, "pki/server.key", pki->files.server_key_file, "pki/server.pem",
                       pki->files.server_cert_file, &server, err);
    if (rv == 0) {
        rv = leaf_make(controller, "pki/mqtt.key", pki->files.mqtt_key_file, "pki/mqtt.pem",
                       pki->files.mqtt_cert_file, &client, err);
    }
    client.common_name = FLO_LANE_CLIENT;
    FLO_TRY(rv);
    return leaf_make(controller, "pki/telemetry.key", pki->files.lane_key_file, "pki/telemetry.pem",
                     pki->files.lane_cert_file, &client, err);
}

int flo_pki_broker(struct flo_controller *controller, const char *host, struct flo_err *err)
{
    char key_file[4096], file[4096];
    struct hosts hosts = {0};

    hosts_add(&hosts, host);
    struct flo_certificate_spec spec = {.common_name = "flotilla-broker",
                                        .life_ms = controller->options.certificate_life_ms,
                                        .now_ms = flo_wall_ms(),
                                        .is_server = true,
                                        .dns = hosts.dns,
                                        .dns_count = hosts.dns_count,
                                        .addresses = hosts.addresses,
                                        .address_count = hosts.address_count};
    FLO_TRY(flo_clock_signs(controller, err));
    return leaf_make(controller, "broker/broker.key", key_file, "broker/broker.pem", file, &spec,
                     err);
}

bool flo_pki_leaves_are_due(const struct flo_pki *pki, uint64_t now_ms)
{
    uint64_t life_ms = pki->leaves_until_ms - pki->leaves_at_ms;

    /* Certificates are also due if the clock was set back to a time before they
     * were issued. */
    return now_ms >= pki->leaves_at_ms + flo_lifetime_due_ms(life_ms) ||
           now_ms + FLO_BACKDATED_MS < pki->leaves_at_ms;
}
