/* Commands about the tool itself: context, key, token, audit, explain,
 * version. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host/crypto.h"
#include "server-stub/cli/live/live.h"

int flo_cmd_context_view(struct flo_cli *cli, struct flo_err *err)
{
    const char *from =
        flo_args_has(&cli->args, "controller") ? "flag"
        : flo_context_variable(cli, "FLOTILLA_CONTROLLER") != NULL
            ? "FLOTILLA_CONTROLLER"
            : "remembered context";
    (void)err;
    const char *known = cli->fingerprint[0] != '\0' ? cli->fingerprint
                        : cli->ca_file[0] != '\0'   ? cli->ca_file
                                                    : "the system's";
    flo_out_done(cli,
                 json_pack("{s:s,s:s,s:s}", "controller", cli->controller,
                           "from", from, "authority", known),
                 "controller  %s  (%s)\nauthority   %s\n", cli->controller,
                 from, known);
    return 0;
}

/* An empty file whose name was free: saving under it replaces nothing else. */
static int claim(const char *path, struct flo_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST) {
        flo_fail(err, FLO_E_STATE, "%s exists already", path);
        flo_err_fix(err, "choose another name or folder");
        return FLO_E_STATE;
    }
    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    close(fd);
    return 0;
}

/* Write both files, or neither. */
static int save_pair(const struct flo_key *key, const char *path,
                     const char *public_path, struct flo_err *err)
{
    int rv = claim(path, err);

    if (rv < 0) {
        return rv;
    }
    rv = claim(public_path, err);
    if (rv < 0) {
        unlink(path);
        return rv;
    }
    rv = flo_key_save(key, path, err);
    if (rv == 0) {
        rv = flo_public_key_save(flo_key_public(key), public_path, err);
    }
    if (rv < 0) {
        unlink(path);
        unlink(public_path);
    }
    return rv;
}

int flo_cmd_key_create(struct flo_cli *cli, struct flo_err *err)
{
    char path[1024];
    char public_path[1024];
    const char *name = cli->args.words[0];
    const char *dir = flo_args_text(&cli->args, "to", ".");
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    int rv = 0;

    if (!flo_name_is_valid(name)) {
        rv = flo_fail(err, FLO_E_META_NAME, "key name `%.80s`", name);
    }
    if (rv == 0) {
        rv = flo_dir_make(dir, 0700, err);
    }
    if (rv == 0) {
        rv = flo_key_generate(&key, err);
    }
    if (rv == 0) {
        snprintf(path, sizeof(path), "%.900s/%s.key", dir, name);
        snprintf(public_path, sizeof(public_path), "%.900s/%s.pub", dir, name);
        rv = save_pair(key, path, public_path, err);
    }
    if (rv == 0) {
        const char *keyid = flo_key_public(key)->keyid;
        flo_out_done(cli,
                     json_pack("{s:s,s:s,s:s}", "private", path, "public",
                               public_path, "keyid", keyid),
                     "private key %s (0600: keep it off the controller)\n"
                     "public key  %s\nkeyid       %s\n",
                     path, public_path, keyid);
    }
    return rv;
}

int flo_cmd_key_trust(struct flo_cli *cli, struct flo_err *err)
{
    const char *path = cli->args.words[0];
    struct flo_public_key key;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    int rv = flo_public_key_load(path, &key, err);
    if (rv == FLO_E_SIG_FORMAT) {
        flo_err_fix(err, "give the public half that flotilla key create made: "
                         "NAME.pub");
    }
    if (rv < 0) {
        return rv;
    }
    flo_public_key_pem(&key, pem);
    FLO_CLEANUP(flo_json_cleanup) json_t *body = json_pack("{s:s}", "pem", pem);
    rv = flo_api_call(cli, "POST", "/v1/trust/release-keys", body, NULL, err);
    if (rv == 0) {
        flo_out_done(cli, json_pack("{s:s}", "keyid", key.keyid),
                     "releases signed by %.16s… are trusted\n", key.keyid);
    }
    return rv;
}

static int show_audit_list(struct flo_cli *cli, struct flo_err *err)
{
    char path[128];
    uint64_t limit;
    const bool all = flo_args_has(&cli->args, "all");
    FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    int rv = flo_args_u64(&cli->args, "limit", 1, 1000, 50, &limit, err);

    if (rv < 0) {
        return rv;
    }
    snprintf(path, sizeof(path), "/v1/audit?order=newest&limit=%llu",
             (unsigned long long)limit);
    rv = all ? flo_api_list(cli, "/v1/audit?limit=1000", &items, err)
             : flo_api_get(cli, path, &page, err);
    if (rv < 0) {
        return rv;
    }
    flo_out_table(cli, all ? items : json_object_get(page, "items"),
                  FLO_COLUMNS(audit));
    if (!all && cli->is_tty && json_is_string(json_object_get(page, "next"))) {
        flo_out_say(cli, "the newest %llu; --limit N or --all for more",
                    (unsigned long long)limit);
    }
    return 0;
}

int flo_cmd_audit_list(struct flo_cli *cli, struct flo_err *err)
{
    return flo_follow(cli, "audit", show_audit_list, err);
}

int flo_cmd_audit_verify(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    int rv = flo_api_get(cli, "/v1/audit/verify", &answer, err);

    if (rv < 0) {
        return rv;
    }
    flo_out_json(cli, answer);
    return json_is_true(json_object_get(answer, "ok"))
               ? 0
               : flo_fail(err, FLO_E_AUDIT_CHAIN, "%s",
                          flo_out_text(answer, "error", "?"));
}

int flo_cmd_explain(struct flo_cli *cli, struct flo_err *err)
{
    const char *id = cli->args.words[0];
    int code = flo_error_code(id);

    if (code == 0) {
        const char *ids[FLO_ERROR_COUNT];
        for (int i = 0; i < FLO_ERROR_COUNT; i++) {
            ids[i] = flo_error_id(-1 - i);
        }
        const char *near = flo_nearest(id, ids, FLO_ERROR_COUNT);
        flo_fail(err, FLO_E_ABSENT, "no error has the id `%.80s`", id);
        if (near != NULL) {
            flo_err_fix(err, "did you mean %s?", near);
        }
        return FLO_E_ABSENT;
    }
    flo_out_done(cli,
                 json_pack("{s:s,s:i,s:s,s:s}", "id", id, "exit",
                           (int)flo_error_exit(code), "means",
                           flo_error_meaning(code), "fix", flo_error_fix(code)),
                 "%s  (exit %d)\n  means: %s\n  fix:   %s\n", id,
                 (int)flo_error_exit(code), flo_error_meaning(code),
                 flo_error_fix(code));
    return 0;
}

int flo_cmd_version(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *version = NULL;

    (void)err;
    bool is_there = flo_context_load(cli, NULL) == 0 &&
                    flo_api_get(cli, "/v1/version", &version, NULL) == 0;
    json_t *both = json_pack("{s:s}", "flotilla", FLO_VERSION);
    if (is_there) {
        json_object_set(both, "controller", version);
    }
    flo_out_done(cli, both, "flotilla %s\n", FLO_VERSION);
    if (is_there && !flo_out_is_data(cli)) {
        printf("controller %s at %s\nfleet %s%s\n",
               flo_out_text(version, "version", "?"), cli->controller,
               flo_out_text(version, "fleet", "?"),
               json_is_true(json_object_get(version, "frozen"))
                   ? ", frozen: flotilla rollout unfreeze ends it"
                   : "");
    }
    return 0;
}
