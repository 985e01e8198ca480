/* Command key trust: creates a fleet's first trust, and adds a publisher.
 *
 * The first call makes the fleet's root key on this machine and signs the first
 * trust statement with it.  From then on only root keys decide whom devices
 * trust. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/sig.h>
#include <flotilla/errors/trust.h>

#include "base/host/crypto.h"
#include "server-stub/cli/trust/trust.h"

struct beginning {
    const char *path; /* path of the file with the publisher's public key */
    struct flo_public_key key;
    char root_path[FLO_PAIR_PATH];
    bool root_is_new;
    struct flo_key *root;
    struct flo_trust *held;
    struct flo_trust *draft;
};

/* "keys" of "keys/publisher.pub". */
static void folder_of(const char *path, char out[FLO_PAIR_PATH])
{
    const char *slash = strrchr(path, '/');

    snprintf(out, FLO_PAIR_PATH, "%.*s", slash == NULL ? 1 : (int)(slash - path),
             slash == NULL ? "." : path);
}

static bool is_trusted(const struct flo_trust *held, const char *keyid)
{
    struct flo_trust_key one;

    for (size_t i = 0; i < flo_trust_count(held); i++) {
        flo_trust_key(held, i, &one);
        if ((one.roles & FLO_ROLE_RELEASE) != 0 && strcmp(one.keyid, keyid) == 0) {
            return true;
        }
    }
    return false;
}

/* Finds the root key: --root, or else root.key in the publisher's folder.  A
 * new one is made only for a fleet without a statement. */
static int find_root(struct flo_cli *cli, struct beginning *begun, struct flo_err *err)
{
    const char *path = flo_args_text(&cli->args, "root", NULL);
    char folder[FLO_PAIR_PATH];
    int rv;

    folder_of(begun->path, folder);
    if (path != NULL) {
        snprintf(begun->root_path, sizeof(begun->root_path), "%.1000s", path);
    } else {
        snprintf(begun->root_path, sizeof(begun->root_path), "%.900s/root.key", folder);
    }
    rv = flo_key_load(begun->root_path, &begun->root, err);
    if (rv == FLO_E_ABSENT && flo_trust_is_signed(begun->held)) {
        flo_err_fix(err, "--root STICK/root.key; where several root keys sign: "
                         "flotilla key rotate release NEW.pub --keep --to DRAFT");
    } else if (rv == FLO_E_ABSENT && path == NULL) {
        memset(err, 0, sizeof(*err));
        begun->root_is_new = true;
        rv = flo_pair_create(folder, "root", begun->root_path, &begun->root, err);
    }
    return rv;
}

static int change(struct beginning *begun, struct flo_err *err)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    int rv = flo_trust_next(begun->held, flo_wall_ms(), &begun->draft, err);

    if (rv == 0 && !flo_trust_is_signed(begun->held)) {
        flo_public_key_pem(flo_key_public(begun->root), pem);
        rv = flo_trust_add(begun->draft, pem, FLO_ROLE_ROOT, NULL, err);
        flo_trust_set_threshold(begun->draft, 1);
    }
    FLO_TRY(rv);
    return flo_trust_add_file(begun->draft, begun->path, FLO_ROLE_RELEASE, err);
}

/* Signs the statement with the publisher's key, too, because devices of an
 * older fleet require a signature by a key that they know. */
static int sign_as_publisher(struct flo_cli *cli, struct beginning *begun, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    const char *path = flo_args_text(&cli->args, "sign-with", NULL);
    char beside[FLO_PAIR_PATH];
    struct flo_trust_counters counters;

    FLO_TRY(flo_trust_count_up(begun->draft, begun->held, &counters, err));
    if (flo_trust_is_signed(begun->held) || counters.held >= counters.held_needed) {
        return 0;
    }
    if (path == NULL) {
        snprintf(beside, sizeof(beside), "%.*s.key", (int)strlen(begun->path) - 4, begun->path);
        path = beside;
    }
    int rv = flo_key_load(path, &key, err);
    if (rv < 0) {
        return flo_err_fix(err, "--sign-with KEY: devices of this fleet hold a "
                                "list that nobody signed, so a publisher whom "
                                "they know signs with the root");
    }
    return flo_trust_sign(begun->draft, key, err);
}

static int sign(struct flo_cli *cli, struct beginning *begun, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    enum flo_trust_standing standing;

    FLO_TRY(flo_trust_draft(begun->draft, begun->held, &text, err));
    flo_trust_free(begun->draft);
    begun->draft = NULL;
    int rv = flo_trust_draft_parse((const char *)text.data, text.bytes, &begun->draft, err);
    if (rv == 0) {
        rv = flo_trust_sign(begun->draft, begun->root, err);
    }
    if (rv == 0) {
        rv = sign_as_publisher(cli, begun, err);
    }
    if (rv == 0) {
        rv = flo_trust_follows(begun->held, begun->draft, &standing, err);
    }
    if (rv == FLO_E_TRUST_THRESHOLD) {
        flo_err_fix(err, "flotilla key rotate release NEW.pub --keep --to DRAFT "
                         "drafts it for more signatures");
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", begun->root_path) : 0;
}

static int publish(struct flo_cli *cli, const struct beginning *begun, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    flo_trust_text(begun->draft, &text);
    return text.failed
               ? flo_fail(err, FLO_E_MEMORY, "trust statement")
               : flo_api_send(cli, "/v1/trust/statements", text.data, text.bytes, NULL, err);
}

static void tell(struct flo_cli *cli, const struct beginning *begun)
{
    uint64_t number = flo_trust_number(begun->draft != NULL ? begun->draft : begun->held);
    char folder[FLO_PAIR_PATH];
    char hint[2 * FLO_PAIR_PATH + 200] = "";

    if (begun->root_is_new) {
        folder_of(begun->root_path, folder);
        snprintf(hint, sizeof(hint),
                 "%s  new: it decides whom the fleet's devices trust; keep it "
                 "off this machine: flotilla key move %.900s/root --to STICK\n",
                 begun->root_path, folder);
    }
    flo_out_done(cli,
                 json_pack("{s:s,s:I,s:s,s:b}", "keyid", begun->key.keyid, "number",
                           (json_int_t)number, "root", begun->root_path, "root_is_new",
                           (int)begun->root_is_new),
                 "releases signed by %.16s… are trusted (statement %llu)\n%s", begun->key.keyid,
                 (unsigned long long)number, hint);
}

static int begin(struct flo_cli *cli, struct beginning *begun, struct flo_err *err)
{
    int rv = flo_public_key_load(begun->path, &begun->key, err);

    if (rv == FLO_E_SIG_FORMAT) {
        flo_err_fix(err, "give the public half that flotilla key create made: "
                         "NAME.pub");
    }
    FLO_TRY(rv);
    FLO_TRY(flo_trust_held(cli, &begun->held, err));
    if (flo_trust_is_signed(begun->held) && is_trusted(begun->held, begun->key.keyid)) {
        return 0;
    }
    FLO_TRY(find_root(cli, begun, err));
    FLO_TRY(change(begun, err));
    FLO_TRY(sign(cli, begun, err));
    return publish(cli, begun, err);
}

int flo_cmd_key_trust(struct flo_cli *cli, struct flo_err *err)
{
    struct beginning begun = {.path = cli->args.words[0]};
    int rv = begin(cli, &begun, err);

    if (rv == 0) {
        tell(cli, &begun);
    }
    flo_key_free(begun.root);
    flo_trust_free(begun.held);
    flo_trust_free(begun.draft);
    return rv;
}
