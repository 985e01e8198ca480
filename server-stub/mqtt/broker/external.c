/* External broker: writes the files for a mosquitto that somebody else starts.
 *
 * DIR/broker has its configuration, ACL, certificate and key, with paths
 * relative to that folder.  The leader writes them at its start, and again when
 * a device is retired or an authority is added or removed.  A person copies
 * them to the broker and sends it SIGHUP (docs/install.md). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/mqtt/broker/process.h"
#include "server-stub/state/addresses.h"
#include "server-stub/state/pki/pki.h"

static int write_file(const struct flo_controller *controller, const char *name,
                      const struct flo_buf *text, struct flo_err *err)
{
    char path[4096];

    if (text->failed) {
        return flo_fail(err, FLO_E_MEMORY, "%s", name);
    }
    return flo_path_join(path, sizeof(path), controller->dir, name)
               ? flo_file_write(path, text->data, text->bytes, 0600, err)
               : flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", name);
}

#define FILE_BYTES_MAX (64u << 20)
#define PORT 8883 /* port of an address that names none */

/* Splits mqtts://HOST[:PORT], where an IPv6 HOST is in brackets.  Returns false
 * for any other address, such as mqtt:// on loopback. */
static bool split(const char *url, char host[256], uint16_t *port)
{
    if (url == NULL || strncmp(url, "mqtts://", 8) != 0) {
        return false;
    }
    const char *begin = url + 8 + (url[8] == '[');
    size_t chars = strcspn(begin, url[8] == '[' ? "]" : ":/");
    const char *colon = strchr(begin + chars, ':');

    if (chars == 0 || chars > 250) {
        return false;
    }
    snprintf(host, 256, "%.*s", (int)chars, begin);
    *port = colon != NULL ? (uint16_t)strtoul(colon + 1, NULL, 10) : PORT;
    return *port != 0;
}

int flo_broker_check(const char *broker_or_null, struct flo_err *err)
{
    uint16_t port;
    int rv = flo_address_is_embedded(broker_or_null, &port)
                 ? flo_broker_own_check(err)
                 : flo_url_check(broker_or_null, &flo_url_mqtt, err);

    return rv < 0 ? flo_wrap(err, rv, "--broker") : 0;
}

/* Returns the address on which the broker listens: a loopback host itself, or
 * else "" for all addresses of its machine. */
static const char *listens_on(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ? host : "";
}

static int write_acl(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    FLO_TRY(flo_broker_acl_text(controller, &text, err));
    return write_file(controller, "broker/acl", &text, err);
}

/* Writes the plugin's file with accounts, if it does not exist.  It is written
 * only once, because the plugin may maintain it in this folder. */
static int write_accounts(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char path[4096];
    int rv = flo_broker_accounts_text(controller, &text, err);

    if (rv == 0 &&
        flo_path_join(path, sizeof(path), controller->dir, "broker/dynamic-security.json") &&
        access(path, F_OK) == 0) {
        return 0;
    }

    FLO_TRY(rv);
    return write_file(controller, "broker/dynamic-security.json", &text, err);
}

static int copy_file(const struct flo_controller *controller, const char *from, const char *name,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *data = NULL;
    struct flo_buf text = {0};
    int rv = flo_file_read(from, FILE_BYTES_MAX, &data, &text.bytes, err);

    text.data = data;
    FLO_TRY(rv);
    return write_file(controller, name, &text, err);
}

static int write_keys(struct flo_controller *controller, const char *host, struct flo_err *err)
{
    char path[4096];

    if (!flo_path_join(path, sizeof(path), controller->dir, "broker")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path of broker is too long");
    }
    FLO_TRY(flo_dir_make(path, 0700, err));
    FLO_TRY(flo_pki_broker(controller, host, err));
    FLO_TRY(copy_file(controller, flo_pki_files(controller->pki)->ca_file, "broker/ca.pem", err));
    return copy_file(controller, flo_pki_files(controller->pki)->revoked_file, "broker/revoked.pem",
                     err);
}

int flo_broker_external(struct flo_controller *controller, struct flo_err *err)
{
    static const struct flo_broker_places standard = {"cafile ca.pem", "broker.pem", "broker.key",
                                                      "revoked.pem", "acl_file acl"};
    struct flo_broker_places places = standard;
    char plugin[256];
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char host[256];
    uint16_t port;

    if (!split(controller->options.broker, host, &port)) {
        return 0;
    }
    int rv = write_keys(controller, host, err);
    if (rv == 0) {
        rv = write_acl(controller, err);
    }
    if (rv == 0 && controller->options.has_accounts) {
        rv = write_accounts(controller, err);
        flo_broker_accounts_line(plugin, sizeof(plugin));
        places.rights = plugin;
    }
    flo_broker_config_text(&text, port, listens_on(host), &places);
    FLO_TRY(rv);
    return write_file(controller, "broker/mosquitto.conf", &text, err);
}
