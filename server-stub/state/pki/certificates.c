/* Certificates: issues, stores and revokes certificates of devices. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/clock/clock.h"
#include "server-stub/state/pki/memory.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/proofs/proofs.h"
#include "server-stub/state/text_list.h"
#include "server-stub/store/fleet.h"

int flo_pki_issue(struct flo_controller *controller, const struct flo_authority *authority,
                  const char *device, const char *csr, struct flo_buf *pem,
                  struct flo_certificate *facts, struct flo_err *err)
{
    uint64_t now_ms = flo_wall_ms();
    struct flo_certificate_spec spec = {.common_name = device,
                                        .life_ms = controller->options.certificate_life_ms,
                                        .now_ms = now_ms,
                                        .is_client = true};
    size_t at = pem->bytes;

    FLO_TRY(flo_clock_signs(controller, err));
    FLO_TRY(flo_certificate_issue(authority->key, authority->pem, authority->bytes, csr,
                                  strlen(csr), &spec, pem, err));
    if (pem->failed) {
        return flo_fail(err, FLO_E_MEMORY, "certificate");
    }
    FLO_TRY(flo_certificate_read(pem->data + at, pem->bytes - at, facts, err));
    char key[FLO_PUBLIC_KEY_PEM_MAX];
    flo_public_key_pem(&facts->key, key);
    const struct flo_fleet_certificate row = {.serial = facts->serial,
                                              .device = device,
                                              .authority = authority->name,
                                              .state = FLO_CERTIFICATE_ISSUED,
                                              .issued_at_ms = now_ms,
                                              .until_ms = facts->not_after_ms,
                                              .key = key,
                                              .proved = ""};
    FLO_TRY(flo_fleet_certificate_add(controller->store, &row, err));
    return flo_proofs_issued(controller->proofs, &row, err);
}

/* ---- holders ---- */

struct newest {
    flo_pki_holder_fn fn;
    void *context;
    char device[37]; /* the one before */
    char authority[FLO_AUTHORITY_TEXT];
    struct flo_text_list held; /* ids of devices that reported their certificate, sorted */
    size_t next;
};

static int tell_held(void *context, const struct flo_fleet_certificate *one)
{
    struct newest *newest = context;

    flo_text_list_add(&newest->held, one->device);
    return newest->fn(newest->context, one->device, one->authority);
}

/* Returns whether the device reported that it has its certificate.  Calls come
 * in the order of device ids, as the list `held` is sorted. */
static bool has_held(struct newest *newest, const char *device)
{
    const struct flo_text_list *held = &newest->held;

    while (newest->next < held->count && strcmp(held->items[newest->next], device) < 0) {
        newest->next++;
    }
    return newest->next < held->count && strcmp(held->items[newest->next], device) == 0;
}

static int tell_last(struct newest *newest)
{
    return newest->device[0] == '\0' || has_held(newest, newest->device)
               ? 0
               : newest->fn(newest->context, newest->device, newest->authority);
}

static int take_issued(void *context, const struct flo_fleet_certificate *one)
{
    struct newest *newest = context;
    int rv = strcmp(newest->device, one->device) == 0 ? 0 : tell_last(newest);

    snprintf(newest->device, sizeof(newest->device), "%s", one->device);
    snprintf(newest->authority, sizeof(newest->authority), "%s", one->authority);
    return rv;
}

int flo_pki_holders(struct flo_controller *controller, flo_pki_holder_fn fn, void *context,
                    struct flo_err *err)
{
    struct newest newest = {.fn = fn, .context = context};
    int rv = flo_fleet_certificate_list(controller->store, FLO_CERTIFICATE_HELD, 0, tell_held,
                                        &newest, err);

    if (rv == 0) {
        rv = flo_fleet_certificate_list(controller->store, FLO_CERTIFICATE_ISSUED, 0, take_issued,
                                        &newest, err);
    }
    if (rv == 0) {
        rv = tell_last(&newest);
    }
    flo_text_list_clear(&newest.held);
    return rv;
}

/* ---- revoked ---- */

struct revoked {
    const struct flo_authority *authority;
    uint64_t now_ms;
    struct flo_revoked *items;
    size_t count;
    size_t capacity;
};

static int take_revoked(void *context, const struct flo_fleet_certificate *one)
{
    struct revoked *list = context;

    if (strcmp(one->authority, list->authority->name) != 0) {
        return 0;
    }
    if (!flo_grow(&list->items, &list->capacity, list->count, sizeof(*list->items))) {
        return FLO_E_MEMORY;
    }
    char *serial = strdup(one->serial);
    if (serial == NULL) {
        return FLO_E_MEMORY;
    }
    list->items[list->count++] = (struct flo_revoked){serial, list->now_ms};
    return 0;
}

static int add_list(struct flo_controller *controller, const struct flo_authority *authority,
                    struct flo_buf *out, struct flo_err *err)
{
    uint64_t now_ms = controller->pki->revoked_at_ms;
    struct revoked list = {.authority = authority, .now_ms = now_ms};
    /* A certificate that expired a short time ago is listed, too, because a
     * peer whose clock is late still accepts it. */
    int rv = flo_fleet_certificate_each(
        controller->store, (const enum flo_certificate_state[]){FLO_CERTIFICATE_REVOKED}, 1,
        now_ms > FLO_BACKDATED_MS ? now_ms - FLO_BACKDATED_MS : 0, take_revoked, &list, err);

    if (rv == 0) {
        rv = flo_crl_make(authority->key, authority->pem, authority->bytes, list.items, list.count,
                          now_ms, out, err);
    }
    for (size_t i = 0; i < list.count; i++) {
        free((void *)(uintptr_t)list.items[i].serial);
    }
    free(list.items);
    return rv;
}

int flo_pki_revoked_write(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_pki *pki = controller->pki;
    uint64_t now_ms = flo_wall_ms();
    int rv = 0;

    if (flo_pki_in_memory(controller)) {
        return 0;
    }
    FLO_TRY(flo_clock_signs(controller, err));
    /* A new revocation list needs a time at least a second later than the one
     * before, because brokers use the latest list. */
    pki->revoked_at_ms =
        now_ms / 1000 > pki->revoked_at_ms / 1000 ? now_ms : pki->revoked_at_ms + 1000;
    for (size_t i = 0; rv == 0 && i < pki->authority_count; i++) {
        /* Certificates of an expired authority are refused without a
         * revocation list, too. */
        if (now_ms < pki->authorities[i].until_ms) {
            rv = add_list(controller, &pki->authorities[i], &text, err);
        }
    }
    FLO_TRY(rv);
    return flo_file_write(pki->files.revoked_file, text.data, text.bytes, 0644, err);
}
