/* Listed: lookups of keys and authorities, by name or by role. */
#include <string.h>

#include "server-stub/state/pki/memory.h"
#include "server-stub/state/pki/pki.h"

const struct flo_authority *flo_pki_authority(const struct flo_pki *pki, const char *name)
{
    size_t chars = strlen(name);

    for (size_t i = 0; chars >= 8 && i < pki->authority_count; i++) {
        const char *its = pki->authorities[i].name;
        if (strncmp(its, name, chars < 16 ? chars : 16) == 0) {
            return &pki->authorities[i];
        }
    }
    return NULL;
}

const struct flo_authority *flo_pki_oldest(const struct flo_pki *pki)
{
    uint64_t now_ms = flo_wall_ms();

    for (size_t i = 0; i < pki->authority_count; i++) {
        if (now_ms < pki->authorities[i].until_ms) {
            return &pki->authorities[i];
        }
    }
    return &pki->authorities[0];
}

const struct flo_authority *flo_pki_newest(const struct flo_pki *pki)
{
    return &pki->authorities[pki->authority_count - 1];
}

const struct flo_authority *flo_pki_authority_at(const struct flo_pki *pki, size_t place)
{
    return place < pki->authority_count ? &pki->authorities[place] : NULL;
}

size_t flo_pki_authority_count(const struct flo_pki *pki)
{
    return pki->authority_count;
}

const struct flo_pki_files *flo_pki_files(const struct flo_pki *pki)
{
    return &pki->files;
}

const struct flo_buf *flo_pki_ca(const struct flo_pki *pki)
{
    return &pki->ca;
}

uint64_t flo_pki_leaves_until_ms(const struct flo_pki *pki)
{
    return pki->leaves_until_ms;
}

struct flo_key *flo_pki_order_key(const struct flo_pki *pki)
{
    return pki->order_key;
}

const char *flo_pki_order_pem(const struct flo_pki *pki)
{
    return pki->order_public_pem;
}

void flo_pki_use_order_key(struct flo_pki *pki, struct flo_key *key)
{
    pki->order_key = key;
    flo_public_key_pem(flo_key_public(key), pki->order_public_pem);
}
