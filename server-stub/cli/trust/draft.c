/* Drafts: reads and writes drafts of trust statements, and gets the statement
 * that devices hold. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/sig.h>
#include <flotilla/errors/trust.h>

#include "base/host/crypto.h"
#include "server-stub/cli/trust/trust.h"

static int read_held(struct flo_cli *cli, struct flo_buf *text, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *trust = NULL;
    int rv = flo_context_load(cli, err);

    if (rv < 0) {
        return flo_err_fix(err, "--from FILE says what devices hold now, "
                                "without a controller");
    }
    FLO_TRY(flo_api_get(cli, "/v1/trust", &trust, err));
    flo_json_dump_canonical(trust, text);
    return text->failed ? flo_fail(err, FLO_E_MEMORY, "trust") : 0;
}

int flo_trust_held(struct flo_cli *cli, struct flo_trust **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    const char *from = flo_args_text(&cli->args, "from", NULL);

    if (from != NULL) {
        return flo_trust_load(from, out, err);
    }
    FLO_TRY(read_held(cli, &text, err));
    return flo_trust_parse((const char *)text.data, text.bytes, out, err);
}

int flo_trust_file(const char *path, struct flo_trust **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes = 0;

    FLO_TRY(flo_file_read(path, FLO_TRUST_BYTES_MAX, &text, &bytes, err));
    int rv = flo_trust_draft_parse(text, bytes, out, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

int flo_trust_begin(struct flo_cli *cli, const struct flo_trust *held, struct flo_trust **out,
                    struct flo_err *err)
{
    const char *path = flo_args_text(&cli->args, "to", NULL);
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *draft = NULL;
    struct flo_trust_counters counters;
    int rv = flo_trust_file(path, &draft, err);

    if (rv == FLO_E_ABSENT) {
        memset(err, 0, sizeof(*err));
        return flo_trust_next(held, flo_wall_ms(), out, err);
    }
    FLO_TRY(rv);
    FLO_TRY(flo_trust_count_up(draft, held, &counters, err));
    if (counters.own + counters.held > 0) {
        flo_fail(err, FLO_E_STATE, "%s is signed already", path);
        return flo_err_fix(err, "a change needs all signatures again: choose "
                                "another file for it");
    }
    if (flo_trust_number(draft) != flo_trust_number(held) + 1) {
        flo_fail(err, FLO_E_TRUST_NUMBER, "%s has the number %llu, devices hold %llu", path,
                 (unsigned long long)flo_trust_number(draft),
                 (unsigned long long)flo_trust_number(held));
        return flo_err_fix(err, "begin a draft in another file");
    }
    *out = draft;
    draft = NULL;
    return 0;
}

int flo_trust_end(struct flo_cli *cli, const struct flo_trust *held, struct flo_trust *draft,
                  struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *read = NULL;
    const char *path = flo_args_text(&cli->args, "to", NULL);
    struct flo_trust_counters counters;

    FLO_TRY(flo_trust_draft(draft, held, &text, err));
    FLO_TRY(flo_trust_draft_parse((const char *)text.data, text.bytes, &read, err));
    FLO_TRY(flo_trust_count_up(read, held, &counters, err));
    FLO_TRY(flo_file_write(path, text.data, text.bytes, 0644, err));
    const char *word = flo_trust_is_signed(held) ? "root" : "release";
    flo_out_done(
        cli,
        json_pack("{s:s,s:I,s:I,s:I,s:I}", "draft", path, "number",
                  (json_int_t)flo_trust_number(read), "epoch", (json_int_t)flo_trust_epoch(read),
                  "own_needed", (json_int_t)counters.own_needed, "held_needed",
                  (json_int_t)counters.held_needed),
        "%s  draft of statement %llu, epoch %u%s\n"
        "next  flotilla trust sign %s --key KEY: %u of its root keys, and %u "
        "of the %s keys of statement %llu\n",
        path, (unsigned long long)flo_trust_number(read), flo_trust_epoch(read),
        flo_trust_epoch(read) > flo_trust_epoch(held) ? " (new: numbers of orders begin again)"
                                                      : "",
        path, counters.own_needed, counters.held_needed, word,
        (unsigned long long)flo_trust_number(held));
    return 0;
}

/* Gets the name in the path of a key file: "ci" of "keys/ci.pub".  Returns
 * false if that is no valid name. */
static bool name_of(const char *path, char out[FLO_NAME_MAX + 1])
{
    const char *slash = strrchr(path, '/');
    const char *begin = slash == NULL ? path : slash + 1;
    size_t chars = strcspn(begin, ".");

    snprintf(out, FLO_NAME_MAX + 1, "%.*s", (int)(chars < FLO_NAME_MAX ? chars : FLO_NAME_MAX),
             begin);
    return flo_name_is_valid(out);
}

int flo_trust_add_file(struct flo_trust *draft, const char *path, unsigned role,
                       struct flo_err *err)
{
    struct flo_public_key key;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    char name[FLO_NAME_MAX + 1];
    int rv = flo_public_key_load(path, &key, err);

    if (rv == FLO_E_SIG_FORMAT) {
        flo_err_fix(err, "give the public half that flotilla key create made: "
                         "NAME.pub");
    }
    if (rv == 0 && flo_trust_is_key_revoked(draft, key.keyid)) {
        rv = flo_fail(err, FLO_E_SIG_REVOKED_KEY, "%s: key %.16s was revoked", path, key.keyid);
    }
    FLO_TRY(rv);
    flo_public_key_pem(&key, pem);
    return flo_trust_add(draft, pem, role, name_of(path, name) ? name : NULL, err);
}

static bool lists(const struct flo_trust *draft, const char *pem)
{
    struct flo_certificate wanted, one;

    if (flo_certificate_read(pem, strlen(pem), &wanted, NULL) < 0) {
        return false;
    }
    for (size_t i = 0; i < flo_trust_ca_count(draft); i++) {
        const char *its = flo_trust_ca(draft, i);
        if (flo_certificate_read(its, strlen(its), &one, NULL) == 0 &&
            flo_digest_equal(&one.fingerprint, &wanted.fingerprint)) {
            return true;
        }
    }
    return false;
}

int flo_trust_add_authority(struct flo_trust *draft, const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *pem = NULL;
    size_t bytes = 0;
    int rv = flo_file_read(path, FLO_PEM_BYTES_MAX, &pem, &bytes, err);

    if (rv == 0 && !lists(draft, pem)) {
        rv = flo_trust_add_ca(draft, pem, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

json_t *flo_trust_rows(const struct flo_trust *trust)
{
    json_t *rows = json_array();
    struct flo_trust_key key;

    for (size_t i = 0; i < flo_trust_count(trust); i++) {
        flo_trust_key(trust, i, &key);
        json_array_append_new(rows,
                              json_pack("{s:s,s:s,s:s,s:s}", "role", flo_role_word(key.roles),
                                        "name", key.name, "keyid", key.keyid, "pem", key.pem));
    }
    return rows;
}
