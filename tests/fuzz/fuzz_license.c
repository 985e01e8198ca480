/* Licences: an expression of a signed release, a list, a licence file. */
#include <stdlib.h>
#include <string.h>

#include "proto/license.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char refused[FLO_LICENSE_BYTES_MAX + 1] = "", id[FLO_LICENSE_BYTES_MAX + 1] = "";
    char *text = malloc(bytes + 1);

    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    if (flo_license_find(text, id, sizeof(id)) && (id[0] == '\0' || strchr(id, '\n') != NULL)) {
        abort();
    }
    char *list = strchr(text, '\n');
    if (list != NULL) {
        *list++ = '\0';
    }
    bool is_allowed =
        flo_license_is_allowed(list != NULL ? list : "mit", text, refused, sizeof(refused));
    if (is_allowed && text[strspn(text, " \t\r")] == '\0') {
        abort();
    }
    free(text);
    return 0;
}
