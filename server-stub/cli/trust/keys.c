/* Commands key list, rotate, revoke: the keys that devices trust. */
#include <stdlib.h>
#include <string.h>

#include "base/host/crypto.h"
#include "server-stub/cli/trust/trust.h"

int flo_cmd_key_list(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *trust = NULL;
    const char *path = cli->args.words[0];

    FLO_TRY(path != NULL ? flo_trust_load(path, &trust, err) : flo_trust_held(cli, &trust, err));
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = flo_trust_rows(trust);
    flo_out_table(cli, rows, FLO_COLUMNS(key));
    return 0;
}

/* Change of a draft from the statement that is held. */
typedef int change_fn(struct flo_cli *cli, struct flo_trust *draft, struct flo_err *err);

static int draft_with(struct flo_cli *cli, change_fn *change, struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *held = NULL;
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *draft = NULL;

    FLO_TRY(flo_trust_held(cli, &held, err));
    FLO_TRY(flo_trust_begin(cli, held, &draft, err));
    FLO_TRY(change(cli, draft, err));
    return flo_trust_end(cli, held, draft, err);
}

/* ---- rotate ---- */

/* Finds the key that is to be removed: the one of --old, or else the only one
 * with the role. */
static int find_old(struct flo_cli *cli, const struct flo_trust *held, unsigned role,
                    char out[FLO_KEYID_TEXT], struct flo_err *err)
{
    const char *old = flo_args_text(&cli->args, "old", NULL);
    struct flo_trust_key key;
    size_t found = 0;

    for (size_t i = 0; i < flo_trust_count(held); i++) {
        flo_trust_key(held, i, &key);
        if ((key.roles & role) != 0 && (old == NULL || strncmp(key.keyid, old, strlen(old)) == 0)) {
            snprintf(out, FLO_KEYID_TEXT, "%s", key.keyid);
            found++;
        }
    }
    if (found == 1) {
        return 0;
    }
    flo_fail(err, found == 0 ? FLO_E_ABSENT : FLO_E_USAGE, "%zu %s keys%s%.64s are trusted", found,
             flo_role_word(role), old == NULL ? "" : " that begin with ", old == NULL ? "" : old);
    return flo_err_fix(err, "flotilla key list; then --old KEYID, or --keep to "
                            "take none away");
}

/* Adds a key that the controller made for its orders. The private half stays on
 * the controller. */
static int add_order_key(struct flo_cli *cli, struct flo_trust *draft, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;

    FLO_TRY(flo_context_load(cli, err));
    FLO_TRY(flo_api_call(cli, "POST", "/v1/trust/order-keys", NULL, &answer, err));
    return flo_trust_add(draft, flo_out_text(answer, "pem", ""), FLO_ROLE_ORDER, NULL, err);
}

/* Lists the present authorities in the draft. Without a list, devices trust
 * those that the controller names; with a list, only these. */
static int keep_authorities(struct flo_cli *cli, struct flo_trust *draft, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    int rv = flo_context_load(cli, err);
    size_t i;
    json_t *one;

    if (rv < 0) {
        return flo_err_fix(err, "the statement lists no authority to keep, and "
                                "the controller's are not known here");
    }
    rv = flo_api_get(cli, "/v1/ca", &answer, err);
    json_array_foreach(json_object_get(answer, "authorities"), i, one)
    {
        if (rv == 0) {
            rv = flo_trust_add_ca(draft, flo_out_text(one, "certificate", ""), err);
        }
    }
    return rv;
}

/* Puts a new key, or the certificate of an authority, in place of the old one
 * in the draft. */
static int replace(struct flo_cli *cli, struct flo_trust *draft, unsigned role, struct flo_err *err)
{
    const char *path = cli->args.words[1];
    bool keeps = flo_args_has(&cli->args, "keep");
    char old[FLO_KEYID_TEXT];

    if (role == 0) {
        if (!keeps) {
            flo_trust_clear_ca(draft);
        } else if (flo_trust_ca_count(draft) == 0) {
            FLO_TRY(keep_authorities(cli, draft, err));
        }
        return flo_trust_add_authority(draft, path, err);
    }
    if (!keeps) {
        FLO_TRY(find_old(cli, draft, role, old, err));
        FLO_TRY(flo_trust_drop(draft, old, err));
    }
    if (path == NULL) {
        return add_order_key(cli, draft, err);
    }
    return flo_trust_add_file(draft, path, role, err);
}

static int set_threshold(struct flo_cli *cli, struct flo_trust *draft, unsigned role,
                         struct flo_err *err)
{
    uint64_t threshold = 0;

    if (!flo_args_has(&cli->args, "threshold")) {
        return 0;
    }
    if (role != FLO_ROLE_ROOT) {
        return flo_fail(err, FLO_E_USAGE, "--threshold is of root keys alone");
    }
    FLO_TRY(flo_args_u64(&cli->args, "threshold", 1, FLO_TRUST_THRESHOLD_MAX, 1, &threshold, err));
    flo_trust_set_threshold(draft, (uint32_t)threshold);
    return 0;
}

static int rotate(struct flo_cli *cli, struct flo_trust *draft, struct flo_err *err)
{
    unsigned role = flo_trust_role(cli->args.words[0]);

    FLO_TRY(replace(cli, draft, role, err));
    return set_threshold(cli, draft, role, err);
}

int flo_cmd_key_rotate(struct flo_cli *cli, struct flo_err *err)
{
    const char *word = cli->args.words[0];
    unsigned role = flo_trust_role(word);

    if (role == 0 && strcmp(word, "ca") != 0) {
        return flo_fail(err, FLO_E_USAGE,
                        "`%.40s` is no role: release, order, emergency, root, "
                        "or ca",
                        word);
    }
    if (cli->args.words[1] == NULL && role != FLO_ROLE_ORDER) {
        return flo_fail(err, FLO_E_USAGE, "the new key is missing: NEW.pub");
    }
    return draft_with(cli, rotate, err);
}

/* ---- revoke ---- */

int flo_trust_find_release(struct flo_cli *cli, const char *title, struct flo_digest *out,
                           struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char path[256];

    FLO_TRY(flo_release_title_parse(title, model, version, err));
    FLO_TRY(flo_context_load(cli, err));
    snprintf(path, sizeof(path), "/v1/releases/%s@%s", model, version);
    FLO_TRY(flo_api_get(cli, path, &release, err));
    if (!flo_digest_parse(flo_out_text(release, "digest", ""), out)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "release %s has no digest", title);
    }
    return 0;
}

static int revoke_one(struct flo_cli *cli, struct flo_trust *draft, const char *what,
                      struct flo_err *err)
{
    struct flo_digest release;

    if (flo_digest_parse(what, &release)) {
        return flo_trust_revoke_release(draft, &release, err);
    }
    if (strchr(what, '@') == NULL) {
        return flo_trust_revoke_key(draft, what, err);
    }
    FLO_TRY(flo_trust_find_release(cli, what, &release, err));
    return flo_trust_revoke_release(draft, &release, err);
}

/* Parses "NAME=NUMBER".  The name is checked later. */
static int parse_pair(const char *text, char name[FLO_NAME_MAX + 2], uint64_t *number,
                      struct flo_err *err)
{
    const char *is = strchr(text, '=');
    char *end = NULL;

    *number = 0;
    if (is != NULL && is - text <= FLO_NAME_MAX + 1 && is[1] >= '1' && is[1] <= '9') {
        snprintf(name, FLO_NAME_MAX + 2, "%.*s", (int)(is - text), text);
        *number = strtoull(is + 1, &end, 10);
    }
    return *number > 0 && *end == '\0' && *number <= INT64_MAX
               ? 0
               : flo_fail(err, FLO_E_USAGE, "`%.80s` is no MODEL=NUMBER", text);
}

static int raise_floor(struct flo_trust *draft, const char *text, struct flo_err *err)
{
    char model[FLO_NAME_MAX + 2];
    uint64_t number;

    FLO_TRY(parse_pair(text, model, &number, err));
    return flo_name_is_valid(model)
               ? flo_trust_raise_floor(draft, model, number, err)
               : flo_fail(err, FLO_E_USAGE, "--floor `%.80s`: no model has this name", text);
}

static int revoke(struct flo_cli *cli, struct flo_trust *draft, struct flo_err *err)
{
    const char *floor;

    for (size_t i = 0; i < cli->args.word_count; i++) {
        FLO_TRY(revoke_one(cli, draft, cli->args.words[i], err));
    }
    for (size_t i = 0; flo_args_each(&cli->args, "floor", i, &floor); i++) {
        FLO_TRY(raise_floor(draft, floor, err));
    }
    return 0;
}

int flo_cmd_key_revoke(struct flo_cli *cli, struct flo_err *err)
{
    return draft_with(cli, revoke, err);
}

/* ---- publishers ---- */

static int require(struct flo_cli *cli, struct flo_trust *draft, struct flo_err *err)
{
    char model[FLO_NAME_MAX + 2];
    uint64_t needed;

    for (size_t i = 0; i < cli->args.word_count; i++) {
        FLO_TRY(parse_pair(cli->args.words[i], model, &needed, err));
        FLO_TRY(flo_trust_ask_publishers(draft, model, needed, err));
    }
    return 0;
}

int flo_cmd_trust_require(struct flo_cli *cli, struct flo_err *err)
{
    return draft_with(cli, require, err);
}
