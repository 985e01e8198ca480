/* Identity: reads the files of an enrolled device in <state>/identity
 * (contracts/device.md section 6). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/identity/enrol_answer.h"
#include "agent/shell/identity/identity.h"
#include "base/host/crypto.h"

#define FILE_NAME "identity/identity.json"

/* Adds a group to the list once.  An invalid name is ignored. */
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

static int read_groups(const json_t *json, struct flo_identity *out, struct flo_err *err)
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

static int read_identity(const struct flo_settings *settings, struct flo_identity *out,
                         const json_t *json, struct flo_err *err)
{
    const char *device = NULL;
    const char *fleet = NULL;
    const char *name = NULL;
    const char *controller = NULL;
    const char *broker = NULL;
    const char *text;

    FLO_TRY(flo_json_get_uuid(json, "device", &device, err));
    FLO_TRY(flo_json_get_name(json, "fleet", &fleet, err));
    FLO_TRY(flo_json_get_text(json, "name", FLO_NAME_MAX, &name, err));
    FLO_TRY(flo_json_get_text(json, "controller", 512, &controller, err));
    FLO_TRY(flo_json_get_text(json, "mqtt", 512, &broker, err));
    FLO_TRY(flo_json_opt_u64(json, "enrolled_at_ms", 0, INT64_MAX, 0, &out->enrolled_at_ms, err));
    FLO_TRY(read_groups(json, out, err));
    text = flo_config_text(settings->config, "name");
    name = text != NULL ? text : name;
    text = flo_config_text(settings->config, "controller");
    controller = text != NULL ? text : controller;
    text = flo_config_text(settings->config, "broker");
    broker = text != NULL ? text : broker;
    /* The addresses are checked here too, because a renewal sends a request to
     * them. */
    FLO_TRY(flo_enrol_url_check("controller", controller, &flo_url_http, err));
    FLO_TRY(flo_enrol_url_check("mqtt", broker, &flo_url_mqtt, err));
    snprintf(out->device, sizeof(out->device), "%s", device);
    snprintf(out->fleet, sizeof(out->fleet), "%s", fleet);
    snprintf(out->name, sizeof(out->name), "%s", name);
    snprintf(out->controller, sizeof(out->controller), "%s", controller);
    snprintf(out->broker, sizeof(out->broker), "%s", broker);
    return 0;
}

static int set_paths(const char *state_dir, struct flo_identity *out, char *json, size_t json_bytes,
                     struct flo_err *err)
{
    const struct {
        const char *name;
        char *out;
        size_t bytes;
    } files[] = {
        {"identity/ca.pem", out->ca_file, sizeof(out->ca_file)},
        {"identity/trust.json", out->trust_file, sizeof(out->trust_file)},
        {FILE_NAME, json, json_bytes},
    };
    size_t i;

    for (i = 0; i < FLO_COUNT(files); i++) {
        if (!flo_path_join(files[i].out, files[i].bytes, state_dir, files[i].name)) {
            return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
        }
    }
    return 0;
}

void flo_identity_use(struct flo_identity *identity, size_t place)
{
    const char *file = identity->pairs.files[place];

    identity->pair = place;
    snprintf(identity->cert_file, sizeof(identity->cert_file), "%s", file);
    snprintf(identity->key_file, sizeof(identity->key_file), "%s", file);
}

void flo_identity_link(const struct flo_identity *identity)
{
    struct flo_err err = {0};

    if (flo_pairs_link(&identity->pairs, identity->pair, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "certificate", &err);
    }
}

static int read_pairs(const char *state_dir, struct flo_identity *out, struct flo_err *err)
{
    FLO_TRY(flo_pairs_open(state_dir, out->device, &out->pairs, err));

    flo_identity_use(out, flo_pairs_newest(&out->pairs));
    return 0;
}

int flo_identity_load(const struct flo_settings *settings, struct flo_identity *out,
                      struct flo_err *err)
{
    char path[4200];
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    size_t bytes;
    int rv = 0;

    memset(out, 0, sizeof(*out));
    FLO_TRY(set_paths(settings->state_dir, out, path, sizeof(path), err));
    if (access(out->trust_file, F_OK) == 0) {
        rv = flo_trust_load(out->trust_file, &out->trust, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "%s", out->trust_file);
        }
        snprintf(out->fleet, sizeof(out->fleet), "%s", flo_trust_fleet(out->trust));
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
    rv = read_pairs(settings->state_dir, out, err);
    out->is_there = rv == 0;
    return rv;
}

void flo_identity_deinit(struct flo_identity *identity)
{
    flo_trust_free(identity->trust);
    memset(identity, 0, sizeof(*identity));
}
