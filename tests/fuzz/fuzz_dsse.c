/* Signed documents and the list of trusted keys.  Nothing that the fuzzer
 * makes can be signed by a key that it does not have. */
#include <stdlib.h>

#include <flotilla/release.h>

#include "base/host/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct flo_trust *trust;
    struct flo_release_verified release;
    struct flo_order_verified order;
    struct flo_trust *read = NULL;

    if (trust == NULL) {
        struct flo_key *key = NULL;
        char pem[FLO_PUBLIC_KEY_PEM_MAX];
        trust = flo_trust_new("demo");
        if (flo_key_generate(&key, NULL) < 0) {
            abort();
        }
        flo_public_key_pem(flo_key_public(key), pem);
        if (flo_trust_add(trust, pem, FLO_ROLE_RELEASE | FLO_ROLE_ORDER, NULL, NULL) < 0) {
            abort();
        }
        flo_key_free(key);
    }
    if (flo_release_verify(data, bytes, trust, &release, NULL) == 0 ||
        flo_order_verify(data, bytes, trust, &order, NULL) == 0) {
        abort();
    }
    if (flo_trust_parse((const char *)data, bytes, &read, NULL) == 0) {
        /* with whatever keys the input brought: still no crash */
        (void)flo_order_verify(data, bytes, read, &order, NULL);
        flo_trust_free(read);
    }
    return 0;
}
