/* Which of the listed authorities: by its name, and the one that signs. */
#include <string.h>

#include "server-stub/state/pki/inside.h"
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
