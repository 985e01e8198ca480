/* A pair's file after a disk lied: it is refused with a reason, or certificate
 * and key belong together. */
#include <string.h>

#include <flotilla/errors/net.h>

#include "agent/shell/identity/pair.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_pair pair = {0};
    struct flo_err err = {0};
    int rv = flo_pair_read((const char *)data, bytes, NULL, &pair, &err);

    if (rv == 0) {
        must(pair.is_there && pair.number > 0);
        must(pair.facts.common_name[0] != '\0');
        must(flo_pair_read((const char *)data, bytes, pair.facts.common_name, &pair, &err) == 0);
        must(flo_pair_read((const char *)data, bytes, "", &pair, &err) == FLO_E_NET_TLS);
    } else {
        must(err.code == rv && err.what[0] != '\0' && !pair.is_there);
    }
    return 0;
}
