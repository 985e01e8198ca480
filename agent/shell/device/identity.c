/* Identity of an enrolled device: <state>/identity (contracts section 6). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/device/device.h"
#include "base/host/crypto.h"

#define FILE_NAME "identity/identity.json"

/* Add a group once; a word that is no name is left out. */
static void add_group(struct flo_identity *identity, const char *group)
{
    size_t i;

    for (i = 0; i < identity->group_count; i++) {
        if (strcmp(identity->groups[i], group) == 0) {
            return;
        }
    }
    if (flo_name_is_valid(group) && i < FLO_GROUPS_MAX) {
        snprintf(identity->groups[i], sizeof(identity->groups[i]), "%s", group);
        identity->group_count++;
    }
}

static int read_groups(const json_t *json, struct flo_identity *out,
                       struct flo_err *err)
{
    json_t *groups = NULL;
    size_t i;
    int rv = flo_json_opt_array(json, "groups", FLO_GROUPS_MAX, &groups, err);

    for (i = 0; rv == 0 && i < json_array_size(groups); i++) {
        const char *group = json_string_value(json_array_get(groups, i));
        if (group != NULL) {
            add_group(out, group);
        }
    }
    if (out->group_count == 0) {
        add_group(out, "all");
    }
    return rv;
}

static int read_identity(const struct flo_settings *settings,
                         struct flo_identity *out, const json_t *json,
                         struct flo_err *err)
{
    const char *device = NULL;
    const char *fleet = NULL;
    const char *name = NULL;
    const char *controller = NULL;
    const char *broker = NULL;
    const char *text;
    int rv = flo_json_get_uuid(json, "device", &device, err);

    if (rv == 0) {
        rv = flo_json_get_name(json, "fleet", &fleet, err);
    }
    if (rv == 0) {
        rv = flo_json_get_text(json, "name", FLO_NAME_MAX, &name, err);
    }
    if (rv == 0) {
        rv = flo_json_get_text(json, "controller", 512, &controller, err);
    }
    if (rv == 0) {
        rv = flo_json_get_text(json, "mqtt", 512, &broker, err);
    }
    if (rv == 0) {
        rv = read_groups(json, out, err);
    }
    if (rv < 0) {
        return rv;
    }
    text = flo_config_text(settings->config, "name");
    name = text != NULL ? text : name;
    text = flo_config_text(settings->config, "controller");
    controller = text != NULL ? text : controller;
    text = flo_config_text(settings->config, "broker");
    broker = text != NULL ? text : broker;
    snprintf(out->device, sizeof(out->device), "%s", device);
    snprintf(out->fleet, sizeof(out->fleet), "%s", fleet);
    snprintf(out->name, sizeof(out->name), "%s", name);
    snprintf(out->controller, sizeof(out->controller), "%s", controller);
    snprintf(out->broker, sizeof(out->broker), "%s", broker);
    return 0;
}

static int set_paths(const char *state_dir, struct flo_identity *out,
                     char *json, size_t json_bytes, struct flo_err *err)
{
    const struct {
        const char *name;
        char *out;
        size_t bytes;
    } files[] = {
        {"identity/ca.pem", out->ca_file, sizeof(out->ca_file)},
        {"identity/device.pem", out->cert_file, sizeof(out->cert_file)},
        {"identity/device.key", out->key_file, sizeof(out->key_file)},
        {"identity/trust.json", out->trust_file, sizeof(out->trust_file)},
        {FILE_NAME, json, json_bytes},
    };
    size_t i;

    for (i = 0; i < FLO_COUNT(files); i++) {
        if (!flo_path_join(files[i].out, files[i].bytes, state_dir,
                           files[i].name)) {
            return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
        }
    }
    return 0;
}

/* It is not earlier than when the fleet issued this device's certificate. */
static uint64_t read_enrolled_at(const struct flo_identity *identity)
{
    FLO_CLEANUP(flo_free_cleanup) char *pem = NULL;
    struct flo_certificate facts;
    size_t bytes;

    if (flo_file_read(identity->cert_file, FLO_PEM_BYTES_MAX, &pem, &bytes,
                      NULL) < 0 ||
        flo_certificate_read(pem, bytes, &facts, NULL) < 0) {
        return 0;
    }
    return facts.not_before_ms;
}

int flo_identity_load(const struct flo_settings *settings,
                      struct flo_identity *out, struct flo_err *err)
{
    char path[4200];
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_key *key = NULL;
    size_t bytes;
    int rv;

    memset(out, 0, sizeof(*out));
    rv = set_paths(settings->state_dir, out, path, sizeof(path), err);
    if (rv < 0) {
        return rv;
    }
    if (access(out->trust_file, F_OK) == 0) {
        rv = flo_trust_load(out->trust_file, &out->trust, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "%s", out->trust_file);
        }
        snprintf(out->fleet, sizeof(out->fleet), "%s",
                 flo_trust_fleet(out->trust));
    }
    rv = flo_file_read(path, 65536, &text, &bytes, err);
    if (rv == FLO_E_ABSENT) {
        memset(err, 0, err == NULL ? 0 : sizeof(*err));
        return 0;
    }
    if (rv == 0) {
        rv = flo_json_parse(text, bytes, 65536, &json, err);
    }
    if (rv == 0) {
        rv = read_identity(settings, out, json, err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", path);
    }
    rv = flo_key_load(out->key_file, &key, err); /* mode and owner */
    flo_key_free(key);
    out->is_there = rv == 0;
    out->enrolled_at_ms = rv == 0 ? read_enrolled_at(out) : 0;
    return rv;
}

void flo_identity_deinit(struct flo_identity *identity)
{
    flo_trust_free(identity->trust);
    memset(identity, 0, sizeof(*identity));
}
