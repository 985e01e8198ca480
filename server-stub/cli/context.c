/* Context: finds the controller and the token that a command uses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/rest.h>

#include "base/host/crypto.h"
#include "server-stub/cli/cli.h"

#define PATH_BYTES 1024

static int config_dir(char *out, size_t bytes, struct flo_err *err)
{
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int chars;

    if (base != NULL && base[0] != '\0') {
        chars = snprintf(out, bytes, "%s/flotilla", base);
    } else if (home != NULL) {
        chars = snprintf(out, bytes, "%s/.config/flotilla", home);
    } else {
        return flo_fail(err, FLO_E_USAGE, "neither XDG_CONFIG_HOME nor HOME");
    }
    return chars > 0 && (size_t)chars < bytes
               ? 0
               : flo_fail(err, FLO_E_USAGE, "configuration path is too long");
}

static int set_controller(struct flo_cli *cli, const char *url, struct flo_err *err)
{
    size_t chars = strlen(url);

    while (chars > 0 && url[chars - 1] == '/') {
        chars--;
    }
    if (chars >= sizeof(cli->controller)) {
        return flo_fail(err, FLO_E_USAGE, "`%.200s` is too long an address", url);
    }
    memcpy(cli->controller, url, chars);
    cli->controller[chars] = '\0';
    int rv = flo_url_check(cli->controller, &flo_url_http, err);
    if (rv < 0) {
        cli->controller[0] = '\0'; /* the address is invalid, so no token is sent to it */
    }
    return rv;
}

static int no_token(const struct flo_cli *cli, struct flo_err *err)
{
    flo_fail(err, FLO_E_REST_AUTH, "no token is known for %s", cli->controller);
    flo_err_fix(err, "--token-file FILE, or flotilla login %s --token-file FILE", cli->controller);
    return FLO_E_REST_AUTH;
}

static int nothing_remembered(const struct flo_cli *cli, struct flo_err *err)
{
    if (cli->controller[0] != '\0') {
        return no_token(cli, err);
    }
    flo_fail(err, FLO_E_USAGE, "no controller is known");
    flo_err_fix(err, "flotilla login URL --token-file FILE, or --controller "
                     "URL --token-file FILE");
    return FLO_E_USAGE;
}

/* ---- what the controller is known by ---- */

/* Sets the fingerprint.  The text has 64 hex digits as the controller prints
 * them, also in capitals, or with colons as openssl prints them. */
static int set_fingerprint(struct flo_cli *cli, const char *text, struct flo_err *err)
{
    size_t n = 0;

    for (const char *at = text; *at != '\0'; at++) {
        char c = *at >= 'A' && *at <= 'F' ? (char)(*at - 'A' + 'a') : *at;
        bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (c == ':') {
            continue;
        }
        if (!is_hex || n == 64) {
            n = 0;
            break;
        }
        cli->fingerprint[n++] = c;
    }
    cli->fingerprint[n == 64 ? 64 : 0] = '\0';
    if (n != 64) {
        flo_fail(err, FLO_E_USAGE, "--fingerprint `%.80s` is no SHA-256: 64 hex digits", text);
        flo_err_fix(err, "flotilla-controller --data DIR --fingerprint, on its "
                         "machine");
        return FLO_E_USAGE;
    }
    return 0;
}

static int set_ca(struct flo_cli *cli, const char *file, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *pem = NULL;
    struct flo_certificate certificate;
    size_t bytes;
    int rv = flo_file_read(file, 65536, &pem, &bytes, err);

    if (rv == 0) {
        rv = flo_certificate_read(pem, bytes, &certificate, err);
    }
    if (rv == 0 && strlen(file) >= sizeof(cli->ca_file)) {
        rv = flo_fail(err, FLO_E_USAGE, "the path is too long");
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "--ca %s", file);
    }
    snprintf(cli->ca_file, sizeof(cli->ca_file), "%s", file);
    return 0;
}

/* Loads the trusted authority from flags, or else from the environment. */
static int load_authority(struct flo_cli *cli, struct flo_err *err)
{
    const char *fingerprint = flo_args_text(&cli->args, "fingerprint", NULL);
    const char *ca = flo_args_text(&cli->args, "ca", flo_context_variable(cli, "FLOTILLA_CA"));

    if (fingerprint != NULL && flo_args_has(&cli->args, "ca")) {
        return flo_fail(err, FLO_E_USAGE, "--ca or --fingerprint, not both");
    }
    return fingerprint != NULL ? set_fingerprint(cli, fingerprint, err)
           : ca != NULL        ? set_ca(cli, ca, err)
                               : 0;
}

/* Loads the authority that the login stored: the file <name>.ca, or a
 * fingerprint in the second line of the context. */
static int remembered_authority(struct flo_cli *cli, const char *path, const char *second,
                                struct flo_err *err)
{
    if (cli->ca_file[0] != '\0' || cli->fingerprint[0] != '\0') {
        return 0;
    }
    if (strncmp(second, "fingerprint ", 12) == 0) {
        return set_fingerprint(cli, second + 12, err);
    }
    return access(path, F_OK) == 0 ? set_ca(cli, path, err) : 0;
}

/* ---- contexts ---- */

/* Gets the name of the context that the command uses. */
static int current_name(struct flo_cli *cli, const char *dir, char out[FLO_NAME_MAX + 1],
                        struct flo_err *err)
{
    char path[PATH_BYTES + 128];
    FLO_CLEANUP(flo_free_cleanup) char *current = NULL;
    size_t bytes;
    const char *name = flo_args_global(&cli->args, "context", getenv("FLOTILLA_CONTEXT"));

    if (name == NULL) {
        snprintf(path, sizeof(path), "%s/current", dir);
        if (flo_file_read(path, 256, &current, &bytes, NULL) < 0) {
            return nothing_remembered(cli, err);
        }
        current[strcspn(current, "\n")] = '\0';
        name = current;
    }
    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_USAGE, "context `%s` is not a name", name);
    }
    snprintf(out, FLO_NAME_MAX + 1, "%s", name);
    return 0;
}

/* Loads the context <dir>/<name>.context, which has the address in its first
 * line, and the token <name>.token. */
static int load_remembered(struct flo_cli *cli, struct flo_err *err)
{
    char dir[PATH_BYTES];
    char path[PATH_BYTES + 128];
    char name[FLO_NAME_MAX + 1];
    FLO_CLEANUP(flo_free_cleanup) char *url = NULL;
    size_t bytes;

    FLO_TRY(config_dir(dir, sizeof(dir), err));
    FLO_TRY(current_name(cli, dir, name, err));
    snprintf(path, sizeof(path), "%s/%s.context", dir, name);
    int rv = flo_file_read(path, 1024, &url, &bytes, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "context `%s`", name);
    }
    char *second = url + strcspn(url, "\n");
    if (*second == '\n') {
        *second++ = '\0';
    }
    second[strcspn(second, "\n")] = '\0';
    if (cli->controller[0] == '\0') {
        FLO_TRY(set_controller(cli, url, err));
    } else if (cli->token[0] == '\0' && strcmp(cli->controller, url) != 0) {
        /* The stored token is not used, because a secret must not go to another
         * machine. */
        return no_token(cli, err);
    }
    if (cli->token[0] == '\0') {
        snprintf(path, sizeof(path), "%s/%s.token", dir, name);
        FLO_TRY(flo_token_read(path, cli->token, sizeof(cli->token), err));
    }
    snprintf(path, sizeof(path), "%s/%s.ca", dir, name);
    return remembered_authority(cli, path, second, err);
}

const char *flo_context_variable(const struct flo_cli *cli, const char *name)
{
    return flo_args_global(&cli->args, "context", NULL) != NULL ? NULL : getenv(name);
}

int flo_context_know(struct flo_cli *cli, struct flo_err *err)
{
    FLO_TRY(set_controller(cli, flo_args_text(&cli->args, "controller", ""), err));
    return load_authority(cli, err);
}

int flo_context_forget(struct flo_cli *cli, struct flo_err *err)
{
    char dir[PATH_BYTES];
    char path[PATH_BYTES + 128];
    char name[FLO_NAME_MAX + 1];

    FLO_TRY(config_dir(dir, sizeof(dir), err));
    FLO_TRY(current_name(cli, dir, name, err));
    snprintf(path, sizeof(path), "%s/%s.token", dir, name);
    return unlink(path) == 0 || errno == ENOENT ? 0
                                                : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
}

int flo_context_load(struct flo_cli *cli, struct flo_err *err)
{
    const char *url =
        flo_args_text(&cli->args, "controller", flo_context_variable(cli, "FLOTILLA_CONTROLLER"));
    const char *file =
        flo_args_text(&cli->args, "token-file", flo_context_variable(cli, "FLOTILLA_TOKEN_FILE"));

    if (url != NULL) {
        FLO_TRY(set_controller(cli, url, err));
    }
    if (file != NULL) {
        FLO_TRY(flo_token_read(file, cli->token, sizeof(cli->token), err));
    }
    FLO_TRY(load_authority(cli, err));
    return cli->controller[0] == '\0' || cli->token[0] == '\0' ? load_remembered(cli, err) : 0;
}

static int save_line(const char *dir, const char *name, const char *ending, const char *text,
                     mode_t mode, struct flo_err *err)
{
    char path[PATH_BYTES + 128];
    char line[1024];

    snprintf(path, sizeof(path), "%s/%s%s", dir, name, ending);
    int chars = snprintf(line, sizeof(line), "%s\n", text);
    return flo_file_write(path, line, (size_t)chars, mode, err);
}

/* Stores a copy of the authority's file, or removes the copy of an earlier
 * login. */
static int save_authority(const char *dir, const char *name, const struct flo_cli *cli,
                          struct flo_err *err)
{
    char path[PATH_BYTES + 128];
    FLO_CLEANUP(flo_free_cleanup) char *pem = NULL;
    size_t bytes;

    snprintf(path, sizeof(path), "%s/%s.ca", dir, name);
    if (cli->ca_file[0] == '\0') {
        return unlink(path) == 0 || errno == ENOENT
                   ? 0
                   : flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    FLO_TRY(flo_file_read(cli->ca_file, 65536, &pem, &bytes, err));
    return flo_file_write(path, pem, bytes, 0600, err);
}

int flo_context_save(const char *name, const struct flo_cli *cli, char *path, size_t path_bytes,
                     struct flo_err *err)
{
    char dir[PATH_BYTES];
    char lines[700];

    FLO_TRY(config_dir(dir, sizeof(dir), err));
    snprintf(lines, sizeof(lines), "%s%s%s", cli->controller,
             cli->fingerprint[0] != '\0' ? "\nfingerprint " : "", cli->fingerprint);
    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_USAGE, "context `%s` is not a name", name);
    }
    FLO_TRY(flo_dir_make(dir, 0700, err));
    FLO_TRY(save_authority(dir, name, cli, err));
    FLO_TRY(save_line(dir, name, ".context", lines, 0600, err));
    FLO_TRY(save_line(dir, name, ".token", cli->token, 0600, err));
    FLO_TRY(save_line(dir, "current", "", name, 0600, err));
    snprintf(path, path_bytes, "%.1000s/%.64s.context", dir, name);
    return 0;
}
