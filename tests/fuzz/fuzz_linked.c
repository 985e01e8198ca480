/* A program's answer to a look at its health, and the text of its pid file: a
 * status from 100 to 599, a number above 1, or nothing. */
#include <stdlib.h>

#include "agent/core/linking.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    /* A copy of its own size: a look past the end is found. */
    char *text = malloc(bytes + (bytes == 0));
    int status, pid;

    for (size_t i = 0; i < bytes; i++) {
        text[i] = (char)data[i];
    }
    status = flo_http_status_read(text, bytes);
    pid = flo_pid_read(text, bytes);
    if ((status != 0 && (status < 100 || status > 599)) || pid < 0 || pid == 1) {
        abort();
    }
    free(text);
    return 0;
}
