/* Login file: reads oidc.yaml, whose keys are in run/login/oidc.def. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/cfg.h>

#include "base/host/config.h"
#include "base/host/crypto.h"

#include "server-stub/run/login/login.h"

#define SECRET_BYTES_MAX 1024
#define GROUPS_MAX 64

struct flo_oidc_file {
    struct flo_config *config;
    struct flo_login_settings settings;
    struct flo_oidc_row rows[FLO_OIDC_ROWS_MAX];
    const char *needed[GROUPS_MAX];
    char secret[SECRET_BYTES_MAX + 1];
};

static const struct flo_config_row rows[] = {
#define FLO_CONFIG(name, key, type, min, max, standard, meaning)                                   \
    {key, FLO_CONFIG_##type, min, max, standard, false, NULL, meaning},
#include "server-stub/run/login/oidc.def"
#undef FLO_CONFIG
};

static int read_row(const json_t *json, struct flo_oidc_row *out, struct flo_err *err)
{
    struct flo_grants grants;

    if (!json_is_object(json) || json_object_size(json) != 2) {
        return flo_fail(err, FLO_E_CFG_TYPE, "`group` and `role` belong there");
    }
    int rv = flo_json_get_text(json, "group", 255, &out->group, err);
    if (rv == 0) {
        rv = flo_json_get_text(json, "role", FLO_GRANTS_TEXT - 1, &out->role, err);
    }
    if (rv < 0) {
        /* The error has the code of a signed document's parser, so it gets a
         * code for configuration files. */
        err->code = FLO_E_CFG_TYPE;
        return FLO_E_CFG_TYPE;
    }
    return flo_grants_parse(out->role, &grants)
               ? 0
               : flo_fail(err, FLO_E_CFG_RANGE, "`%.100s` is no role", out->role);
}

static int read_roles(struct flo_oidc_file *file, struct flo_err *err)
{
    const json_t *list = flo_config_tree(file->config, "roles");
    struct flo_oidc_roles *roles = &file->settings.roles;
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        int rv = read_row(item, &file->rows[i], err);
        if (rv < 0) {
            return flo_wrap(err, rv, "roles[%zu]", i);
        }
    }
    roles->rows = file->rows;
    roles->count = json_array_size(list);
    roles->claim = flo_config_text(file->config, "roles_claim");
    roles->needed = file->needed;
    roles->needed_count = flo_config_texts_count(file->config, "allowed_groups");
    for (i = 0; i < roles->needed_count; i++) {
        file->needed[i] = flo_config_texts_get(file->config, "allowed_groups", i);
    }
    return roles->count > 0 ? 0
                            : flo_fail(err, FLO_E_CFG_KEY,
                                       "`roles` is missing: nobody "
                                       "could log in");
}

static int read_secret(struct flo_oidc_file *file, struct flo_err *err)
{
    const char *path = flo_config_text(file->config, "client_secret_file");
    char *data = NULL;
    size_t bytes = 0;

    if (path == NULL) {
        return 0;
    }
    int rv = flo_secret_read(path, SECRET_BYTES_MAX, &data, &bytes, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "client_secret_file");
    }
    data[strcspn(data, "\r\n")] = '\0';
    snprintf(file->secret, sizeof(file->secret), "%s", data);
    flo_secret_wipe(data, bytes);
    free(data);
    return 0;
}

static bool has_openid(const char *scopes)
{
    const char *at = strstr(scopes, "openid");

    return at != NULL && (at == scopes || at[-1] == ' ') && (at[6] == '\0' || at[6] == ' ');
}

static int read_all(struct flo_oidc_file *file, struct flo_err *err)
{
    struct flo_login_settings *settings = &file->settings;
    const struct flo_config *config = file->config;

    settings->issuer = flo_config_text(config, "issuer");
    settings->client_id = flo_config_text(config, "client_id");
    settings->scopes = flo_config_text(config, "scopes");
    settings->name = flo_config_text(config, "name");
    settings->name_claim = flo_config_text(config, "name_claim");
    settings->session_ms = flo_config_u64(config, "session");
    if (settings->issuer == NULL || settings->client_id == NULL) {
        return flo_fail(err, FLO_E_CFG_KEY, "`%s` is missing",
                        settings->issuer == NULL ? "issuer" : "client_id");
    }
    if (!flo_oidc_url_is_valid(settings->issuer)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "issuer `%.100s`: an https:// address belongs here",
                        settings->issuer);
    }
    if (!has_openid(settings->scopes)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "scopes `%.100s` lack openid", settings->scopes);
    }
    FLO_TRY(read_roles(file, err));
    return read_secret(file, err);
}

int flo_oidc_file_open(const char *path, struct flo_oidc_file **out, struct flo_err *err)
{
    struct flo_oidc_file *file = calloc(1, sizeof(*file));

    if (file == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%s", path);
    }
    int rv = flo_config_load(path, rows, FLO_COUNT(rows), &file->config, err);
    if (rv == 0) {
        rv = read_all(file, err);
        if (rv < 0) {
            flo_wrap(err, rv, "%s", path);
        }
    }
    if (rv < 0) {
        flo_oidc_file_close(file);
        return rv;
    }
    *out = file;
    return 0;
}

void flo_oidc_file_close(struct flo_oidc_file *file)
{
    if (file != NULL) {
        flo_config_free(file->config);
        flo_secret_wipe(file->secret, sizeof(file->secret));
        free(file);
    }
}

const struct flo_login_settings *flo_oidc_file_settings(const struct flo_oidc_file *file)
{
    return &file->settings;
}

const char *flo_oidc_file_ca(const struct flo_oidc_file *file)
{
    return flo_config_text(file->config, "ca_file");
}

const char *flo_oidc_file_secret(const struct flo_oidc_file *file)
{
    return file->secret;
}
