/* Lines of audit.head: what is read has one form, and marks grow. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_audit_checkpoint checkpoints[64];
    size_t count = 0;

    while (bytes > 0 && count < 64) {
        const uint8_t *end = memchr(data, '\n', bytes);
        size_t part = end != NULL ? (size_t)(end - data) : bytes;
        uint8_t signature[FLO_AUDIT_SIGNATURE_BYTES];
        struct flo_audit_checkpoint checkpoint;
        if (flo_audit_line_parse((const char *)data, part, &checkpoint, signature)) {
            char line[FLO_AUDIT_LINE_TEXT];
            flo_audit_line(&checkpoint, signature, line);
            if (strlen(line) != part + 1 || memcmp(line, data, part) != 0) {
                abort();
            }
            (void)flo_audit_checkpoints_add(checkpoints, &count, &checkpoint);
        }
        part += end != NULL ? 1 : 0;
        data += part;
        bytes -= part;
    }
    for (size_t i = 1; i < count; i++) {
        if (checkpoints[i].number <= checkpoints[i - 1].number) {
            abort();
        }
    }
    return 0;
}
