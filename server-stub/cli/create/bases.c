/* Bases: adds files of earlier releases as the bases of deltas. */
#include "server-stub/cli/create/create.h"

size_t flo_create_base_at(const struct flo_create *create, const struct flo_digest *digest)
{
    size_t at = 0;

    while (at < create->base_count && !flo_digest_equal(&create->bases[at].digest, digest)) {
        at++;
    }
    return at;
}
