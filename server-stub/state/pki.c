/* PKI: the fleet's authority, our certificates, the order key, trust and the
 * first admin's token.
 *
 * DIR/pki/ca.{key,pem}, server.{key,pem} (chain with the authority, issued at
 * every start for the present addresses), mqtt.{key,pem} (CN controller);
 * DIR/keys/order.key; DIR/trust/release-<keyid>.pem.  With ":memory:" all keys
 * are made and kept in memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host/digest.h"

#include "server-stub/core/access/tokens.h"
#include "server-stub/state/controller.h"

#define CA_DAYS 7300
#define LEAF_DAYS 825

static bool in_memory(const struct flo_controller *controller)
{
    return strcmp(controller->dir, ":memory:") == 0;
}

static int path_of(const struct flo_controller *controller, const char *name,
                   char *out, struct flo_err *err)
{
    return flo_path_join(out, 4096, controller->dir, name)
               ? 0
               : flo_fail(err, FLO_E_IO_OPEN, "path %s/%s is too long",
                          controller->dir, name);
}

/* The key of a file; made when there is none. */
static int key_of(const struct flo_controller *controller, const char *name,
                  char *path, struct flo_key **out, struct flo_err *err)
{
    int rv;

    if (in_memory(controller)) {
        return flo_key_generate(out, err);
    }
    if ((rv = path_of(controller, name, path, err)) < 0) {
        return rv;
    }
    rv = flo_key_load(path, out, err);
    if (rv != FLO_E_ABSENT) {
        return rv;
    }
    if ((rv = flo_key_generate(out, err)) < 0) {
        return rv;
    }
    if ((rv = flo_key_save(*out, path, err)) < 0) {
        flo_key_free(*out);
        *out = NULL;
    }
    return rv;
}

static int authority_make(struct flo_controller *controller,
                          struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pem = {0};
    char name[FLO_NAME_MAX + 1];
    int rv;

    snprintf(name, sizeof(name), "Flotilla %.50s", controller->fleet);
    struct flo_certificate_wish wish = {.common_name = name, .days = CA_DAYS};
    rv = flo_authority_make(controller->pki.ca_key, &wish, &pem, err);
    if (rv == 0 && !in_memory(controller)) {
        rv = flo_file_write(controller->pki.ca_file, pem.data, pem.bytes, 0644,
                            err);
    }
    if (rv == 0) {
        controller->pki.ca_pem = pem.data;
        controller->pki.ca_bytes = pem.bytes;
        pem = (struct flo_buf){0};
    }
    return rv;
}

static int authority_open(struct flo_controller *controller,
                          struct flo_err *err)
{
    struct flo_pki *pki = &controller->pki;
    struct flo_certificate certificate;
    char path[4096];
    int rv = key_of(controller, "pki/ca.key", path, &pki->ca_key, err);

    if (rv == 0 && !in_memory(controller)) {
        rv = path_of(controller, "pki/ca.pem", pki->ca_file, err);
        if (rv == 0) {
            rv = flo_file_read(pki->ca_file, FLO_PEM_BYTES_MAX, &pki->ca_pem,
                               &pki->ca_bytes, err);
        }
    } else if (rv == 0) {
        rv = FLO_E_ABSENT;
    }
    if (rv == FLO_E_ABSENT) {
        rv = authority_make(controller, err);
    }
    if (rv == 0) {
        rv =
            flo_certificate_read(pki->ca_pem, pki->ca_bytes, &certificate, err);
    }
    if (rv == 0) {
        pki->ca_fingerprint = certificate.fingerprint;
    }
    return rv;
}

/* Host names and addresses of the server certificate. */
struct hosts {
    const char *dns[8];
    size_t dns_count;
    const char *addresses[8];
    size_t address_count;
};

static void hosts_add(struct hosts *hosts, const char *host)
{
    bool is_address = strspn(host, "0123456789.") == strlen(host) ||
                      strchr(host, ':') != NULL;
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

static int leaf_make(struct flo_controller *controller, struct flo_key *key,
                     const struct flo_certificate_wish *wish, const char *path,
                     struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pem = {0};
    struct flo_pki *pki = &controller->pki;
    int rv = flo_certificate_issue_for(pki->ca_key, pki->ca_pem, pki->ca_bytes,
                                       flo_key_public(key), wish, &pem, err);

    if (rv < 0) {
        return rv;
    }
    /* The chain holds the authority: devices that enrol know only its
     * fingerprint. */
    flo_buf_add(&pem, pki->ca_pem, pki->ca_bytes);
    if (pem.failed) {
        return flo_fail(err, FLO_E_MEMORY, "certificate");
    }
    return flo_file_write(path, pem.data, pem.bytes, 0644, err);
}

static int leaves_open(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_pki *pki = &controller->pki;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *server = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *mqtt = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *lane = NULL;
    struct hosts hosts = {0};
    int rv = key_of(controller, "pki/server.key", pki->server_key_file, &server,
                    err);

    if (rv == 0) {
        rv = key_of(controller, "pki/mqtt.key", pki->mqtt_key_file, &mqtt, err);
    }
    if (rv == 0) {
        rv = key_of(controller, "pki/telemetry.key", pki->lane_key_file, &lane,
                    err);
    }
    if (rv < 0 ||
        (rv = path_of(controller, "pki/server.pem", pki->server_cert_file,
                      err)) < 0 ||
        (rv = path_of(controller, "pki/mqtt.pem", pki->mqtt_cert_file, err)) <
            0 ||
        (rv = path_of(controller, "pki/telemetry.pem", pki->lane_cert_file,
                      err)) < 0) {
        return rv;
    }
    hosts_add(&hosts, "localhost");
    hosts_add(&hosts, "127.0.0.1");
    hosts_add(&hosts, controller->addresses.people);
    hosts_add(&hosts, controller->addresses.devices);
    hosts_add(&hosts, controller->addresses.public);
    struct flo_certificate_wish wish = {.common_name = "flotilla-controller",
                                        .days = LEAF_DAYS,
                                        .is_server = true,
                                        .dns = hosts.dns,
                                        .dns_count = hosts.dns_count,
                                        .addresses = hosts.addresses,
                                        .address_count = hosts.address_count};
    rv = leaf_make(controller, server, &wish, pki->server_cert_file, err);
    if (rv == 0) {
        struct flo_certificate_wish client = {
            .common_name = "controller", .days = LEAF_DAYS, .is_client = true};
        rv = leaf_make(controller, mqtt, &client, pki->mqtt_cert_file, err);
        client.common_name = FLO_LANE_CLIENT;
        if (rv == 0) {
            rv = leaf_make(controller, lane, &client, pki->lane_cert_file, err);
        }
    }
    return rv;
}

static int order_key_open(struct flo_controller *controller,
                          struct flo_err *err)
{
    struct flo_pki *pki = &controller->pki;
    char path[4096];
    int rv = key_of(controller, "keys/order.key", path, &pki->order_key, err);

    if (rv == 0) {
        flo_public_key_pem(flo_key_public(pki->order_key),
                           pki->order_public_pem);
    }
    return rv;
}

/* A key that enrolled devices know is never made again.  With another key the
 * devices would take no order, and each of them would have to be enrolled
 * again. */
static int check_known(const struct flo_controller *controller,
                       struct flo_err *err)
{
    static const char *const names[] = {"pki/ca.key", "pki/ca.pem",
                                        "keys/order.key"};
    size_t count = FLO_COUNT(names) - controller->options.makes_order_key;
    struct flo_fleet_device_count found;
    char path[4096];
    int rv = flo_fleet_device_counts(controller->store, &found, err);

    for (size_t i = 0; i < count && rv == 0 && found.devices > 0; i++) {
        rv = path_of(controller, names[i], path, err);
        if (rv == 0 && access(path, F_OK) < 0 && errno == ENOENT) {
            rv = flo_fail(err, FLO_E_KEYS_ABSENT,
                          "%s is not there, and %llu devices know it", path,
                          (unsigned long long)found.devices);
        }
    }
    return rv;
}

int flo_pki_open(struct flo_controller *controller, struct flo_err *err)
{
    static const char *const folders[] = {"pki", "keys", "trust", "blobs",
                                          "mosquitto"};
    char path[4096];
    int rv = in_memory(controller) ? 0 : check_known(controller, err);

    if (rv < 0) {
        return rv;
    }

    for (size_t i = 0; i < FLO_COUNT(folders) && !in_memory(controller); i++) {
        if ((rv = path_of(controller, folders[i], path, err)) < 0 ||
            (rv = flo_dir_make(path, 0700, err)) < 0) {
            return rv;
        }
    }
    if ((rv = authority_open(controller, err)) < 0 ||
        (rv = order_key_open(controller, err)) < 0) {
        return flo_wrap(err, rv, "keys");
    }
    return in_memory(controller) ? 0 : leaves_open(controller, err);
}

void flo_pki_close(struct flo_pki *pki)
{
    free(pki->ca_pem);
    flo_key_free(pki->ca_key);
    flo_key_free(pki->order_key);
}

/* ---- tokens ---- */

int flo_token_make(struct flo_controller *controller,
                   const struct flo_fleet_token *wish, char *id, char *out,
                   struct flo_err *err)
{
    uint8_t random[38];
    struct flo_fleet_token token = *wish;

    flo_random(random, sizeof(random));
    flo_access_token_text(random, id, out);
    flo_secret_wipe(random, sizeof(random));
    token.id = id;
    token.kind = "access";
    token.group = "";
    token.created_at_ms = flo_wall_ms();
    flo_sha256(out, strlen(out), &token.secret);
    return flo_fleet_token_add(controller->store, &token, err);
}

int flo_pki_admin_token(struct flo_controller *controller, struct flo_err *err)
{
    char id[FLO_TOKEN_ID_TEXT];
    char text[FLO_TOKEN_TEXT + 1];
    char path[4096];
    char made[8];
    struct flo_fleet_token wish = {.name = "admin", .role = "admin"};
    int rv = flo_fleet_setting_get(controller->store, "admin", made,
                                   sizeof(made), err);

    if (rv < 0 || made[0] != '\0' || in_memory(controller)) {
        return rv;
    }
    if ((rv = path_of(controller, "admin.token", path, err)) < 0 ||
        (rv = flo_token_make(controller, &wish, id, text, err)) < 0) {
        return rv;
    }
    strcat(text, "\n");
    rv = flo_file_write(path, text, strlen(text), 0600, err);
    flo_secret_wipe(text, sizeof(text));
    return rv < 0 ? rv
                  : flo_fleet_setting_set(controller->store, "admin", "1", err);
}
