/* crash_trust make FOLDER: writes the statements 1.json to 4.json, a chain.
 * crash_trust take STATE_DIR FILE: a device takes one, as agent/shell/trust/take.c.
 * crash_trust show STATE_DIR: what its next start finds: statement, floor, both records. */
#include <stdio.h>
#include <string.h>

#include <flotilla/updater.h>

#include "base/host/crypto.h"

#define DEVICE "00000000-0000-4000-8000-000000000001"
#define COUNT 4

struct held {
    struct flo_store *store;
    struct flo_trust *trust;
    struct flo_device device;
    struct flo_slots slots;
    char path[4200];
};

/* ---- make ---- */

static int add(struct flo_trust *trust, const struct flo_key *key, unsigned roles,
               struct flo_err *err)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    flo_public_key_pem(flo_key_public(key), pem);
    return flo_trust_add(trust, pem, roles, NULL, err);
}

static int next_of(const struct flo_trust *held, const struct flo_key *root,
                   const struct flo_key *publisher, struct flo_trust **out, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *draft = NULL;

    FLO_TRY(flo_trust_next(held, 1, &draft, err));
    if (flo_trust_is_signed(held)) {
        FLO_TRY(flo_trust_raise_floor(draft, "tiny", flo_trust_number(held) * 10, err));
    } else {
        FLO_TRY(add(draft, root, FLO_ROLE_ROOT, err));
        flo_trust_set_threshold(draft, 1);
    }
    FLO_TRY(flo_trust_draft(draft, held, &text, err));
    FLO_TRY(flo_trust_draft_parse(text.data, text.bytes, out, err));
    FLO_TRY(flo_trust_sign(*out, root, err));
    return flo_trust_sign(*out, publisher, err);
}

static int write_one(const char *folder, const struct flo_trust *trust, int number,
                     struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char path[4200];

    flo_trust_text(trust, &text);
    snprintf(path, sizeof(path), "%s/%d.json", folder, number);
    return flo_file_write(path, text.data, text.bytes, 0600, err);
}

static int make(const char *folder, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *root = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *publisher = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *order = NULL;
    struct flo_trust *trust = flo_trust_new("demo");
    struct flo_trust *next = NULL;
    int rv = flo_key_generate(&root, err);

    rv = rv == 0 ? flo_key_generate(&publisher, err) : rv;
    rv = rv == 0 ? flo_key_generate(&order, err) : rv;
    rv = rv == 0 ? add(trust, publisher, FLO_ROLE_RELEASE, err) : rv;
    rv = rv == 0 ? add(trust, order, FLO_ROLE_ORDER, err) : rv;
    rv = rv == 0 ? write_one(folder, trust, 1, err) : rv;
    for (int number = 2; rv == 0 && number <= COUNT; number++) {
        rv = next_of(trust, root, publisher, &next, err);
        rv = rv == 0 ? write_one(folder, next, number, err) : rv;
        flo_trust_free(trust);
        trust = next;
        next = NULL;
    }
    flo_trust_free(trust);
    return rv;
}

/* ---- a start, and a statement ---- */

static int hold(struct held *held, struct flo_err *err)
{
    struct flo_trust_facts facts;

    if (held->trust == NULL) {
        return 0;
    }
    flo_trust_facts(held->trust, DEVICE, &facts);
    return flo_device_trust(&held->device, &facts) == FLO_TRUST_BEHIND
               ? flo_fail(err, FLO_E_STATE, "file %llu, record %llu",
                          (unsigned long long)facts.number,
                          (unsigned long long)held->device.trust_number)
               : 0;
}

static int start(const char *state_dir, bool locks, struct held *held, struct flo_err *err)
{
    snprintf(held->path, sizeof(held->path), "%s/identity/trust.json", state_dir);
    FLO_TRY(flo_store_open(state_dir, locks, &held->store, err));
    FLO_TRY(flo_store_device_read(held->store, &held->device, err));
    FLO_TRY(flo_store_slots_read(held->store, "tiny", &held->slots, err));
    snprintf(held->slots.model, sizeof(held->slots.model), "tiny");
    int rv = flo_trust_load(held->path, &held->trust, err);
    return rv == FLO_E_ABSENT ? 0 : rv;
}

static int take(struct held *held, const char *file, struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *next = NULL;
    enum flo_trust_standing standing = FLO_TRUST_NEXT;

    FLO_TRY(flo_trust_load(file, &next, err));
    if (held->trust != NULL && flo_trust_is_signed(next)) {
        FLO_TRY(flo_trust_follows(held->trust, next, &standing, err));
    }
    if (standing == FLO_TRUST_NEXT) {
        FLO_TRY(flo_trust_store(held->path, next, err));
        struct flo_trust *before = held->trust;
        held->trust = next;
        next = before;
    }
    FLO_TRY(hold(held, err));
    flo_slots_raise_floor(&held->slots, held->trust);
    FLO_TRY(flo_store_device_write(held->store, &held->device, err));
    return flo_store_slots_write(held->store, &held->slots, err);
}

static int show(struct held *held, struct flo_err *err)
{
    uint64_t record = held->device.trust_number;

    FLO_TRY(hold(held, err));
    printf("%llu %llu %llu %llu\n",
           (unsigned long long)(held->trust == NULL ? 0 : flo_trust_number(held->trust)),
           (unsigned long long)held->slots.floor_hard, (unsigned long long)record,
           (unsigned long long)held->slots.generation);
    return 0;
}

int main(int argc, char **argv)
{
    static struct held held;
    struct flo_err err = {0};
    bool takes = argc == 4 && strcmp(argv[1], "take") == 0;
    int rv;

    if (argc < 3) {
        return 2;
    }
    if (strcmp(argv[1], "make") == 0) {
        rv = make(argv[2], &err);
    } else {
        rv = start(argv[2], takes, &held, &err);
        rv = rv < 0 ? rv : takes ? take(&held, argv[3], &err) : show(&held, &err);
        flo_trust_free(held.trust);
        flo_store_close(held.store);
    }
    if (rv < 0) {
        fprintf(stderr, "%s: %s\n", flo_error_id(err.code), err.what);
        return 1;
    }
    return 0;
}
