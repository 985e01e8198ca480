#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/meta.h>
#include <flotilla/errors/trust.h>

#include "base/host/json.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/proofs/proofs.h"
#include "server-stub/state/transaction.h"
#include "server-stub/state/trust/trust.h"

#define ORDER_KEY "keys/order.key"
#define NEXT_KEY "keys/order-next.key"
#define BEFORE_KEY "keys/order-before.key"

/* Values that a transaction replaced, which are kept until the transaction is
 * committed. */
struct flo_trust_change {
    bool is_open;
    struct flo_trust *trust;   /* the one before */
    struct flo_key *order_key; /* the order key before the transaction; NULL: unchanged */
};

struct flo_trust_change *flo_trust_change_new(void)
{
    return calloc(1, sizeof(struct flo_trust_change));
}

void flo_trust_change_free(struct flo_trust_change *change)
{
    free(change);
}

static bool in_memory(const struct flo_controller *controller)
{
    return strcmp(controller->dir, ":memory:") == 0;
}

static int path_of(const struct flo_controller *controller, const char *name, char *out,
                   struct flo_err *err)
{
    return flo_path_join(out, 4096, controller->dir, name)
               ? 0
               : flo_fail(err, FLO_E_IO_OPEN, "path %s/%s is too long", controller->dir, name);
}

/* ---- the unsigned list ---- */

static bool is_release_key(const char *name)
{
    size_t chars = strlen(name);

    return strncmp(name, "release-", 8) == 0 && chars > 12 && strcmp(name + chars - 4, ".pem") == 0;
}

static int list_file(struct flo_controller *controller, const char *name, struct flo_err *err)
{
    char FLO_CLEANUP(flo_free_cleanup) *pem = NULL;
    char folder[4096];
    char path[4096];
    size_t bytes;
    int rv = path_of(controller, "trust", folder, err);

    if (rv == 0 && !flo_path_join(path, sizeof(path), folder, name)) {
        rv = flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", name);
    }
    if (rv == 0) {
        rv = flo_file_read(path, FLO_PEM_BYTES_MAX, &pem, &bytes, err);
    }
    if (rv == 0) {
        rv = flo_trust_add(controller->trust, pem, FLO_ROLE_RELEASE, NULL, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "trust/%s", name) : 0;
}

static int make_list(struct flo_controller *controller, struct flo_err *err)
{
    char folder[4096];
    struct dirent *entry;
    int rv;

    flo_trust_free(controller->trust);
    controller->trust = flo_trust_new(controller->fleet);
    if (controller->trust == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "trust");
    }
    rv = flo_trust_add(controller->trust, flo_pki_order_pem(controller->pki), FLO_ROLE_ORDER, NULL,
                       err);
    FLO_TRY(rv);
    if (in_memory(controller)) {
        return rv;
    }
    rv = path_of(controller, "trust", folder, err);
    FLO_TRY(rv);
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", folder);
    }
    while (rv == 0 && (entry = readdir(dir)) != NULL) {
        if (is_release_key(entry->d_name)) {
            rv = list_file(controller, entry->d_name, err);
        }
    }
    closedir(dir);
    return rv;
}

/* ---- the order key ---- */

static bool may_order(const struct flo_trust *trust, const struct flo_key *key)
{
    struct flo_trust_key one;

    for (size_t i = 0; key != NULL && i < flo_trust_count(trust); i++) {
        flo_trust_key(trust, i, &one);
        if ((one.roles & FLO_ROLE_ORDER) != 0 &&
            strcmp(one.keyid, flo_key_public(key)->keyid) == 0) {
            return true;
        }
    }
    return false;
}

/* Loads a key.  *out is NULL if its file does not exist. */
static int load_key(struct flo_controller *controller, const char *name, struct flo_key **out,
                    struct flo_err *err)
{
    struct flo_err absent = {0};
    char path[4096];
    int rv = path_of(controller, name, path, err);

    *out = NULL;
    FLO_TRY(rv);
    if (in_memory(controller)) {
        return rv;
    }
    rv = flo_key_load(path, out, &absent);
    if (rv == FLO_E_ABSENT) {
        return 0;
    }
    if (rv < 0) {
        *err = absent;
    }
    return rv;
}

int flo_trust_order_key(struct flo_controller *controller, char *pem, char *keyid,
                        struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    char path[4096];
    int rv = load_key(controller, NEXT_KEY, &key, err);

    if (rv == 0 && key == NULL) {
        rv = flo_key_generate(&key, err);
        if (rv == 0 && !in_memory(controller)) {
            rv = path_of(controller, NEXT_KEY, path, err);
            if (rv == 0) {
                rv = flo_key_save(key, path, err);
            }
            controller->has_new_files = true;
        }
    }
    if (rv == 0) {
        flo_public_key_pem(flo_key_public(key), pem);
        memcpy(keyid, flo_key_public(key)->keyid, FLO_KEYID_TEXT);
    }
    return rv;
}

/* Renames the file of the key in use to its final name.  The file of the
 * previous key stays, because a power cut may still undo the commit.  After a
 * crash the next start finds the right file. */
static void name_key(struct flo_controller *controller)
{
    char path[4096];
    char before[4096];
    char next[4096];
    struct flo_err err = {0};

    if (in_memory(controller) || path_of(controller, NEXT_KEY, next, &err) < 0 ||
        path_of(controller, BEFORE_KEY, before, &err) < 0 ||
        path_of(controller, ORDER_KEY, path, &err) < 0) {
        return;
    }
    controller->has_new_files = true;
    if ((unlink(before) < 0 && errno != ENOENT) || (link(path, before) < 0 && errno != ENOENT) ||
        flo_key_save(flo_pki_order_key(controller->pki), path, &err) < 0 ||
        (unlink(next) < 0 && errno != ENOENT)) {
        flo_log(FLO_LOG_ERROR, "trust", "%s is not the key in use", path);
    }
}

/* Chooses an order key of this controller that the statement names.  *other is
 * NULL if this is the key in use. */
static int choose_key(struct flo_controller *controller, const struct flo_trust *trust,
                      struct flo_key **other, struct flo_err *err)
{
    static const char *const names[] = {NEXT_KEY, BEFORE_KEY};

    *other = NULL;
    if (may_order(trust, flo_pki_order_key(controller->pki))) {
        return 0;
    }
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        FLO_TRY(load_key(controller, names[i], other, err));
        if (may_order(trust, *other)) {
            return 0;
        }
        flo_key_free(*other);
        *other = NULL;
    }
    flo_fail(err, FLO_E_STATE, "trust statement %llu names no order key of this controller",
             (unsigned long long)flo_trust_number(trust));
    return flo_err_fix(err, "flotilla key rotate order drafts one with a key "
                            "that is here");
}

/* ---- at the start ---- */

struct newest {
    struct flo_trust **out;
    struct flo_err *err;
};

static int take_newest(void *context, uint64_t number, const char *envelope)
{
    struct newest *newest = context;

    FLO_TRY(flo_trust_parse(envelope, strlen(envelope), newest->out, newest->err));
    (void)number;
    return 1; /* Returns 1 to end the iteration after the first statement. */
}

static int load_newest(struct flo_controller *controller, struct flo_trust **out,
                       struct flo_err *err)
{
    struct newest newest = {out, err};
    int rv = flo_fleet_trust_statements(controller->store, 0, true, take_newest, &newest, err);

    return rv > 0 ? 0 : rv;
}

/* Makes the statement's order key the one for which devices prove their
 * messages. */
static int prove_for(struct flo_controller *controller, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *before = NULL;

    FLO_TRY(load_key(controller, BEFORE_KEY, &before, err));
    return flo_proofs_use(controller->proofs, flo_pki_order_key(controller->pki), before, err);
}

static int open_trust(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_trust *newest = NULL;
    struct flo_key *next = NULL;
    struct flo_err lost = {0};

    FLO_TRY(load_newest(controller, &newest, err));
    if (newest == NULL) {
        return make_list(controller, err);
    }
    flo_trust_free(controller->trust);
    controller->trust = newest;
    if (choose_key(controller, newest, &next, &lost) < 0) {
        /* A lost key does not prevent the start, because people can still
         * publish a statement. */
        flo_log_err(FLO_LOG_ERROR, "trust", &lost);
        return 0;
    }
    if (next != NULL) {
        flo_key_free(flo_pki_order_key(controller->pki));
        flo_pki_use_order_key(controller->pki, next);
        name_key(controller);
    }
    return 0;
}

int flo_trust_open(struct flo_controller *controller, struct flo_err *err)
{
    FLO_TRY(open_trust(controller, err));
    return prove_for(controller, err);
}

/* ---- publishing ---- */

/* Checks the authorities that a statement lists.  Devices accept only those:
 * without the issuer of the controller's certificates in the list, all devices
 * would be cut off. */
static int check_authorities(const struct flo_controller *controller, const struct flo_trust *next,
                             struct flo_err *err)
{
    const struct flo_authority *signs = flo_pki_oldest(controller->pki);
    size_t count = flo_trust_ca_count(next);
    struct flo_certificate facts;

    for (size_t i = 0; i < count; i++) {
        const char *pem = flo_trust_ca(next, i);
        if (flo_certificate_read(pem, strlen(pem), &facts, NULL) == 0 &&
            flo_digest_equal(&facts.fingerprint, &signs->fingerprint)) {
            return 0;
        }
    }
    return count == 0 ? 0
                      : flo_fail(err, FLO_E_TRUST_AUTHORITY,
                                 "trust statement %llu lists %zu authorities, "
                                 "and not %s, which signs the controller's "
                                 "certificates",
                                 (unsigned long long)flo_trust_number(next), count, signs->name);
}

static int check_next(const struct flo_controller *controller, const struct flo_trust *next,
                      bool *is_news, struct flo_err *err)
{
    enum flo_trust_standing standing;

    if (!flo_trust_is_signed(next)) {
        return flo_fail(err, FLO_E_META_WRONG_TYPE, "this is an unsigned list of keys");
    }
    FLO_TRY(flo_trust_follows(controller->trust, next, &standing, err));
    *is_news = standing == FLO_TRUST_NEXT;
    return standing == FLO_TRUST_NEXT || standing == FLO_TRUST_SAME
               ? 0
               : flo_fail(err, FLO_E_TRUST_NUMBER, "trust statement %llu, published is number %llu",
                          (unsigned long long)flo_trust_number(next),
                          (unsigned long long)flo_trust_number(controller->trust));
}

static void change(struct flo_controller *controller, struct flo_trust *next, struct flo_key *key)
{
    struct flo_trust_change *change = controller->trust_change;

    change->is_open = true;
    change->trust = controller->trust;
    change->order_key = NULL;
    controller->trust = next;
    if (key != NULL) {
        change->order_key = flo_pki_order_key(controller->pki);
        flo_pki_use_order_key(controller->pki, key);
    }
}

static void settle(struct flo_controller *controller, bool is_committed)
{
    struct flo_trust_change change = *controller->trust_change;

    if (!change.is_open) {
        return;
    }
    *controller->trust_change = (struct flo_trust_change){.is_open = false};
    if (!is_committed) {
        flo_trust_free(controller->trust);
        controller->trust = change.trust;
        if (change.order_key != NULL) {
            flo_key_free(flo_pki_order_key(controller->pki));
            flo_pki_use_order_key(controller->pki, change.order_key);
        }
        return;
    }
    flo_trust_free(change.trust);
    if (change.order_key != NULL) {
        struct flo_err err = {0};
        if (flo_proofs_use(controller->proofs, flo_pki_order_key(controller->pki), change.order_key,
                           &err) < 0) {
            flo_log_err(FLO_LOG_ERROR, "proof", &err);
        }
        flo_key_free(change.order_key);
        name_key(controller);
    }
}

const struct flo_transaction_part flo_trust_part = {.settle = settle};

static int tell_group(void *context, const char *group)
{
    flo_outgoing_group(context, group);
    return 0;
}

/* Ends the epoch before, whose orders devices refuse from now on.  Orders that
 * are still valid are signed again, and others are removed from the lists. */
static int leave_epoch(struct flo_controller *controller, struct flo_err *err)
{
    FLO_TRY(flo_fleet_order_groups(controller->store, flo_wall_ms(), tell_group, controller, err));
    return flo_orders_renew_each(controller, err);
}

int flo_trust_publish(struct flo_controller *controller, const char *text, size_t bytes,
                      bool *is_news, struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *next = NULL;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf envelope = {0};
    struct flo_key *key = NULL;
    uint32_t epoch = flo_trust_epoch(controller->trust);

    FLO_TRY(flo_trust_parse(text, bytes, &next, err));
    int rv = check_next(controller, next, is_news, err);
    FLO_TRY(rv);
    if (!*is_news) {
        return rv;
    }
    FLO_TRY(check_authorities(controller, next, err));
    FLO_TRY(choose_key(controller, next, &key, err));
    flo_trust_text(next, &envelope);
    rv = envelope.failed ? flo_fail(err, FLO_E_MEMORY, "trust statement")
                         : flo_fleet_statement_add(controller->store, flo_trust_number(next),
                                                   envelope.data, err);
    if (rv < 0) {
        flo_key_free(key);
        return rv;
    }
    change(controller, next, key);
    next = NULL;
    flo_outgoing_trust(controller);
    return key != NULL || flo_trust_epoch(controller->trust) != epoch ? leave_epoch(controller, err)
                                                                      : 0;
}

int flo_trust_is_stated(const struct flo_controller *controller, struct flo_err *err)
{
    return flo_trust_is_signed(controller->trust)
               ? 0
               : flo_fail(err, FLO_E_TRUST_NONE, "fleet %s: no trust statement was published",
                          controller->fleet);
}

/* ---- to the devices ---- */

struct chosen {
    struct flo_buf *list; /* list of the statements' envelopes, separated by commas */
    size_t bytes_max;
    bool is_newest;
};

/* Appends a statement if it still fits into the limit.  The first statements
 * are kept, or, with is_newest, the last ones. */
static int choose(void *context, uint64_t number, const char *envelope)
{
    struct chosen *chosen = context;
    struct flo_buf before = *chosen->list;
    size_t bytes = strlen(envelope) + 1;

    (void)number;
    if (before.bytes + bytes > chosen->bytes_max) {
        return 1;
    }
    if (!chosen->is_newest || before.bytes == 0) {
        flo_buf_text(chosen->list, before.bytes > 0 ? "," : "");
        flo_buf_text(chosen->list, envelope);
        return 0;
    }
    *chosen->list = (struct flo_buf){0};
    flo_buf_text(chosen->list, envelope);
    flo_buf_text(chosen->list, ",");
    flo_buf_add(chosen->list, before.data, before.bytes);
    flo_buf_deinit(&before);
    return 0;
}

int flo_trust_statements_text(struct flo_controller *controller, uint64_t after, bool is_newest,
                              size_t bytes_max, struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf list = {0};
    struct chosen chosen = {.list = &list,
                            .bytes_max = bytes_max - 96, /* what is around */
                            .is_newest = is_newest};
    uint64_t order = 0;
    int rv = flo_fleet_trust_statements(controller->store, after, is_newest, choose, &chosen, err);

    if (rv == 0) {
        rv = flo_fleet_newest(controller->store, "order", &order, err);
    }
    FLO_TRY(rv);
    flo_buf_printf(out, "{\"v\":1,\"number\":%llu,\"order_number\":%llu,\"statements\":[",
                   (unsigned long long)flo_trust_number(controller->trust),
                   (unsigned long long)order);
    flo_buf_add(out, list.data, list.bytes);
    flo_buf_text(out, "]");
    if (!is_newest) { /* one of the broker stays, and so would its time */
        flo_buf_printf(out, ",\"at_ms\":%llu", (unsigned long long)flo_wall_ms());
    }
    flo_buf_text(out, "}");
    return list.failed || out->failed ? flo_fail(err, FLO_E_MEMORY, "trust statements") : 0;
}

struct checking {
    const struct flo_trust *trust;
    struct flo_err *err;
};

static int check_envelope(void *context, const char *text)
{
    const struct checking *checking = context;
    FLO_CLEANUP(flo_free_cleanup)
    struct flo_release_verified *verified = calloc(1, sizeof(*verified));

    if (verified == NULL) {
        return flo_fail(checking->err, FLO_E_MEMORY, "no memory for a release");
    }
    FLO_TRY(flo_release_verify(text, strlen(text), checking->trust, verified, checking->err));
    flo_release_verified_deinit(verified);
    return 0;
}

int flo_trust_check_release(struct flo_controller *controller, const char *digest,
                            struct flo_err *err)
{
    struct checking checking = {controller->trust, err};

    return flo_fleet_envelope_get(controller->store, digest, check_envelope, &checking, err);
}
